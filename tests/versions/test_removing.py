"""Tests of tfstream/versions/removing.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import tiny_dataset
from memory_directory import MemoryDirectory
from packed import digests, records
from tiny_dataset import Tiny

import tfstream
from tfstream import errors
from tfstream.format import manifest
from tfstream.format.verify import verify
from tfstream.storage.local import LocalDirectory
from tfstream.versions import diff, relabel, remove, rollback, versions


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


def _keys(root: Path) -> list[str]:
    return [image.key for image in records(root)]


def test_a_version_without_the_records_is_made(tiny: Tiny) -> None:
    made = remove(tiny.root, "number in [1, 2, 8]", message="blurred", author="ann")
    assert (made.number, made.parent, made.operation) == (2, 1, "remove")
    assert (made.message, made.author) == ("blurred", "ann")
    assert made.splits == {"train": 6, "val": 1}
    assert _keys(tiny.root) == [f"train/{n}" for n in (0, 3, 4, 5, 6, 7)] + ["val/9"]
    # Statistics, too, are those of the records.
    assert verify(tiny.root, processes=1) == []
    assert verify(tiny.root, 1, processes=1) == []


def test_nothing_that_was_there_is_touched(tiny: Tiny) -> None:
    before = digests(tiny.root)
    made = remove(tiny.root, "number in [1, 2]", message="")
    after = digests(tiny.root)
    new = {"manifests/00000002.json", f"shards/train-ab-00000-{made.commit}.parquet"}
    assert after.keys() - before.keys() == new
    assert {name: after[name] for name in before} == before
    loaded = manifest.load(tiny.root)
    assert loaded.splits[0].shards[1] == manifest.load(tiny.root, 1).splits[0].shards[1]
    assert loaded.splits[1] == manifest.load(tiny.root, 1).splits[1]
    assert not loaded.splits[0].shards[0].relabelled


def test_a_shard_of_which_nothing_is_left_drops_out(tiny: Tiny) -> None:
    remove(tiny.root, "number < 4", message="")
    (split, _) = manifest.load(tiny.root).splits
    assert [shard.path for shard in split.shards] == ["shards/train-ab-00001.tfrecord"]
    assert verify(tiny.root, processes=1) == []
    assert len(list((tiny.root / "shards").iterdir())) == 6


def test_removing_goes_on_from_what_was_removed_and_relabelled(tiny: Tiny) -> None:
    remove(tiny.root, "number = 1", message="")
    relabel(tiny.root, pa.table({"key": ["train/3"], "night": [True]}), message="")
    remove(tiny.root, "night or objects = 0", message="")
    assert _keys(tiny.root) == ["train/2", "train/5", "train/6", "train/7", "val/9"]
    loaded = manifest.load(tiny.root)
    assert dict(loaded.schema.metadata) == {"number": "int", "half": "float", "night": "bool"}
    assert [shard.relabelled for shard in loaded.splits[0].shards] == [True, False]
    assert verify(tiny.root, processes=1) == []
    rollback(tiny.root, 1, message="all of it again")
    assert len(_keys(tiny.root)) == 10


def test_a_split_becomes_empty_only_by_force(tiny: Tiny) -> None:
    before = digests(tiny.root)
    with pytest.raises(errors.InvalidArgumentError, match=r"all 2 records of split 'val'.*--force"):
        remove(tiny.root, "split = 'val' or number = 1", message="")
    assert digests(tiny.root) == before
    made = remove(tiny.root, "split = 'val' or number = 1", message="", force=True)
    assert made.splits == {"train": 7, "val": 0}
    assert verify(tiny.root, processes=1) == []
    # What is empty already is in nobody's way.
    remove(tiny.root, "number = 2", message="")
    made = remove(tiny.root, "key:*", message="", force=True)
    assert made.records == 0
    assert verify(tiny.root, processes=1) == []
    with pytest.raises(errors.InvalidArgumentError, match="No record"):
        remove(tiny.root, "key:*", message="", force=True)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("number > 100", r"No record of version 1 of .* fulfils 'number > 100': nothing"),
        ("nmber > 1", r"number"),
        ("number >", r"column"),
        ("", r"says nothing of the records"),
        ("@limit:3", r"@limit is of no use"),
        ("number > 1 @sample:0.5", r"@sample is of no use"),
        ("number > 1 @version:1", r"@version is of no use"),
        ("number > 1 @split:0.5:0.5", r"@split is of no use"),
    ],
)
def test_what_cannot_be_removed_is_told(tiny: Tiny, query: str, told: str) -> None:
    before = digests(tiny.root)
    with pytest.raises(errors.InvalidArgumentError, match=told):
        remove(tiny.root, query, message="")
    assert digests(tiny.root) == before


def test_there_must_be_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(errors.DatasetNotFoundError):
        remove(tmp_path, "width > 3", message="")


def test_records_of_a_dataset_elsewhere_are_removed_too(tiny: Tiny) -> None:
    files = {
        path.relative_to(tiny.root).as_posix(): path.read_bytes()
        for path in tiny.root.rglob("*")
        if path.is_file()
    }
    remote = MemoryDirectory(files)
    made = remove(remote, "number in [1, 8]", message="")
    assert made.splits == {"train": 7, "val": 1}
    assert verify(remote, processes=1) == []
    assert {name: remote.objects[name] for name in files} == files
    assert len(remote.objects) == len(files) + 3
    assert [each.key for each in diff(remote, 1)] == ["train/1", "val/8"]


def test_records_in_a_bucket_are_removed_too(tiny: Tiny, bucket: object) -> None:
    bucket.upload(tiny.root)
    remove(bucket.uri, "number in [1, 8]", message="")
    relabel(bucket.uri, pa.table({"key": ["val/9"], "night": [True]}), message="")
    assert [info.records for info in versions(bucket.uri)] == [10, 8, 8]
    assert verify(bucket.uri, processes=1) == []


def test_of_two_writers_one_wins_and_the_other_loses_nothing(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    commit = manifest.commit

    def meet(*arguments: object) -> str:
        both.wait(20)
        return commit(*arguments)

    monkeypatch.setattr(manifest, "commit", meet)
    outcomes: dict[str, object] = {}

    def attempt(query: str) -> None:
        try:
            outcomes[query] = remove(tiny.root, query, message="").number
        except errors.DatasetExistsError as error:
            outcomes[query] = error

    queries = ["number = 1", "number = 2"]
    threads = [threading.Thread(target=attempt, args=(query,)) for query in queries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    (lost,) = [query for query in queries if outcomes[query] != 2]
    assert "another writer made version 2 first" in str(outcomes[lost])
    assert "run it again" in str(outcomes[lost])
    assert verify(tiny.root, processes=1) == []
    assert remove(tiny.root, lost, message="").number == 3
    assert len(_keys(tiny.root)) == 8
    assert verify(tiny.root, processes=1) == []


def test_a_kill_in_the_middle_leaves_a_dataset_that_works(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(tiny.root)
    script = (
        "import os, signal, sys\n"
        "from tfstream.storage.local import LocalDirectory\n"
        "from tfstream.versions import remove\n"
        "upload = LocalDirectory.upload\n"
        "def killed(self, name, source):\n"
        "    upload(self, name, source)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "LocalDirectory.upload = killed\n"
        "remove(sys.argv[1], 'number in [1, 5]', message='')\n"
    )
    paths = [str(Path(tfstream.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", script, str(tiny.root)]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    assert manifest.versions(tiny.root) == [1]
    assert verify(tiny.root, processes=1) == []
    after = digests(tiny.root)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    # The same again, at the same moment, meets what was left.
    assert remove(tiny.root, "number in [1, 5]", message="").number == 2
    assert verify(tiny.root, processes=1) == []
    assert len(_keys(tiny.root)) == 8


def test_equal_edits_at_one_moment_give_equal_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    roots = [tmp_path / name for name in "ab"]
    for root in roots:
        tiny_dataset.tiny(root)
        remove(root, "number in [1, 5]", message="m", author="ann")
        relabel(root, pa.table({"key": ["val/9"], "x": [1]}), message="m", author="ann")
    assert digests(roots[0]) == digests(roots[1])


def test_a_disk_that_is_full_leaves_the_dataset_as_it_was(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise errors.StorageError(28, "no space left")

    monkeypatch.setattr(LocalDirectory, "upload", fail)
    before = digests(tiny.root)
    with pytest.raises(errors.StorageError, match="no space"):
        remove(tiny.root, "number in [1, 5]", message="")
    assert digests(tiny.root) == before

"""Tests of tfstream/versions/garbage.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_dataset
from memory_directory import MemoryDirectory
from packed import digests
from tiny_dataset import Tiny

from tfstream import errors
from tfstream.format import manifest, slices
from tfstream.format.verify import verify
from tfstream.versions import delete_garbage, find_garbage, remove, retire, rollback, tag

ONE, OTHER = "0123456789ab", "ba9876543210"
DAY = 86400.0


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


@pytest.fixture
def put(tiny: Tiny) -> Callable[..., Path]:
    """Makes a file of an age in days."""

    def make(name: str, days: float, data: bytes = b"12345") -> Path:
        path = tiny.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        then = time.time() - days * DAY
        os.utime(path, (then, then))
        return path

    return make


def _age(root: Path, days: float) -> None:
    then = time.time() - days * DAY
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def _names(root: Path, **options: float) -> list[str]:
    return [info.name for info in find_garbage(root, **options).files]


def test_what_no_version_names_and_is_old_is_garbage(tiny: Tiny, put: Callable[..., Path]) -> None:
    put(f"shards/train-{ONE}-00000.tfrecord", 8)
    put(f"shards/train-{ONE}-00000.parquet", 9)
    put(f"shards/train-ab-00000-{OTHER}.parquet", 30)
    found = find_garbage(tiny.root)
    assert [info.name for info in found.files] == [
        f"shards/train-{ONE}-00000.parquet",
        f"shards/train-{ONE}-00000.tfrecord",
        f"shards/train-ab-00000-{OTHER}.parquet",
    ]
    assert (found.bytes, found.spared) == (15, ())
    before = digests(tiny.root)
    assert delete_garbage(found) == 15
    after = digests(tiny.root)
    assert before.keys() - after.keys() == {info.name for info in found.files}
    assert verify(tiny.root, processes=1) == []
    assert _names(tiny.root) == []


def test_what_is_young_stays_and_what_is_beside_it(tiny: Tiny, put: Callable[..., Path]) -> None:
    put(f"shards/train-{ONE}-00000.tfrecord", 100)
    put(f"shards/train-{ONE}-00001.tfrecord", 6.9)
    put(f"shards/train-{OTHER}-00000.tfrecord", 7.1)
    found = find_garbage(tiny.root)
    assert [info.name for info in found.files] == [f"shards/train-{OTHER}-00000.tfrecord"]
    assert [info.name for info in found.spared] == [
        f"shards/train-{ONE}-00000.tfrecord",
        f"shards/train-{ONE}-00001.tfrecord",
    ]
    assert len(_names(tiny.root, grace=0)) == 3
    assert _names(tiny.root, grace=8 * DAY) == []


def test_what_is_not_ours_stays(tiny: Tiny, put: Callable[..., Path]) -> None:
    names = [
        f"shards/notes-{ONE}.txt",
        "shards/notes.parquet",
        "shards/train-00000.tfrecord",
        "shards/train-0123456789AB-00000.tfrecord",
        f"train-{ONE}-00000.tfrecord",
        f"other/train-{ONE}-00000.tfrecord",
        f"slices/train-{ONE}-00000.parquet",
        f".packing/{ONE}/train-{ONE}-00000.tfrecord",
        f"manifests/train-{ONE}-00000.parquet",
        f"shards.old/train-{ONE}-00000.tfrecord",
    ]
    for name in names:
        put(name, 1000)
    _age(tiny.root, 1000)
    before = digests(tiny.root)
    found = find_garbage(tiny.root, grace=0)
    assert found.files == found.spared == ()
    assert delete_garbage(found) == 0
    assert digests(tiny.root) == before


def test_what_an_interrupted_pack_could_go_on_with_stays(
    tiny: Tiny, put: Callable[..., Path]
) -> None:
    put(f"shards/train-{ONE}-00000.tfrecord", 100)
    put(f"shards/train-{OTHER}-00000.tfrecord", 100)
    put(f".packing/{ONE}/train-{ONE}-00000.json", 100)
    found = find_garbage(tiny.root)
    assert [info.name for info in found.files] == [f"shards/train-{OTHER}-00000.tfrecord"]
    assert [info.name for info in found.spared] == [f"shards/train-{ONE}-00000.tfrecord"]


def test_what_any_version_names_stays_however_old(tiny: Tiny) -> None:
    remove(tiny.root, "number = 1", message="")
    remove(tiny.root, "number = 2", message="")
    rollback(tiny.root, 1, message="")
    _age(tiny.root, 1000)
    assert _names(tiny.root, grace=0) == []


def test_a_version_made_after_the_plan_keeps_its_files(
    tiny: Tiny, put: Callable[..., Path]
) -> None:
    name = f"shards/train-ab-00000-{ONE}.parquet"
    put(name, 100, tiny.index().read_bytes())
    put(f"shards/train-ab-00000-{OTHER}.parquet", 100)
    found = find_garbage(tiny.root)
    assert len(found.files) == 2
    made = manifest.load(tiny.root)
    made.version = 2
    made.splits[0].shards[0].index_path = name
    manifest.commit(tiny.root, made)
    assert delete_garbage(found) == 5
    assert verify(tiny.root, processes=1) == []


def test_a_file_that_was_replaced_after_the_plan_stays(
    tiny: Tiny, put: Callable[..., Path]
) -> None:
    path = put(f"shards/train-{ONE}-00000.tfrecord", 100)
    found = find_garbage(tiny.root)
    path.write_bytes(b"somebody is at work")
    delete_garbage(found)
    assert path.read_bytes() == b"somebody is at work"


@pytest.mark.parametrize("text", ["{", '{"format_version": 9}'])
def test_where_a_version_cannot_be_read_nothing_is_garbage(
    tiny: Tiny, put: Callable[..., Path], text: str
) -> None:
    path = put(f"shards/train-{ONE}-00000.tfrecord", 100)
    found = find_garbage(tiny.root)
    (tiny.root / "manifests" / "00000002.json").write_text(text)
    for call in (lambda: find_garbage(tiny.root), lambda: delete_garbage(found)):
        with pytest.raises(errors.ManifestError):
            call()
    assert path.exists()


def test_where_there_is_no_dataset_nothing_is_garbage(tmp_path: Path) -> None:
    path = tmp_path / f"shards/train-{ONE}-00000.tfrecord"
    path.parent.mkdir()
    path.touch()
    _age(tmp_path, 100)
    with pytest.raises(errors.DatasetNotFoundError):
        find_garbage(tmp_path)


@pytest.mark.parametrize("grace", [-1, float("nan")])
def test_a_grace_time_is_not_negative(tiny: Tiny, grace: float) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="grace="):
        find_garbage(tiny.root, grace=grace)


def test_what_a_retired_version_alone_needed_is_garbage(tiny: Tiny) -> None:
    second = remove(tiny.root, "number = 1", message="")
    remove(tiny.root, "number < 4", message="")
    assert retire(tiny.root, [2, 1, 1]) == [1, 2]
    assert manifest.versions(tiny.root) == [3]
    _age(tiny.root, 100)
    # The first shard of commit "ab" is not of a name that packing gives.
    assert _names(tiny.root) == [f"shards/train-ab-00000-{second.commit}.parquet"]
    assert verify(tiny.root, processes=1) == []
    with pytest.raises(errors.DatasetNotFoundError, match="no version 1: it has 3"):
        rollback(tiny.root, 1, message="")
    assert remove(tiny.root, "number = 4", message="").number == 4


def test_a_version_that_somebody_needs_is_not_retired(tiny: Tiny) -> None:
    for number in (1, 2, 3):
        remove(tiny.root, f"number = {number}", message="")
    tag(tiny.root, "gold", 2)
    made = slices.SavedSlice("night", 3, "x", ("a",), np.array([1], np.int64))
    slices.save(tiny.root, made)
    for numbers, told in (
        ([1, 4], "Version 4 .* cannot be retired: it is the newest"),
        ([1, 2], "Version 2 .*: it has the tag 'gold'"),
        ([1, 3], "Version 3 .*: the slice 'night' is of it. No version was"),
    ):
        with pytest.raises(errors.InvalidArgumentError, match=told):
            retire(tiny.root, numbers)
    with pytest.raises(errors.DatasetNotFoundError, match="no version 9"):
        retire(tiny.root, [1, 9])
    assert manifest.versions(tiny.root) == [1, 2, 3, 4]
    assert retire(tiny.root, []) == []


def test_a_dataset_elsewhere_has_garbage_too(tiny: Tiny) -> None:
    remote = MemoryDirectory(
        {
            path.relative_to(tiny.root).as_posix(): path.read_bytes()
            for path in tiny.root.rglob("*")
            if path.is_file()
        }
    )
    remove(remote, "number = 1", message="")
    remove(remote, "number = 2", message="")
    retire(remote, [2])
    found = find_garbage(remote)
    assert len(found.files) == 1
    remote.modified = dict.fromkeys(remote.objects, time.time())
    assert find_garbage(remote).files == ()
    assert len(find_garbage(remote).spared) == 1
    delete_garbage(found)
    assert verify(remote, processes=1) == []


def test_the_garbage_of_a_bucket_has_an_age(tiny: Tiny, bucket: object) -> None:
    bucket.upload(tiny.root)
    bucket.put(f"shards/train-{ONE}-00000.tfrecord", b"12345")
    assert [info.size for info in find_garbage(bucket.uri).spared] == [5]
    found = find_garbage(bucket.uri, grace=0)
    assert delete_garbage(found) == 5
    assert verify(bucket.uri, processes=1) == []

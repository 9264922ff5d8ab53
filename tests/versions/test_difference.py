"""Tests of tfstream/versions/difference.py."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
import tiny_dataset
from memory_directory import MemoryDirectory
from tiny_dataset import Tiny, image, write_dataset

from tfstream import errors
from tfstream.format import index, manifest
from tfstream.v1.manifest_pb2 import Manifest
from tfstream.versions import Changed, diff, relabel


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


def _without(root: Path, number: int, keys: set[str]) -> None:
    """Commits a version whose given shard of "train" lacks some records."""
    made = Manifest()
    made.CopyFrom(manifest.load(root))
    made.version += 1
    shard = made.splits[0].shards[number]
    table = index.read(root / shard.index_path, metadata=made.schema.metadata)
    table = table.filter(pa.array([key not in keys for key in table["key"].to_pylist()]))
    shard.index_path = shard.path.replace(".tfrecord", f"-v{made.version}.parquet")
    made.splits[0].statistics.records -= shard.records - len(table)
    shard.records = len(table)
    index.write_table(root / shard.index_path, table)
    manifest.commit(root, made)


def test_what_was_removed_added_and_changed_is_told_by_key(tiny: Tiny) -> None:
    edits = pa.table({"key": ["val/9", "train/7"], "number": [9, 70], "night": [True, None]})
    relabel(tiny.root, edits, message="")
    _without(tiny.root, 0, {"train/1", "train/2"})
    found = diff(tiny.root, 1)
    assert (found.before, found.after) == (1, 3)
    assert (found.added, found.removed, found.changed) == (0, 2, 2)
    assert list(found) == [
        Changed("removed", "train/1"),
        Changed("removed", "train/2"),
        Changed("changed", "train/7", ("number",)),
        Changed("changed", "val/9", ("night",)),
    ]
    back = diff(tiny.root, "3", 1)
    assert (back.added, back.removed, back.changed) == (2, 0, 2)
    assert list(back.keys("added")) == ["train/1", "train/2"]
    assert list(back.keys("removed")) == []


def test_nothing_is_left_in_the_temporary_directory(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(tiny.root, 0, {"train/1"})
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    found = diff(tiny.root, 1)
    assert len(list(room.iterdir())) == 1
    found.close()
    assert list(room.iterdir()) == []
    assert diff(tiny.root, 1).removed == 1
    tiny.index().write_bytes(b"damaged")
    with pytest.raises(errors.CorruptRecordError):
        diff(tiny.root, 1)
    gc.collect()
    assert list(room.iterdir()) == []


def test_a_version_does_not_differ_from_itself(tiny: Tiny) -> None:
    found = diff(tiny.root, 1, 1)
    assert (found.added, found.removed, found.changed, list(found)) == (0, 0, 0, [])


def test_what_both_versions_have_is_not_read(tiny: Tiny) -> None:
    _without(tiny.root, 0, {"train/1"})
    for path in (tiny.index(1), tiny.index(0, "val")):
        path.write_bytes(b"damaged")
    assert [each.key for each in diff(tiny.root, 1)] == ["train/1"]
    tiny.index().write_bytes(b"damaged")
    with pytest.raises(errors.CorruptRecordError, match=r"train-ab-00000\.parquet"):
        diff(tiny.root, 1)


def test_a_record_that_was_stored_anew_is_told_with_what_of_it_differs(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_dataset(root, {"train": [[image("a", 1), image("b", 2)], [image("c", 3)]]})
    write_dataset(tmp_path / "other", {"val": [[image("a", 4), image("b", 2)]]})
    for path in (tmp_path / "other" / "shards").iterdir():
        path.rename(root / "shards" / path.name)
    made = manifest.load(root)
    other = manifest.load(tmp_path / "other")
    made.splits[0].CopyFrom(other.splits[0])
    made.version = 2
    manifest.commit(root, made)
    a, b, c = diff(root, 1)
    assert a.kind == b.kind == "changed"
    assert {"record", "split", "width", "bytes", "label", "labels", "number"} <= set(a.columns)
    assert b.columns == ("record", "split")
    assert c == Changed("removed", "c")


def test_a_column_that_changed_its_type_differs_by_its_text(tiny: Tiny) -> None:
    relabel(tiny.root, pa.table({"key": ["train/1"], "x": [5]}), message="")
    made = manifest.load(tiny.root, 1)
    made.version = 3
    manifest.commit(tiny.root, made)
    relabel(tiny.root, pa.table({"key": ["train/1", "train/2"], "x": ["5", "y"]}), message="")
    assert list(diff(tiny.root, 2, 4)) == [Changed("changed", "train/2", ("x",))]


def test_names_that_differ_in_case_alone_and_odd_ones_are_kept_apart(tmp_path: Path) -> None:
    for number, value in enumerate((1, 2)):
        made = image("a", 1)
        made.metadata["Number"].int_value = value
        made.metadata['a "b"; --'].string_value = "x"
        root = tmp_path / str(number)
        write_dataset(root, {"train": [[made]]})
        names = {"Number": "int", 'a "b"; --': "string"}
        loaded = manifest.load(root)
        loaded.schema.metadata.update(names)
        path = root / loaded.splits[0].shards[0].index_path
        table = index.read(path)
        table = table.append_column("Number", pa.array([value], pa.int64()))
        index.write_table(path, table.append_column('a "b"; --', pa.array(["x"])))
        loaded.version = 2 + number
        if number:
            new = loaded.splits[0].shards[0]
            new.index_path = "shards/new.parquet"
            path.rename(tmp_path / "0" / new.index_path)
        manifest.commit(tmp_path / "0", loaded)
    assert list(diff(tmp_path / "0", 2)) == [Changed("changed", "a", ("Number",))]


def test_versions_of_a_dataset_elsewhere_are_compared_too(tiny: Tiny) -> None:
    _without(tiny.root, 0, {"train/1"})
    remote = MemoryDirectory(
        {
            path.relative_to(tiny.root).as_posix(): path.read_bytes()
            for path in tiny.root.rglob("*")
            if path.is_file()
        }
    )
    assert list(diff(remote, 1)) == [Changed("removed", "train/1")]


def test_a_version_that_is_not_there_is_told(tiny: Tiny) -> None:
    with pytest.raises(errors.DatasetNotFoundError, match="no version 2"):
        diff(tiny.root, 2)

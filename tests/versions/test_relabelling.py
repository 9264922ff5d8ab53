"""Tests of tfstream/versions/relabelling.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_dataset
from memory_directory import MemoryDirectory
from tiny_dataset import Tiny

from tfstream import errors
from tfstream.format import index, manifest
from tfstream.format.verify import verify
from tfstream.versions.relabelling import relabel


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "edits.csv"
        path.write_text(text)
        return path

    return write


def _metadata(root: Path, version: int | None = None) -> dict[str, dict[str, object]]:
    loaded = manifest.load(root, version)
    names = sorted(loaded.schema.metadata)
    rows: dict[str, dict[str, object]] = {}
    for split in loaded.splits:
        for shard in split.shards:
            table = index.read(root / shard.index_path, metadata=loaded.schema.metadata)
            for row in table.to_pylist():
                rows[row["key"]] = {name: row[name] for name in names}
    return rows


def test_cells_are_the_new_values_and_the_rest_stays(
    tiny: Tiny, csv: Callable[[str], Path]
) -> None:
    before = _metadata(tiny.root)
    made = relabel(
        tiny.root,
        csv("key,number,night\ntrain/6,60,true\nval/8,,false\n"),
        message="nights",
        author="ann",
    )
    assert (made.number, made.parent, made.operation) == (2, 1, "relabel")
    assert (made.message, made.author, made.records) == ("nights", "ann", 10)
    after = _metadata(tiny.root)
    assert after.pop("train/6") == {"number": 60, "half": 3.0, "night": True}
    assert after.pop("val/8") == {"number": None, "half": 4.0, "night": False}
    assert after == {k: {**v, "night": None} for k, v in before.items() if k in after}
    assert _metadata(tiny.root, 1) == before
    assert verify(tiny.root, processes=1) == []
    assert verify(tiny.root, 1, processes=1) == []


def test_shards_are_shared_and_indexes_but_of_those_that_change(
    tiny: Tiny, csv: Callable[[str], Path]
) -> None:
    relabel(tiny.root, csv("key,number\ntrain/6,60\n"), message="")
    one, two = manifest.load(tiny.root, 1), manifest.load(tiny.root, 2)
    assert [s.path for s in one.splits[0].shards] == [s.path for s in two.splits[0].shards]
    first, second = two.splits[0].shards
    assert first == one.splits[0].shards[0]
    assert second.index_path == f"shards/train-ab-00001-{two.commit}.parquet"
    assert second.relabelled
    assert two.splits[0].statistics == one.splits[0].statistics
    assert two.commit != one.commit


def test_relabelling_goes_on_from_what_was_relabelled(
    tiny: Tiny, csv: Callable[[str], Path]
) -> None:
    relabel(tiny.root, csv("key,a\ntrain/6,x\n"), message="")
    made = relabel(tiny.root, csv("key,b\ntrain/5,1\n"), message="")
    assert made.number == 3
    rows = _metadata(tiny.root)
    assert rows["train/6"] == {"number": 6, "half": 3.0, "a": "x", "b": None}
    assert rows["train/5"] == {"number": 5, "half": 2.5, "a": None, "b": 1}
    assert verify(tiny.root, processes=1) == []


def test_an_arrow_table_and_a_parquet_file_do_too(tiny: Tiny, tmp_path: Path) -> None:
    table = pa.table({"half": pa.array([1, 2], pa.int32()), "key": ["val/9", "train/0"]})
    relabel(tiny.root, table, message="")
    assert _metadata(tiny.root)["val/9"]["half"] == 1.0
    pq.write_table(
        table.drop_columns(["half"]).append_column("s", [["p", None]]), tmp_path / "e.parquet"
    )
    relabel(tiny.root, tmp_path / "e.parquet", message="")
    rows = _metadata(tiny.root)
    assert (rows["val/9"]["s"], rows["train/0"]["s"]) == ("p", None)


def test_a_dataset_elsewhere_is_relabelled_too(tiny: Tiny, csv: Callable[[str], Path]) -> None:
    files = {
        path.relative_to(tiny.root).as_posix(): path.read_bytes()
        for path in tiny.root.rglob("*")
        if path.is_file()
    }
    remote = MemoryDirectory(files)
    made = relabel(remote, csv("key,night\ntrain/6,true\n"), message="")
    assert made.number == 2
    assert verify(remote, processes=1) == []
    assert set(remote.objects) - set(files) == {
        "manifests/00000002.json",
        f"shards/train-ab-00001-{made.commit}.parquet",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("key,number\ntrain/6,x\n", r"'x' in row 1, column 'number', .*type int"),
        ("key,number\ntrain/6,1\ntrain/5,1.5\n", r"'1.5' in row 2, column 'number'"),
        ("key,width\ntrain/6,1\n", r"'width'.*index's own column"),
        ("key,Labels\ntrain/6,1\n", r"'Labels'.*index's own column"),
        ("key,split\ntrain/6,val\n", r"'split'.*index's own column"),
        ("key,Number\ntrain/6,1\n", r"'Number' differs from 'number'"),
        ("id,number\ntrain/6,1\n", r"no column 'key'"),
        ("key,number\ntrain/6,1\ntrain/6,2\n", r"'train/6' in row 1 and again in row 2"),
        ("key,number\n,1\n", r"nothing in row 1, column 'key'"),
        ("key,number\n", r"has no row"),
        ("key\ntrain/6\n", r"no column besides 'key'"),
        ("key,x\ntrain/6,\n", r"no value for any column"),
        ("key,number\ntrain/6,6\n", r"is so already in version 1"),
        (
            "key,number\na,1\nb,2\ntrain/6,1\nc,3\nd,4\n",
            r"names records that are not in .*: 'a', 'b', 'c' and 1 more",
        ),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_changed(
    tiny: Tiny, csv: Callable[[str], Path], text: str, told: str
) -> None:
    before = sorted(tiny.root.rglob("*"))
    with pytest.raises(errors.InvalidArgumentError, match=told):
        relabel(tiny.root, csv(text), message="")
    assert sorted(tiny.root.rglob("*")) == before


def test_errors_of_a_table_do_not_speak_of_a_file(tiny: Tiny) -> None:
    table = pa.table({"key": ["train/6"], "number": ["x"]})
    with pytest.raises(
        errors.InvalidArgumentError, match=r"^The table of edits .*number"
    ) as caught:
        relabel(tiny.root, table, message="")
    assert "parquet" not in str(caught.value)
    with pytest.raises(errors.InvalidArgumentError, match=r"must be a file's path"):
        relabel(tiny.root, 3, message="")
    with pytest.raises(errors.DatasetNotFoundError, match=r"no metadata file at"):
        relabel(tiny.root, "nowhere.csv", message="")

"""Tests of tfstream/format/index.py."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest

from tfstream import errors
from tfstream.format import index
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Value

SCHEMA = {
    "weather": "string",
    "camera.id": "int",
    "camera": "string",
    "iso": "float",
    "night": "bool",
}


def _row(number: int, **fields: object) -> index.Row:
    row = index.Row(
        key=f"train/{number}",
        offset=number * 100,
        length=100,
        width=640,
        height=480,
        format="jpeg",
        orientation=1,
        bytes=80,
        label="cat",
        objects=3,
        labels={"cat": 2, "dog": 1},
        metadata={"weather": "rain", "camera.id": 7, "camera": "left", "iso": 100, "night": True},
    )
    return dataclasses.replace(row, **fields)


ROWS = [
    _row(0),
    _row(1, label=None, objects=0, labels={}, metadata={}),
    _row(2, format="png", orientation=6, metadata={"iso": 0.5, "weather": None, "night": False}),
]


def test_an_index_gives_its_rows_back(tmp_path: Path) -> None:
    path = tmp_path / "shards" / "a=1" / "s.parquet"
    index.write(path, ROWS, SCHEMA)
    table = index.read(path)
    assert table.schema.equals(index.schema(SCHEMA))
    for row, got in zip(ROWS, table.to_pylist(), strict=True):
        metadata = {name: got.pop(name) for name in SCHEMA}
        assert metadata == {name: row.metadata.get(name) for name in SCHEMA}
        assert {**got, "labels": dict(got["labels"]), "metadata": row.metadata} == (
            dataclasses.asdict(row)
        )


def test_an_index_is_read_from_memory_too(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    index.write(path, ROWS, SCHEMA)
    data = path.read_bytes()
    assert index.read(data).equals(index.read(path))
    assert [batch.num_rows for batch in index.batches(data, ["key"])] == [3]
    for call in (
        lambda: index.read(data[:-1], name="gs://b/i"),
        lambda: index.read(data, ["x"], name="gs://b/i"),
        lambda: list(index.batches(b"", ["key"], name="gs://b/i")),
    ):
        with pytest.raises(errors.CorruptRecordError, match=r"^Index gs://b/i "):
            call()


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    index.write(tmp_path / "a.parquet", ROWS, SCHEMA)
    index.write(tmp_path / "b.parquet", list(ROWS), dict(reversed(SCHEMA.items())))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_index_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    index.write(tmp_path / "a.parquet", [], SCHEMA)
    table = index.read(tmp_path / "a.parquet")
    assert table.num_rows == 0
    assert table.schema.equals(index.schema(SCHEMA))


def test_columns_come_alone_and_in_the_order_asked_for(tmp_path: Path) -> None:
    index.write(tmp_path / "a.parquet", ROWS, SCHEMA)
    table = index.read(tmp_path / "a.parquet", ["camera", "key", "labels"])
    assert table.column_names == ["camera", "key", "labels"]
    assert index.read(tmp_path / "a.parquet", ["camera.id"]).to_pydict() == {
        "camera.id": [7, None, None]
    }
    with pytest.raises(errors.CorruptRecordError, match=r"a\.parquet has no column 'nope'"):
        index.read(tmp_path / "a.parquet", ["nope"])


def test_metadata_that_an_older_index_lacks_is_null(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    index.write(path, ROWS, {"iso": "float", "camera.id": "int"})
    table = index.read(path, metadata=SCHEMA)
    assert table.schema.equals(index.schema(SCHEMA))
    assert table["iso"].to_pylist() == [100, None, 0.5]
    assert table["night"].to_pylist() == [None] * 3
    alone = index.read(path.read_bytes(), ["camera", "key"], metadata=SCHEMA)
    assert alone.to_pydict() == {"camera": [None] * 3, "key": [row.key for row in ROWS]}
    assert index.read(path, ["night"], metadata=SCHEMA).to_pydict() == {"night": [None] * 3}
    for wanted, known in ((["night"], {"iso": "float"}), (["night"], None), (["nope"], SCHEMA)):
        with pytest.raises(errors.CorruptRecordError, match=r"has no column 'n"):
            index.read(path, wanted, metadata=known)


def test_metadata_that_the_manifest_does_not_know_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    index.write(path, ROWS, SCHEMA)
    table = index.read(path, metadata={"iso": "float"})
    assert table.schema.equals(index.schema({"iso": "float"}))


def test_part_of_an_index_is_an_index_too(tmp_path: Path) -> None:
    index.write(tmp_path / "a.parquet", ROWS, SCHEMA)
    part = index.read(tmp_path / "a.parquet").take([2, 0])
    index.write_table(tmp_path / "b.parquet", part)
    assert index.read(tmp_path / "b.parquet").equals(part)
    index.write(tmp_path / "c.parquet", [ROWS[2], ROWS[0]], SCHEMA)
    assert index.read(tmp_path / "c.parquet").to_pylist() == part.to_pylist()


def test_other_readers_understand_an_index(tmp_path: Path) -> None:
    index.write(tmp_path / "a.parquet", ROWS, SCHEMA)
    dataset = pytest.importorskip("pyarrow.dataset")
    found = dataset.dataset(tmp_path).to_table(filter=dataset.field("orientation") == 6)
    assert found["key"].to_pylist() == ["train/2"]


def test_the_row_of_an_image_says_what_it_holds() -> None:
    box = Box(ymin=0, xmin=0, ymax=5, xmax=5)
    image = AnnotatedImage(
        key="a/b",
        encoded=b"12345",
        format="png",
        width=10,
        height=20,
        objects=[
            Object(label="dog", box=box),
            Object(label="cat", box=Box(ymin=0, xmin=0, ymax=9, xmax=9)),
            Object(label="dog", box=box),
        ],
        metadata={"b": Value(int_value=1), "a": Value(bool_value=False), "c": Value()},
    )
    assert index.Row.of(image, offset=7, length=99) == index.Row(
        key="a/b",
        offset=7,
        length=99,
        width=10,
        height=20,
        format="png",
        orientation=1,
        bytes=5,
        label="cat",
        objects=3,
        labels={"cat": 1, "dog": 2},
        metadata={"a": False, "b": 1, "c": None},
    )
    assert index.schema_of(image) == {"a": "bool", "b": "int"}


def test_values_of_mixed_types_become_text(tmp_path: Path) -> None:
    rows = [_row(i, metadata={"x": value}) for i, value in enumerate(["a", 1, 2.5, True])]
    index.write(tmp_path / "a.parquet", rows, {"x": "string"})
    assert index.read(tmp_path / "a.parquet")["x"].to_pylist() == ["a", "1", "2.5", "true"]


@pytest.mark.parametrize(
    ("value", "kind"), [("a", "int"), (1.5, "int"), (True, "int"), (True, "float"), (1, "bool")]
)
def test_a_value_of_another_type_is_named(tmp_path: Path, value: object, kind: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=rf"'x' of 'train/0' .*'{kind}'"):
        index.write(tmp_path / "a.parquet", [_row(0, metadata={"x": value})], {"x": kind})
    assert list(tmp_path.iterdir()) == []


def test_metadata_cannot_take_a_column_of_ours() -> None:
    for name in ("key", "labels", "split"):
        with pytest.raises(errors.InvalidArgumentError, match=rf"column '{name}'.*Rename"):
            index.schema({name: "int"})
    with pytest.raises(errors.InvalidArgumentError, match=r"type 'date'"):
        index.schema({"day": "date"})


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    index.write(path, ROWS, SCHEMA)
    data = path.read_bytes()
    for damaged in (b"", b"not parquet at all", data[:-9], data[: len(data) // 2], b"\0" * 500):
        path.write_bytes(damaged)
        with pytest.raises(errors.CorruptRecordError, match=r"Index .*a\.parquet cannot be read"):
            index.read(path)
    with pytest.raises(errors.StorageError, match=r"Cannot read index .*gone\.parquet: No such"):
        index.read(tmp_path / "gone.parquet")


def test_flipped_bytes_in_an_index_give_errors_of_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    index.write(path, ROWS, SCHEMA)
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with contextlib.suppress(errors.CorruptRecordError):
            index.read(path)

"""Tests of tfstream/format/slices.py."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_directory import MemoryDirectory

from tfstream import errors
from tfstream.format import slices
from tfstream.format.slices import SavedSlice


def _slice(name: str = "night", **fields: object) -> SavedSlice:
    made = SavedSlice(name, 3, "ab", ("labels.dog > 1", "x:3"), np.array([7, 2, 2**40], np.int64))
    return dataclasses.replace(made, **fields)


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    return tmp_path if request.param == "local" else MemoryDirectory({})


def test_a_slice_comes_back_as_it_was_saved(root: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    place = slices.save(root, _slice(author="ann"))
    assert place.endswith("slices/night.parquet")
    got = slices.load(root, "night")
    assert (got.name, got.version, got.commit) == ("night", 3, "ab")
    assert got.query == ("labels.dog > 1", "x:3")
    assert (got.author, got.created) == ("ann", "1970-01-01T00:00:00Z")
    assert got.records.tolist() == [7, 2, 2**40]
    assert got.records.dtype == np.int64
    assert got.parts is None


@given(st.lists(st.sampled_from([None, "train", "test", "validation"]), max_size=40))
def test_parts_come_back_in_their_order_even_empty_ones(given_parts: list[str | None]) -> None:
    root = MemoryDirectory({})
    parts = {
        name: np.flatnonzero([each == name for each in given_parts])
        for name in ("train", "test", "validation")
    }
    records = np.arange(len(given_parts), dtype=np.int64)[::-1].copy()
    slices.save(root, _slice(records=records, parts=parts))
    got = slices.load(root, "night")
    assert got.records.tolist() == records.tolist()
    assert got.parts is not None
    assert list(got.parts) == ["train", "test", "validation"]
    for name, places in parts.items():
        assert got.parts[name].tolist() == places.tolist()


def test_any_program_can_read_a_slice(tmp_path: Path) -> None:
    parts = {"train": np.array([0, 2]), "test": np.array([1])}
    place = slices.save(tmp_path, _slice(parts=parts))
    table = pq.read_table(place)
    assert table["record"].to_pylist() == [7, 2, 2**40]
    assert table["split"].to_pylist() == ["train", "test", "train"]
    about = json.loads(table.schema.metadata[b"tfstream"])
    assert about["query"] == ["labels.dog > 1", "x:3"]
    assert about["format_version"] == 1


def test_data_points_come_back_with_their_members_and_parts(root: object) -> None:
    points = np.array([[7, 2], [3, -1], [1, 0]], np.int64)
    parts = {"train": np.array([0, 2]), "test": np.array([1])}
    slices.save(root, _slice(records=points, parts=parts, draws=1))
    got = slices.load(root, "night")
    assert got.records.tolist() == points.tolist()
    assert got.draws == 1
    assert {name: places.tolist() for name, places in (got.parts or {}).items()} == {
        "train": [0, 2],
        "test": [1],
    }
    slices.save(root, _slice("none", records=np.empty((0, 3), np.int64)))
    assert slices.load(root, "none").records.shape == (0, 3)


def test_a_slice_without_records_can_be_saved(root: object) -> None:
    slices.save(root, _slice(records=np.array([], np.int64), parts={"train": np.array([], int)}))
    got = slices.load(root, "night")
    assert got.records.tolist() == []
    assert got.parts is not None
    assert got.parts["train"].tolist() == []


def test_a_saved_slice_is_never_changed(root: object) -> None:
    slices.save(root, _slice())
    with pytest.raises(errors.DatasetExistsError, match=r"night\.parquet exists.*another name"):
        slices.save(root, _slice(version=4))
    assert slices.load(root, "night").version == 3


def test_the_same_slice_can_be_saved_again_at_another_time(
    root: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _slice(parts={"b": np.array([1], np.int64), "a": np.array([0, 2], np.int64)})
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    slices.save(root, made)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2")
    slices.save(root, made)
    assert slices.load(root, "night").created == "1970-01-01T00:00:01Z"
    others = {"records": made.records[::-1].copy(), "query": ("x:3",), "parts": None}
    for name, value in others.items():
        with pytest.raises(errors.DatasetExistsError):
            slices.save(root, dataclasses.replace(made, **{name: value}))


def test_slices_are_listed_with_their_versions(root: object) -> None:
    assert slices.names(root) == []
    for name, version in (("b", 2), ("a.1", 1)):
        slices.save(root, _slice(name, version=version))
    assert slices.names(root) == ["a.1", "b"]
    assert slices.versions(root) == {"a.1": 1, "b": 2}


def test_a_slice_that_is_not_there_is_told_with_the_nearest(root: object) -> None:
    with pytest.raises(errors.DatasetNotFoundError, match=r"no slice 'nihgt'. It has no slices"):
        slices.load(root, "nihgt")
    slices.save(root, _slice())
    with pytest.raises(errors.DatasetNotFoundError, match=r"no slice 'nihgt'. Nearest: 'night'"):
        slices.load(root, "nihgt")
    with pytest.raises(errors.DatasetNotFoundError, match=r"no slice 'x'. Its slices: night\."):
        slices.load(root, "x")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "-x", "ü", "x" * 101, "a b", "x\n"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="cannot be the name of a slice"):
        slices.save(tmp_path, _slice(name))
    with pytest.raises(errors.InvalidArgumentError, match="cannot be the name of a slice"):
        slices.load(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("records", [[-1], [[-1, 2]], [[1, -2]], [[[1]]], [1.5]])
def test_what_are_no_numbers_of_records_is_refused(tmp_path: Path, records: list[object]) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="must be their numbers"):
        slices.save(tmp_path, _slice(records=np.array(records)))


def _about(**fields: object) -> dict[bytes, bytes]:
    about = {"format_version": 1, "version": 1, "commit": "a", "query": [], **fields}
    return {b"tfstream": json.dumps(about).encode()}


RECORD = pa.array([1], pa.int64())


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (pa.table({"record": RECORD}), "does not say that it is a slice"),
        (pa.table({"record": RECORD}, metadata={b"tfstream": b"{"}), "cannot be read"),
        (pa.table({"record": RECORD}, metadata=_about(format_version=3)), "upgrade tfstream"),
        (pa.table({"record": RECORD}, metadata=_about(members=0)), "not of the right types"),
        (pa.table({"record": RECORD}, metadata=_about(members="2")), "not of the right types"),
        (pa.table({"record": RECORD}, metadata=_about(members=1 << 80)), "not of the right types"),
        (pa.table({"record": RECORD}, metadata=_about(members=2)), "cannot be read"),
        (pa.table({"record": RECORD}, metadata=_about(draws=None)), "not of the right types"),
        (pa.table({"record": RECORD}, metadata=_about(version="1")), "not of the right types"),
        (pa.table({"record": RECORD}, metadata=_about(splits=["a"])), "cannot be read"),
        (pa.table({"records": RECORD}, metadata=_about()), "cannot be read"),
        (pa.table({"record": pa.array([1.5])}, metadata=_about()), "its records are double"),
        (pa.table({"record": pa.array([None], pa.int64())}, metadata=_about()), "1 nulls"),
        (pa.table({"record": pa.array([-1])}, metadata=_about()), "names a record -1"),
        (
            pa.table({"record": RECORD, "split": pa.array(["b"])}, metadata=_about(splits=["a"])),
            "a split that it does not name",
        ),
    ],
)
def test_a_damaged_slice_is_named(tmp_path: Path, table: pa.Table, told: str) -> None:
    path = tmp_path / "slices" / "x.parquet"
    path.parent.mkdir()
    pq.write_table(table, path)
    with pytest.raises(errors.CorruptRecordError, match=told) as caught:
        slices.load(tmp_path, "x")
    assert str(path) in str(caught.value)
    path.write_bytes(b"nonsense")
    with pytest.raises(errors.CorruptRecordError, match="cannot be read"):
        slices.versions(tmp_path)

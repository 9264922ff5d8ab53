"""Tests of tfstream/format/table.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream.errors import CorruptRecordError
from tfstream.format.table import Located, RecordTable
from tfstream.v1.manifest_pb2 import Shard

SIZES = [3, 0, 5, 1]
RECORDS = sum(SIZES)


def _write(path: Path, offsets: list[int], lengths: list[int] | None = None) -> None:
    columns = {"offset": offsets, "length": lengths or [100 + offset for offset in offsets]}
    pq.write_table(pa.table({n: pa.array(v, pa.int64()) for n, v in columns.items()}), path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("table")
    for number, size in enumerate(SIZES):
        _write(root / f"{number}.parquet", [1000 * number + place for place in range(size)])
    return root


def _shards(sizes: list[int] = SIZES) -> list[Shard]:
    return [
        Shard(path=f"{number}.tfrecord", index_path=f"{number}.parquet", records=size)
        for number, size in enumerate(sizes)
    ]


def _columns(table: RecordTable) -> list[list[int]]:
    return [table.shards.tolist(), table.offsets.tolist(), table.lengths.tolist()]


@given(st.lists(st.integers(0, RECORDS - 1)))
def test_places_of_some_rows_are_those_taken_from_all_places(root: Path, rows: list[int]) -> None:
    chosen = np.array(rows, np.int64)
    whole = RecordTable.load(root, _shards())
    assert _columns(RecordTable.load(root, _shards(), chosen)) == [
        [column[row] for row in chosen] for column in _columns(whole)
    ]


@given(st.lists(st.integers(0, RECORDS - 1)))
def test_where_records_lie_is_not_read_again(rows: list[int]) -> None:
    numbers = np.array([0, 2, 4, 7, 8])
    located = Located(numbers, numbers * 1000, (numbers * 10).astype(np.int32))
    chosen = np.array(rows, np.int64)
    nowhere = Path("nowhere")
    if set(rows) <= set(numbers.tolist()):
        table = RecordTable.load(nowhere, _shards(), chosen, located)
        ends = np.cumsum(SIZES)
        shards = [int(np.flatnonzero(row < ends)[0]) for row in rows]
        assert _columns(table) == [shards, [row * 1000 for row in rows], [row * 10 for row in rows]]
    else:
        assert located.places(chosen) is None
    assert len(RecordTable.load(nowhere, _shards(), numbers, located)) == 5


def test_only_shards_that_hold_chosen_records_are_read(root: Path) -> None:
    shards = _shards()
    shards[0].index_path = "nowhere.parquet"
    table = RecordTable.load(root, shards, np.array([8, 3]))
    assert _columns(table) == [[3, 2], [3000, 2000], [3100, 2100]]


def test_rows_of_large_indexes_are_found_in_each_row_group(tmp_path: Path) -> None:
    count = 200_000
    offsets = pa.array(np.arange(count))
    pq.write_table(
        pa.table({"offset": offsets, "length": offsets}), tmp_path / "0.parquet", row_group_size=999
    )
    rows = np.random.default_rng(0).integers(0, count, 5000)
    assert RecordTable.load(tmp_path, _shards([count]), rows).offsets.tolist() == rows.tolist()


@pytest.mark.parametrize("rows", [[-1], [RECORDS], [0, RECORDS, 1]])
def test_a_row_that_is_not_there_is_refused(root: Path, rows: list[int]) -> None:
    with pytest.raises(IndexError, match=f"not a record of {RECORDS}"):
        RecordTable.load(root, _shards(), np.array(rows, np.int64))


@pytest.mark.parametrize("rows", [None, np.array([1], np.int64)])
def test_an_index_with_another_number_of_records_is_named(
    tmp_path: Path, rows: np.ndarray | None
) -> None:
    _write(tmp_path / "0.parquet", [1, 2, 3])
    for told, compared in ((2, "more"), (4, "fewer")):
        with pytest.raises(CorruptRecordError, match=rf"0\.parquet holds {compared} records than"):
            RecordTable.load(tmp_path, _shards([told]), rows)


@pytest.mark.parametrize("length", [-1, 1 << 31])
def test_a_length_out_of_range_is_named(tmp_path: Path, length: int) -> None:
    _write(tmp_path / "0.parquet", [1, 2], [10, length])
    with pytest.raises(CorruptRecordError, match=rf"0\.parquet names a record of {length} bytes"):
        RecordTable.load(tmp_path, _shards([2]))


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.parquet").write_bytes(b"not parquet")
    with pytest.raises(CorruptRecordError, match=r"0\.parquet cannot be read"):
        RecordTable.load(tmp_path, _shards([2]))

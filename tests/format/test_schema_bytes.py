"""Tests of tfstream/format/schema_bytes.py."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfstream.format import index
from tfstream.format.schema_bytes import beginning


def _write(path: Path, rows: int, **columns: pa.DataType) -> str:
    table = {name: pa.nulls(rows, kind) for name, kind in columns.items()}
    pq.write_table(pa.table(table), path)
    return str(path)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 5000, 100_000])
def test_the_number_of_rows_stands_behind_the_schema(tmp_path: Path, rows: int) -> None:
    path = _write(tmp_path / "a.parquet", rows, a=pa.int32(), b=pa.map_(pa.string(), pa.int64()))
    found = beginning(path)
    assert found is not None
    assert found[1] == rows
    assert beginning(path, [b"another", found[0]]) == found


def test_files_begin_alike_if_their_columns_do(tmp_path: Path) -> None:
    one = _write(tmp_path / "1", 3, a=pa.int32(), b=pa.string())
    more = _write(tmp_path / "2", 400, a=pa.int32(), b=pa.string())
    starts = {beginning(one, ())[0], beginning(more, ())[0]}  # type: ignore[index]
    assert len(starts) == 1
    for number, kind in enumerate([pa.int64(), pa.int8(), pa.string(), pa.bool_()]):
        other = _write(tmp_path / f"other-{number}", 3, a=kind, b=pa.string())
        found = beginning(other, starts)
        assert found is not None
        assert found[0] not in starts


def test_an_index_of_many_columns_is_understood(tmp_path: Path) -> None:
    schema = index.schema({f"column_{number:03}": "int" for number in range(300)})
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    found = beginning(str(tmp_path / "a.parquet"))
    assert found is not None
    assert found[1] == 0


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_none_that_is_understood_or_says_something(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "a.parquet"
    whole = bytearray(Path(_write(path, 3, a=pa.int32(), b=pa.string())).read_bytes())
    for place in data.draw(st.lists(st.integers(1, len(whole)), min_size=1, max_size=4)):
        whole[-place] = data.draw(st.integers(0, 255))
    path.write_bytes(
        whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole
    )
    found = beginning(str(path))
    assert found is None or isinstance(found[1], int)


def test_what_is_no_parquet_file_is_not_understood(tmp_path: Path) -> None:
    for content in (b"", b"PAR1", b"x" * 100, b"PAR1" + b"\xff\xff\xff\x7fPAR1"):
        (tmp_path / "a").write_bytes(content)
        assert beginning(str(tmp_path / "a")) is None
    with pytest.raises(FileNotFoundError):
        beginning(str(tmp_path / "nowhere"))

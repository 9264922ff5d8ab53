"""What indexes say of themselves: checked before anything is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tfstream.errors import CorruptRecordError
from tfstream.format import index

if TYPE_CHECKING:
    import pyarrow as pa

    from tfstream.query.database import Database

__all__ = ["blame", "check"]

# Files with the same columns have the same text, so that one of them can be looked at for all.
_LIKENESS = """
SELECT file_name, md5(list_sort(list(concat_ws(' ', name, type, duckdb_type)))::VARCHAR)
FROM parquet_schema(?) GROUP BY file_name
"""


def check(
    database: Database, rows: Mapping[str, int], metadata: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Compares some indexes with what the manifest says of them.

    Args:
        database: That may read them.
        rows: By path, how many rows the manifest says that there are.
        metadata: The manifest's schema.

    Returns:
        By path, the columns in their order.

    Raises:
        CorruptRecordError: One has more or fewer rows, lacks a column that every index has, or
            has one of another type.
    """
    import pyarrow.parquet as pq

    paths = list(rows)
    for path, found in database.fetch(
        "SELECT file_name, num_rows FROM parquet_file_metadata(?)", [paths]
    ):
        if found != rows[path]:
            raise CorruptRecordError(
                f"the index {path} holds {'more' if found > rows[path] else 'fewer'} records than "
                f"the {rows[path]} that the manifest says: `tfstream verify` lists all that is "
                f"wrong with a dataset (it holds {found})"
            )
    looked_at: dict[str, tuple[str, ...]] = {}
    out = {}
    for path, likeness in database.fetch(_LIKENESS, [paths]):
        if likeness not in looked_at:
            schema = pq.read_schema(path)
            _check_types(path, schema, index.schema(metadata))
            looked_at[likeness] = tuple(schema.names)
        out[path] = looked_at[likeness]
    return out


def _check_types(path: str, found: pa.Schema, wanted: pa.Schema) -> None:
    for name in index.COLUMNS:
        if name not in found.names:
            raise CorruptRecordError(
                f"Index {path} has no column {name!r}: it has {', '.join(found.names)}."
            )
    for field in wanted:
        for type_ in (found.field(n).type for n in found.get_all_field_indices(field.name)):
            if _plain(type_) != _plain(field.type):
                raise CorruptRecordError(
                    f"Column {field.name!r} of the index {path} is of the type {type_}: the "
                    f"manifest says {field.type}."
                )


def _plain(type_: pa.DataType) -> object:
    """A type without what makes no difference to values."""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    if pa.types.is_map(type_):
        return _plain(type_.key_type), _plain(type_.item_type)
    return pa.string() if pa.types.is_large_string(type_) else type_


def blame(paths: Iterable[str]) -> None:
    """Finds the index that cannot be read.

    Raises:
        CorruptRecordError: It is damaged.
        StorageError: It cannot be opened.
    """
    for path in paths:
        for _ in index.batches(path, index.COLUMNS):
            pass

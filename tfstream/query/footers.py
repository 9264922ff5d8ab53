"""What indexes say of themselves: checked before anything is asked of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tfstream.errors import CorruptRecordError, StorageError
from tfstream.format import index, schema_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from tfstream.query.database import Database

__all__ = ["blame", "check"]

# Reads all that there is, and keeps nothing of it.
_ALL_VALUES = """
SELECT coalesce(sum(list_count(map_keys(labels))) = sum(cardinality(labels)), true),
       bit_xor(hash(COLUMNS(*)))
FROM read_parquet(?, hive_partitioning = false)
"""


def check(rows: Mapping[str, int], metadata: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Compares some indexes with what the manifest says of them.

    Args:
        rows: By path, how many rows the manifest says that there are.
        metadata: The manifest's schema.

    Returns:
        By path, the columns in their order.

    Raises:
        CorruptRecordError: One is damaged, has more or fewer rows, lacks a column that every index
            has, or has one of another type.
        StorageError: One cannot be read.
    """
    wanted = index.schema(metadata)
    known: dict[bytes, tuple[str, ...]] = {}  # of one file of each schema, looked at for all
    out: dict[str, tuple[str, ...]] = {}
    for path, told in rows.items():
        begins = schema_bytes.beginning(path, known)
        if begins is None:  # of another writer, or damaged
            found, out[path] = index.rows_at(path), _columns(path, wanted)
        else:
            schema, found = begins
            if schema not in known:
                known[schema] = _columns(path, wanted)
            out[path] = known[schema]
        if found != told:
            compared = "more" if found > told else "fewer"
            raise CorruptRecordError(
                f"the index {path} holds {compared} records than the {told} that the "
                "manifest says: `tfstream verify` lists all that is wrong with a dataset"
            )
    return out


def _columns(path: str, wanted: pa.Schema) -> tuple[str, ...]:
    """The columns of an index, which are of the types that are wanted.

    Raises:
        CorruptRecordError: They are not, or one that every index has is missing.
    """
    found = index.schema_at(path)
    for field in wanted:
        for number in found.get_all_field_indices(field.name):
            type_ = found.field(number).type
            if _plain(type_) != _plain(field.type):
                raise CorruptRecordError(
                    f"Column {field.name!r} of the index {path} is of the type {type_}: the "
                    f"manifest says {field.type}."
                )
    return tuple(found.names)


def _plain(type_: pa.DataType) -> object:
    """A type without what makes no difference to values."""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    if pa.types.is_map(type_):
        return _plain(type_.key_type), _plain(type_.item_type)
    return pa.string() if pa.types.is_large_string(type_) else type_


def blame(database: Database, paths: Iterable[str]) -> None:
    """Finds the index that cannot be read, if it is that.

    Raises:
        CorruptRecordError: It is damaged.
        StorageError: It cannot be opened.
    """
    for path in paths:
        try:
            open(path, "rb").close()
            answer = database.fetch(_ALL_VALUES, [[database.names[path]]])
            whole = answer[0][0]
            if not whole:
                raise CorruptRecordError(f"Index {path} counts labels that have no names.")
        except CorruptRecordError:
            raise
        except OSError as error:
            if error.errno is None:  # what Arrow raises
                raise CorruptRecordError(f"Index {path} cannot be read: {error}.") from error
            raise StorageError(
                error.errno, f"Cannot read index {path}: {os.strerror(error.errno)}."
            ) from error
        except Exception as error:  # what DuckDB raises of damaged files is of many kinds
            raise CorruptRecordError(f"Index {path} cannot be read: {error}.") from error

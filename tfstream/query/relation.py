"""The SQL of a table of records, out of the indexes of many shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfstream.query.columns import RECORD

__all__ = ["File", "Query", "records"]

_TYPES = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
# Files in one list. DuckDB copies the list of their first records' numbers for every 2,048 rows:
# with that of 20,000 files this took as long as reading them.
_TOGETHER = 512
_INDEX_TYPES = {
    "offset": "BIGINT",
    "length": "BIGINT",
    "width": "INTEGER",
    "height": "INTEGER",
    "orientation": "TINYINT",
    "bytes": "BIGINT",
    "objects": "INTEGER",
    "labels": "MAP(VARCHAR, INTEGER)",
}


@dataclasses.dataclass(frozen=True)
class Query:
    """SQL and the values of its `?`."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def select(self, *expressions: str, parameters: Sequence[Any] = ()) -> Query:
        """Expressions over this as a table; the parameters are theirs."""
        listed = ", ".join(expressions)
        return Query(f"SELECT {listed} FROM ({self.sql})", (*parameters, *self.parameters))

    def then(self, clause: str, parameters: Sequence[Any] = ()) -> Query:
        """With a clause at its end."""
        return Query(f"{self.sql} {clause}", (*self.parameters, *parameters))


@dataclasses.dataclass(frozen=True)
class File:
    """An index.

    Attributes:
        name: What SQL calls the file.
        columns: Its columns, in their order.
        start: The number of its first record.
        split: Of its records.
    """

    name: str
    columns: tuple[str, ...]
    start: int
    split: str


def records(
    files: Sequence[File], identifiers: Mapping[str, str], metadata: Mapping[str, str]
) -> Query:
    """A table of all records, with their numbers.

    Args:
        files: In the order of their records.
        identifiers: What each column shall be called.
        metadata: The types of the metadata columns; those that a file lacks are null.
    """
    like: dict[tuple[str, ...], list[File]] = {}
    for file in files:
        like.setdefault(file.columns, []).append(file)
    parts = [
        _of_like_files(some[begin : begin + _TOGETHER], identifiers, metadata)
        for some in like.values()
        for begin in range(0, len(some), _TOGETHER)
    ]
    if not parts:
        parts = [_none(identifiers, metadata)]
    return Query(
        " UNION ALL ".join(part.sql for part in parts),
        tuple(value for part in parts for value in part.parameters),
    )


def _of_like_files(
    files: list[File], identifiers: Mapping[str, str], metadata: Mapping[str, str]
) -> Query:
    # Columns go by their place, so that no name in a file can stand for another.
    aliases = {name: f"c{number}" for number, name in enumerate(files[0].columns)}
    values = {name: aliases.get(name, "NULL") for name in identifiers}
    for name, kind in metadata.items():
        values[name] = f"{values[name]}::{_TYPES[kind]}"
        if kind == "float":  # DuckDB holds NaN for larger than all numbers; here it is no value
            values[name] = f"nullif({values[name]}, 'nan'::DOUBLE)"
    # Splits by runs of files, for there are few.
    ends = [end for end in range(1, len(files)) if files[end].split != files[end - 1].split]
    cases = "".join(f"WHEN file_index < {end} THEN ?::VARCHAR " for end in ends)
    values["split"] = f"CASE {cases}ELSE ?::VARCHAR END" if ends else "?::VARCHAR"
    # Its `?` come first.
    listed = [
        f"{values[name]} AS {identifiers[name]}" for name in sorted(values, key="split".__ne__)
    ]
    return Query(
        f"SELECT {', '.join(listed)}, "
        f"(?::BIGINT[])[file_index::INTEGER + 1] + file_row_number AS {RECORD} "
        f"FROM read_parquet(?, hive_partitioning = false) AS t({', '.join(aliases.values())})",
        (
            *(files[end - 1].split for end in [*ends, len(files)]),
            [file.start for file in files],
            [file.name for file in files],
        ),
    )


def _none(identifiers: Mapping[str, str], metadata: Mapping[str, str]) -> Query:
    """For a dataset without shards."""
    types = {name: _INDEX_TYPES.get(name, "VARCHAR") for name in identifiers}
    types |= {name: _TYPES[kind] for name, kind in metadata.items()}
    listed = [f"NULL::{types[name]} AS {quoted}" for name, quoted in identifiers.items()]
    return Query(f"SELECT {', '.join(listed)}, 0::BIGINT AS {RECORD} WHERE false")

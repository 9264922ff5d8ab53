"""Reads a file of metadata, CSV, TSV or Parquet, some rows at a time, and finds its columns' types.

No type but four comes out of it: text, 64-bit integers, 64-bit floats, and true or false.
"""

from __future__ import annotations

import abc
import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfstream.annotations.sidecars import MOST_COLUMNS
from tfstream.errors import DatasetNotFoundError, InvalidArgumentError, StorageError
from tfstream.packing.text_columns import TextColumn, cast
from tfstream.storage.uri import require_local

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Rows", "Source", "open_source"]

# The column with the record's key; or with the image's path, of which the key is made.
_KEYS = ("key", "file", "path")
_LONGEST_HEADER = 1 << 20  # characters
_BLOCK = 1 << 20  # bytes of a CSV file at once, some tens of which are read ahead; no row is longer
_ROWS = 1 << 16  # of a Parquet file at once


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of a file.

    Attributes:
        keys: Text, as the file has it.
        values: A column each of the source's `names`.
    """

    keys: pa.Array
    values: list[pa.Array]


class Source(abc.ABC):
    """A file of metadata.

    Attributes:
        path: Of the file.
        key: The name of the column with keys: "key", "file" or "path".
        names: Of the other columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Finds the column with keys among a file's."""
        self.path = path
        if len(columns) - 1 > MOST_COLUMNS:
            raise self.error(f"has {len(columns):,} columns, of {MOST_COLUMNS:,} at most")
        for name in columns:
            if not name or columns.count(name) > 1:
                raise self.error(f"has two columns, or one without a name, named {name!r}")
        if not columns:
            raise self.error("is empty")
        key = next((name for name in _KEYS if name in columns), None)
        if key is None:
            shown = ", ".join(map(repr, columns[:20]))
            raise self.error(
                f"has no column 'key' (nor 'file' or 'path', of the image) to join records on: it "
                f"has {shown}"
            )
        if len(columns) == 1:
            raise self.error(f"has no column besides {key!r}")
        self.key = key
        self.names = [name for name in columns if name != key]

    def error(self, what: str) -> InvalidArgumentError:
        """The error that says what is wrong with the file."""
        return InvalidArgumentError(f"The metadata file {self.path} {what}.")

    @abc.abstractmethod
    def rows(self) -> Iterator[Rows]:
        """Reads the file, from its first row to its last."""

    @abc.abstractmethod
    def kinds(self) -> dict[str, str]:
        """The columns' types, once all rows were read; columns without any value are left out."""


def open_source(path: Path, known: Mapping[str, str]) -> Source:
    """Opens a file of metadata.

    Args:
        path: Its name ends in .csv, .tsv or .parquet.
        known: Columns of which the type is known: texts must be of it.

    Raises:
        DatasetNotFoundError: There is no such file.
        InvalidArgumentError: It cannot be used.
        StorageError: It cannot be read.
    """
    require_local(path, "a file of metadata", "download it first")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise InvalidArgumentError(
            f"metadata={str(path)!r} is none of the files that can be joined: .csv, .tsv, .parquet."
        )
    try:
        if suffix == ".parquet":
            return _Parquet(path)
        return _Text(path, "," if suffix == ".csv" else "\t", known)
    except FileNotFoundError as error:
        raise DatasetNotFoundError(f"There is no metadata file at {path}.") from error
    except InvalidArgumentError:
        raise
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


class _Text(Source):
    """CSV or TSV, with a header; what is empty is null."""

    def __init__(self, path: Path, delimiter: str, known: Mapping[str, str]) -> None:
        self.path = path
        self._delimiter = delimiter
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                head = io.StringIO(file.read(_LONGEST_HEADER), newline="")
            columns = next(csv.reader(head, delimiter=delimiter), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise self.error(f"is not text in UTF-8 with a header: {error}") from error
        super().__init__(path, columns)
        self._types = {name: TextColumn(known.get(name)) for name in self.names}

    def rows(self) -> Iterator[Rows]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        first = 1
        try:
            reader = arrow_csv.open_csv(
                self.path,
                read_options=arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=True
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys([self.key, *self.names], pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                values = [batch.column(name) for name in self.names]
                for name, texts in zip(self.names, values, strict=True):
                    place = self._types[name].see(texts)
                    if place is not None:
                        raise self.error(
                            f"has {texts[place].as_py()!r} in row {first + place}, column "
                            f"{name!r}, which is of type {self._types[name].kind} in the dataset"
                        )
                yield Rows(batch.column(self.key), values)
                first += batch.num_rows
        except pa.ArrowException as error:
            raise self.error(f"cannot be read: {str(error).rstrip('.')}") from error

    def kinds(self) -> dict[str, str]:
        found = {name: column.kind for name, column in self._types.items()}
        return {name: kind for name, kind in found.items() if kind is not None}


class _Parquet(Source):
    """Parquet; the members of structures are columns with a dot in their names."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
        except pa.ArrowException as error:
            raise self.error(f"cannot be read: {str(error).rstrip('.')}") from error
        schema = _flat(schema.empty_table()).schema
        super().__init__(path, schema.names)
        if not _is_text(schema.field(self.key).type):
            raise self.error(f"has keys of type {schema.field(self.key).type}, where text is meant")
        found = {name: self._kind(name, schema.field(name).type) for name in self.names}
        self._kinds = {name: kind for name, kind in found.items() if kind is not None}
        self.names = list(self._kinds)

    def rows(self) -> Iterator[Rows]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_ROWS):
                    table = _flat(pa.Table.from_batches([batch]))
                    yield Rows(
                        _whole(table[self.key], "string"),
                        [_whole(table[name], kind) for name, kind in self._kinds.items()],
                    )
        except (pa.ArrowException, OSError) as error:
            raise self.error(f"cannot be read: {str(error).rstrip('.')}") from error

    def kinds(self) -> dict[str, str]:
        return self._kinds

    def _kind(self, name: str, type: pa.DataType) -> str | None:
        import pyarrow as pa

        if pa.types.is_null(type):
            return None
        if _is_text(type) or pa.types.is_temporal(type):  # a time becomes text, as in JSON
            return "string"
        if pa.types.is_boolean(type):
            return "bool"
        if pa.types.is_integer(type):
            return "int"
        if pa.types.is_floating(type) or pa.types.is_decimal(type):
            return "float"
        raise self.error(
            f"has the column {name!r} of type {type}: make text, numbers or booleans of it, or "
            "leave it out"
        )


def _is_text(type: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))


def _flat(table: pa.Table) -> pa.Table:
    """The table with a column for each member of a structure."""
    import pyarrow as pa

    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _whole(column: pa.ChunkedArray, kind: str) -> pa.Array:
    """A column of one of our types, in one piece."""
    import pyarrow as pa

    cast_column = cast(column, kind)
    return pa.concat_arrays(cast_column.chunks) if cast_column.num_chunks else pa.array([])

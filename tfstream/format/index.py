"""The index: a Parquet file beside each shard, a row for each of its records."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tfstream import errors
from tfstream.format import example
from tfstream.storage import local

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tfstream.storage.directory import Directory
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

# pyarrow takes a third of a second to import: functions that need it do so.

__all__ = [
    "COLUMNS",
    "Row",
    "batches",
    "cells",
    "read",
    "rows_at",
    "schema",
    "schema_at",
    "schema_of",
    "source",
    "write",
    "write_table",
]

# What every index has; a column for each metadata name follows.
COLUMNS = (
    "key",
    "offset",
    "length",
    "width",
    "height",
    "format",
    "orientation",
    "bytes",
    "label",
    "objects",
    "labels",
)

# What the oneof's members are called in the manifest's schema.
_KINDS = {
    "string_value": "string",
    "int_value": "int",
    "float_value": "float",
    "bool_value": "bool",
}

_ROW_GROUP = 1 << 16  # rows


@dataclasses.dataclass(frozen=True)
class Row:
    """What the index says of one record.

    Attributes:
        key: Of the image.
        offset: Byte of the shard where the record's frame begins.
        length: Bytes of the whole frame: the next one begins at offset + length.
        width: Pixels, as displayed.
        height: Pixels, as displayed.
        format: "jpeg", "png" ...; "tensor".
        orientation: EXIF's, 1 to 8.
        bytes: Of the encoded image alone, or the tensor.
        label: Of the main object; None without objects.
        objects: How many there are.
        labels: How many objects bear each label that occurs.
        metadata: The free metadata.
    """

    key: str
    offset: int
    length: int
    width: int
    height: int
    format: str
    orientation: int
    bytes: int
    label: str | None
    objects: int
    labels: Mapping[str, int]
    metadata: Mapping[str, str | int | float | bool | None]

    @classmethod
    def of(cls, image: AnnotatedImage, *, offset: int, length: int) -> Row:
        """The row of an image that `example.encode` was given.

        Args:
            image: With all but the place known.
            offset: Byte of the shard where the record's frame begins.
            length: Bytes of the whole frame.
        """
        main = example.main_object(image)
        return cls(
            key=image.key,
            offset=offset,
            length=length,
            width=image.width,
            height=image.height,
            format=image.format,
            orientation=image.orientation or 1,
            bytes=len(image.encoded) or len(image.tensor.data),
            label=None if main is None else image.objects[main].label,
            objects=len(image.objects),
            labels=dict(sorted(Counter(item.label for item in image.objects).items())),
            metadata=example.metadata(image),
        )


def schema_of(image: AnnotatedImage) -> dict[str, str]:
    """The metadata columns of one image: name to "string", "int", "float" or "bool"."""
    kinds = {name: value.WhichOneof("kind") for name, value in image.metadata.items()}
    return {name: _KINDS[kind] for name, kind in sorted(kinds.items()) if kind is not None}


def schema(metadata_schema: Mapping[str, str]) -> pa.Schema:
    """The columns of an index.

    Args:
        metadata_schema: Name to "string", "int", "float" or "bool", as the manifest has it.

    Raises:
        InvalidArgumentError: A metadata name is one of the index's own columns, or
            its type is not one of the four.
    """
    import pyarrow as pa

    types = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    fields = [
        pa.field("key", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("format", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("orientation", pa.int8(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("objects", pa.int32(), nullable=False),
        pa.field("labels", pa.map_(pa.string(), pa.int32()), nullable=False),
    ]
    for name, kind in sorted(metadata_schema.items()):
        if name in COLUMNS or name == "split":
            raise errors.InvalidArgumentError(
                f"The metadata cannot have a column {name!r}: the index has one of that name. "
                "Rename it."
            )
        if kind not in types:
            raise errors.InvalidArgumentError(
                f"Metadata column {name!r} has the type {kind!r}: it must be "
                f"{', '.join(map(repr, types))}."
            )
        fields.append(pa.field(name, types[kind]))
    return pa.schema(fields)


def write(
    file: str | os.PathLike[str] | BinaryIO, rows: Sequence[Row], metadata_schema: Mapping[str, str]
) -> None:
    """Writes an index.

    Equal rows give equal bytes (with one version of pyarrow).

    Args:
        file: As `write_table` takes it.
        rows: In the order of their records.
        metadata_schema: The metadata columns, those of the whole dataset.

    Raises:
        InvalidArgumentError: A metadata value is not of its column's type.
        StorageError: The file cannot be written.
    """
    import pyarrow as pa

    table = pa.Table.from_pylist(
        [cells(row, metadata_schema) for row in rows], schema=schema(metadata_schema)
    )
    write_table(file, table)


def write_table(file: str | os.PathLike[str] | BinaryIO, table: pa.Table) -> None:
    """Writes what `read` gave, or rows and columns of it.

    Args:
        file: Where it shall be, whole and on disk or not at all; or an open file, whose owner
            sees to that.
        table: With the columns of an index.

    Raises:
        StorageError: The file cannot be written.
    """
    import pyarrow.parquet as pq

    if isinstance(file, (str, os.PathLike)):
        with local.write_atomically(file) as opened:
            write_table(opened, table)
    else:
        pq.write_table(table, file, compression="zstd", row_group_size=_ROW_GROUP)


def cells(row: Row, metadata_schema: Mapping[str, str]) -> dict[str, Any]:
    """A row as the table has it, by column.

    Raises:
        InvalidArgumentError: A metadata value is not of its column's type.
    """
    plain = {name: getattr(row, name) for name in COLUMNS}
    plain["labels"] = list(row.labels.items())
    for name, kind in metadata_schema.items():
        plain[name] = _cast(row, name, kind)
    return plain


def _cast(row: Row, name: str, kind: str) -> str | int | float | bool | None:
    """A metadata value as its column holds it."""
    value = row.metadata.get(name)
    if value is None:
        return None
    if kind == "string":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in ("int", "float") and not isinstance(value, bool):
        if kind == "float" and isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, int):
            return value
    raise errors.InvalidArgumentError(
        f"Metadata {name!r} of {row.key!r} is {value!r}: the column holds the type {kind!r}."
    )


def source(directory: Directory, name: str) -> Path | bytes:
    """What `read` takes for the index of that name in a dataset.

    Args:
        directory: The dataset's.
        name: Of the index, relative to it.

    Returns:
        The path on local disk; the bytes, where the dataset is elsewhere.

    Raises:
        StorageError: It cannot be read.
    """
    return directory.read(name) if directory.path is None else directory.path / name


def read(
    index: str | os.PathLike[str] | bytes,
    columns: Iterable[str] | None = None,
    *,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> pa.Table:
    """Reads an index.

    Args:
        index: The Parquet file's path on local disk, or its bytes.
        columns: Those wanted, in that order; None: all.
        name: What messages call it; None: the path.
        metadata: The metadata columns of the dataset, as the manifest has them. One that the
            index lacks, being older, is filled with nulls. None: what the index has is all.

    Returns:
        An Arrow table, a row a record in the order of the shard.

    Raises:
        CorruptRecordError: It is not a Parquet file, or a column is missing.
        StorageError: It cannot be opened or read.
    """
    wanted = None if columns is None else list(columns)
    if wanted is None and metadata is not None:
        wanted = list(schema(metadata).names)
    with _open(index, _needed(wanted or (), metadata), name) as file:
        if wanted is None:
            return file.read()
        names = file.schema_arrow.names
        table = file.read(columns=[column for column in wanted if column in names])
        rows = file.metadata.num_rows
    # By name: one with a dot, "a.b", is read along with "a".
    return _filled(table, wanted, metadata or {}, rows)


def batches(
    index: str | os.PathLike[str] | bytes,
    columns: Iterable[str],
    *,
    name: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Reads an index a few rows at a time, so that memory does not grow with it.

    Args:
        index: The Parquet file's path on local disk, or its bytes.
        columns: Those wanted.
        name: What messages call it; None: the path.

    Raises:
        CorruptRecordError: It is not a Parquet file, or a column is missing.
        StorageError: It cannot be opened or read.
    """
    wanted = list(columns)
    with _open(index, wanted, name) as file:
        yield from file.iter_batches(batch_size=_ROW_GROUP, columns=wanted, use_threads=False)


def schema_at(path: str | os.PathLike[str]) -> pa.Schema:
    """The columns of an index, as its file has them.

    Raises:
        CorruptRecordError: It is not a Parquet file, or a column of every index is missing.
        StorageError: It cannot be opened or read.
    """
    with _open(path, COLUMNS, None) as file:
        return file.schema_arrow


def rows_at(path: str | os.PathLike[str]) -> int:
    """How many rows an index has, as its file says.

    Raises:
        CorruptRecordError: It is not a Parquet file.
        StorageError: It cannot be opened or read.
    """
    with _open(path, (), None) as file:
        return int(file.metadata.num_rows)


def _needed(columns: Iterable[str], metadata: Mapping[str, str] | None) -> list[str]:
    """The columns that an index must have."""
    return [column for column in columns if column in COLUMNS or column not in (metadata or {})]


def _filled(
    table: pa.Table, columns: Sequence[str], metadata: Mapping[str, str], rows: int
) -> pa.Table:
    """The columns of a table, and nulls for those that it lacks."""
    import pyarrow as pa

    missing = {name: kind for name, kind in metadata.items() if name not in table.column_names}
    types = schema(missing)
    fields, arrays = [], []
    for name in columns:
        there = name in table.column_names
        fields.append(table.schema.field(name) if there else types.field(name))
        arrays.append(table[name] if there else pa.nulls(rows, types.field(name).type))
    return pa.table(arrays, schema=pa.schema(fields))


@contextlib.contextmanager
def _open(
    index: str | os.PathLike[str] | bytes, needed: Iterable[str], called: str | None
) -> Iterator[pq.ParquetFile]:
    """Opens an index; what goes wrong in the body is told as what is wrong with the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    in_memory = isinstance(index, bytes)
    path = called or (os.fspath(index) if not isinstance(index, bytes) else "in memory")
    try:
        # Not pq.read_table: that takes "a=b" in the path for a column.
        with pq.ParquetFile(pa.BufferReader(index) if in_memory else index) as file:
            names = file.schema_arrow.names
            missing = [name for name in needed if name not in names]
            if missing:
                raise errors.CorruptRecordError(
                    f"Index {path} has no column {missing[0]!r}: it has {', '.join(names)}."
                )
            yield file
    except errors.TfstreamError:
        raise
    except (pa.ArrowException, ValueError, MemoryError) as error:
        raise errors.CorruptRecordError(f"Index {path} cannot be read: {error}.") from error
    except OSError as error:
        if error.errno is None:  # what Arrow raises for damaged pages
            raise errors.CorruptRecordError(f"Index {path} cannot be read: {error}.") from error
        raise errors.StorageError(
            error.errno, f"Cannot read index {path}: {os.strerror(error.errno)}."
        ) from error

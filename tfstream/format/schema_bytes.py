"""What the footer of a Parquet file begins with: its schema and its number of rows.

To parse a footer takes longer than to read it, for most of it is about the parts of each column.
Files with the same columns begin alike to the byte, though (a FileMetaData in Thrift's compact
protocol: the version, the schema, then the number of rows), so that of many such files one need
be parsed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = ["beginning"]

_MAGIC = b"PAR1"
_END = 8  # bytes behind a footer: its length, and the magic
_MOST = 1 << 20  # bytes of a schema; what is longer is not looked at
_VARINT = 10  # bytes at most

# Kinds of Thrift's compact protocol.
_FLAGS, _BYTE, _NUMBERS, _DOUBLE, _BINARY, _LIST, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 9, 12
_ROWS = (3, 6)  # field and kind of the number of rows


class _UnknownError(Exception):
    """A footer that is not like those that are known here, or is none."""


def beginning(path: str, known: Iterable[bytes] = ()) -> tuple[bytes, int] | None:
    """What a file's footer says before it comes to the columns' parts.

    Args:
        path: The file, on local disk.
        known: What other files' footers begin with: those that this one is first held against.

    Returns:
        The bytes that hold the schema, the same for all files with that schema by the same
        writer, and the number of rows; None: the file is not understood, or damaged.

    Raises:
        OSError: It cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        end = os.pread(file, _END, max(0, size - _END))
        length = int.from_bytes(end[:4], "little")
        at = size - _END - length
        if end[4:] != _MAGIC or at < len(_MAGIC):
            return None
        for schema in known:
            data = os.pread(file, min(length, len(schema) + _VARINT), at)
            if data.startswith(schema):
                break
        else:
            data = os.pread(file, min(length, _MOST), at)
            schema = data[: _end_of_schema(data)]
        rows, _ = _varint(data, len(schema))
        return schema, rows >> 1 if rows & 1 == 0 else -(rows >> 1) - 1
    except _UnknownError:
        return None
    finally:
        os.close(file)


def _end_of_schema(data: bytes) -> int:
    """Where the number of rows stands.

    Raises:
        _UnknownError: There is none.
    """
    at = field = 0
    while True:
        field, kind, at = _field(data, at, field)
        if (field, kind) == _ROWS:
            return at
        if not 0 < field < _ROWS[0]:
            raise _UnknownError
        at = _skip(data, at, kind)


def _field(data: bytes, at: int, before: int) -> tuple[int, int, int]:
    """A field's number, 0 at the end of a struct; its kind; where its value begins."""
    head = _byte(data, at)
    if head == 0:
        return 0, 0, at + 1
    if head >> 4 == 0:  # its number stands alone
        raise _UnknownError
    return before + (head >> 4), head & 15, at + 1


def _skip(data: bytes, at: int, kind: int, depth: int = 0) -> int:
    """Where a value ends."""
    if depth > 8 or at > len(data):
        raise _UnknownError
    if kind in _FLAGS:  # in a struct, the kind is the value
        return at
    if kind == _BYTE:
        return at + 1
    if kind in _NUMBERS:
        return _varint(data, at)[1]
    if kind == _DOUBLE:
        return at + 8
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind == _LIST:
        head = _byte(data, at)
        count, at = (head >> 4, at + 1) if head >> 4 < 15 else _varint(data, at + 1)
        if head & 15 in _FLAGS or count > len(data):
            raise _UnknownError
        for _ in range(count):
            at = _skip(data, at, head & 15, depth + 1)
        return at
    if kind == _STRUCT:
        field = 0
        while True:
            field, inner, at = _field(data, at, field)
            if field == 0:
                return at
            at = _skip(data, at, inner, depth + 1)
    raise _UnknownError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for place in range(_VARINT):
        byte = _byte(data, at + place)
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise _UnknownError


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise _UnknownError
    return data[at]

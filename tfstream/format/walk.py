"""Walking a shard from its first byte to its last, past damage where there is a way on."""

from __future__ import annotations

import bisect
import dataclasses
import os
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tfstream import errors
from tfstream.format import record

__all__ = ["Frame", "walk"]

_LENGTH = struct.Struct("<Q")


@dataclasses.dataclass(frozen=True)
class Frame:
    """A record, sound or not, as it was met on the way.

    Attributes:
        offset: Byte where it begins.
        length: Bytes to where the walk goes on: the whole frame, when it is sound.
        payload: What it holds, its CRCs checked; None when it is damaged.
        damage: What is wrong with it; None when nothing is.
    """

    offset: int
    length: int
    payload: bytes | None
    damage: errors.CorruptRecordError | None


def walk(path: str | os.PathLike[str], *, starts: Sequence[int] = ()) -> Iterator[Frame]:
    """Reads every record of a shard, checking both its CRCs.

    A record whose length is sound is stepped over even when its payload is not.
    When the length itself is damaged, the walk goes on at the next of `starts`;
    without one, where the length would end if there a record begins; else it
    ends.

    Args:
        path: The shard, on local disk.
        starts: Bytes where records begin, ascending: what the index says.

    Yields:
        Frames that cover the file without gaps.

    Raises:
        StorageError: The shard cannot be opened or read.
    """
    try:
        with open(path, "rb", buffering=1 << 20) as file:
            size = os.fstat(file.fileno()).st_size
            offset = 0
            while offset < size:
                frame = _frame_at(file, path, offset, size, starts)
                yield frame
                offset += frame.length
    except errors.TfstreamError:
        raise
    except OSError as error:
        raise errors.StorageError(
            error.errno, f"Cannot read shard {path}: {error.strerror}."
        ) from error


def _frame_at(
    file: BinaryIO, path: str | os.PathLike[str], offset: int, size: int, starts: Sequence[int]
) -> Frame:
    file.seek(offset)
    header = file.read(record.HEADER_BYTES)
    try:
        length = record.payload_length(header, path=path, offset=offset) + record.FRAME_BYTES
    except errors.CorruptRecordError as damage:
        end = _next_start(starts, offset, size) or _believed_end(file, header, offset, size)
        return Frame(offset, (end or size) - offset, None, damage)
    if offset + length > size:
        # Before reading: a length that lies must not claim memory.
        cut = errors.CorruptRecordError(
            f"Record at byte {offset} of {os.fspath(path)} is corrupt: it needs {length} bytes, "
            f"and the file has {size - offset} from there."
        )
        end = _next_start(starts, offset, size)
        return Frame(offset, (end or size) - offset, None, cut)
    data = header + file.read(length - len(header))
    try:
        return Frame(offset, length, record.unframe(data, path=path, offset=offset), None)
    except errors.CorruptRecordError as damage:
        return Frame(offset, length, None, damage)


def _next_start(starts: Sequence[int], offset: int, size: int) -> int | None:
    place = bisect.bisect_right(starts, offset)
    return starts[place] if place < len(starts) and starts[place] < size else None


def _believed_end(file: BinaryIO, header: bytes, offset: int, size: int) -> int | None:
    """Where the frame ends if only the length's CRC is damaged, not the length."""
    if len(header) < record.HEADER_BYTES:
        return None
    end = offset + int(_LENGTH.unpack_from(header)[0]) + record.FRAME_BYTES
    if end >= size:
        return None
    file.seek(end)
    try:
        record.payload_length(file.read(record.HEADER_BYTES), path="", offset=end)
    except errors.CorruptRecordError:
        return None
    return end

"""Walking a shard from its first byte to its last, past damage where there is a way on."""

from __future__ import annotations

import bisect
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tfstream import errors
from tfstream.format import record

__all__ = ["Frame", "walk"]


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
    damage: str | None


def walk(
    shard: str | os.PathLike[str] | BinaryIO, *, starts: Sequence[int] = ()
) -> Iterator[Frame]:
    """Reads every record of a shard, checking both its CRCs.

    A record whose length is sound is stepped over even when its payload is not.
    When the length itself is damaged, the walk goes on at the next of `starts`;
    without one, where the length would end if there a record begins; else it
    ends.

    Args:
        shard: Its path on local disk, or the shard itself, open for reading.
        starts: Bytes where records begin, ascending: what the index says.

    Yields:
        Frames that cover the file without gaps. The file is closed at the end.

    Raises:
        StorageError: The shard cannot be opened or read.
    """
    path = shard if isinstance(shard, (str, os.PathLike)) else shard.name
    try:
        with _opened(shard) as file:
            size = file.seek(0, os.SEEK_END)
            offset = 0
            while offset < size:
                frame = _frame_at(file, offset, size, starts)
                yield frame
                offset += frame.length
    except errors.TfstreamError:
        raise
    except OSError as error:
        raise errors.StorageError(
            error.errno, f"Cannot read shard {path}: {error.strerror}."
        ) from error


def _opened(shard: str | os.PathLike[str] | BinaryIO) -> BinaryIO:
    if isinstance(shard, (str, os.PathLike)):
        return open(shard, "rb", buffering=1 << 20)
    return shard


def _frame_at(file: BinaryIO, offset: int, size: int, starts: Sequence[int]) -> Frame:
    file.seek(offset)
    header = file.read(record.HEADER_BYTES)
    fault = record.header_fault(header)
    if fault is not None:
        end = _next_start(starts, offset, size) or _believed_end(file, header, offset, size)
        return Frame(offset, (end or size) - offset, None, fault)
    length = record.stated_length(header) + record.FRAME_BYTES
    if offset + length > size:
        # Before reading: a length that lies must not claim memory.
        fault = f"it needs {length} bytes, and the file has {size - offset} from there"
        return Frame(offset, (_next_start(starts, offset, size) or size) - offset, None, fault)
    payload = file.read(length - record.FRAME_BYTES)
    fault = record.payload_fault(payload, file.read(record.FOOTER_BYTES))
    return Frame(offset, length, None if fault else payload, fault)


def _next_start(starts: Sequence[int], offset: int, size: int) -> int | None:
    place = bisect.bisect_right(starts, offset)
    return starts[place] if place < len(starts) and starts[place] < size else None


def _believed_end(file: BinaryIO, header: bytes, offset: int, size: int) -> int | None:
    """Where the frame ends if only the length's CRC is damaged, not the length."""
    if len(header) < record.HEADER_BYTES:
        return None
    end = offset + record.stated_length(header) + record.FRAME_BYTES
    if end >= size:
        return None
    file.seek(end)
    return end if record.header_fault(file.read(record.HEADER_BYTES)) is None else None

"""What the scan found: annotations in a file, and a few numbers a record in memory."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tfstream.packing.images import ImageFacts
from tfstream.v1 import annotated_image_pb2

_Number = TypeVar("_Number", bound=np.generic)

__all__ = [
    "Batch",
    "Entry",
    "Spool",
    "Table",
    "entry_offsets",
    "pack_entry",
    "pack_serialized",
    "unpack_entries",
    "unpack_entry",
]

# Bytes of the annotation; bytes and mtime of the image file; whether it is re-encoded.
_HEADER = struct.Struct("<IQq?")
_ENTRIES_MAPPED = 1024
_SMALL = 64 << 20  # bytes of a file that may stay mapped


@dataclass(frozen=True)
class Entry:
    """One record to be.

    Attributes:
        image: Checked, all but the bytes.
        stamp: (bytes, mtime in nanoseconds) of the image file, as the scan saw it.
        reencode: Whether the image is re-encoded.
    """

    image: annotated_image_pb2.AnnotatedImage
    stamp: tuple[int, int]
    reencode: bool


@dataclass(frozen=True)
class Batch:
    """Some scanned records; all lists are [n], in the order of the listing.

    Attributes:
        entries: Of `pack_entry`, one behind the other.
        lengths: Bytes of each entry.
        hashes: Of the keys.
        frame_bytes: Of each record in its shard, with label indices of one byte.
        slack: By how much more it can grow with label indices of up to three bytes.
        splits: Name of each record's split.
    """

    entries: bytes
    lengths: Sequence[int]
    hashes: Sequence[int]
    frame_bytes: Sequence[int]
    slack: Sequence[int]
    splits: Sequence[str]

    def take(self, places: Sequence[int]) -> Batch:
        """The records at some places."""
        ends = list(accumulate(self.lengths))
        return Batch(
            entries=b"".join(self.entries[ends[i] - self.lengths[i] : ends[i]] for i in places),
            lengths=[self.lengths[i] for i in places],
            hashes=[self.hashes[i] for i in places],
            frame_bytes=[self.frame_bytes[i] for i in places],
            slack=[self.slack[i] for i in places],
            splits=[self.splits[i] for i in places],
        )


def unpack_entries(batch: Batch) -> Iterator[annotated_image_pb2.AnnotatedImage]:
    """The annotations of a batch."""
    begin = 0
    for length in batch.lengths:
        yield unpack_entry(batch.entries[begin : begin + length])
        begin += length


def unpack_entry(entry: bytes) -> annotated_image_pb2.AnnotatedImage:
    """The annotation of one entry."""
    return annotated_image_pb2.AnnotatedImage.FromString(entry[_HEADER.size :])


def pack_entry(
    image: annotated_image_pb2.AnnotatedImage, facts: ImageFacts, *, reencode: bool
) -> bytes:
    """An entry as the spool file holds it."""
    annotation = image.SerializeToString(deterministic=True)
    return pack_serialized(annotation, facts.bytes, facts.mtime_ns, reencode=reencode)


def pack_serialized(annotation: bytes, size: int, mtime_ns: int, *, reencode: bool) -> bytes:
    """The same of a serialised annotation, and of its image file's size and time."""
    return _HEADER.pack(len(annotation), size, mtime_ns, reencode) + annotation


def entry_offsets(entries: bytes | bytearray) -> list[int]:
    """Where each entry begins, of some that lie one behind the other."""
    offsets, at = [], 0
    while at < len(entries):
        offsets.append(at)
        at += _HEADER.size + _HEADER.unpack_from(entries, at)[0]
    return offsets


class Table:
    """Where each record's entry lies in the spool, and what the plan needs: 31 bytes a record."""

    def __init__(self) -> None:
        self._offsets: list[NDArray[np.int64]] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._sizes: list[NDArray[np.int64]] = []
        self._slack: list[NDArray[np.int32]] = []
        self._splits: list[NDArray[np.uint16]] = []
        self._codes: dict[str, int] = {}
        self._end = 0

    def append(self, batch: Batch) -> None:
        """Adds the records of a batch, which lies behind the former ones in the spool."""
        lengths = np.asarray(batch.lengths, np.int64)
        self._offsets.append(self._end + np.cumsum(lengths) - lengths)
        self._end += len(batch.entries)
        self._hashes.append(np.asarray(batch.hashes, np.uint64))
        self._sizes.append(np.asarray(batch.frame_bytes, np.int64))
        self._slack.append(np.asarray(batch.slack, np.int32))
        codes = [self._codes.setdefault(name, len(self._codes)) for name in batch.splits]
        self._splits.append(np.asarray(codes, np.uint16))

    def __len__(self) -> int:
        return sum(len(part) for part in self._offsets)

    @property
    def split_names(self) -> list[str]:
        """By code, as `splits` holds them."""
        return list(self._codes)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """[n]: byte of the spool where each entry begins."""
        return _joined(self._offsets, np.int64)

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """[n]: of each key."""
        return _joined(self._hashes, np.uint64)

    @property
    def splits(self) -> NDArray[np.uint16]:
        """[n]: code of each record's split."""
        return _joined(self._splits, np.uint16)

    def sizes(self, classes: int) -> NDArray[np.int64]:
        """[n]: bytes of each record's frame; an upper bound where there are over 128 classes."""
        sizes = _joined(self._sizes, np.int64)
        return sizes if classes <= 128 else sizes + _joined(self._slack, np.int32)


class Spool:
    """The entries of a spool file, by offset.

    It is mapped to memory, and what was read of it counts as the process's own until it is given
    back. The system maps 64 KiB around each entry: of a large file, that is soon all of it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 (__exit__ closes it)
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._large = len(self._map) > _SMALL
        self._read = 0  # entries, since memory was given back

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._map.close()
        self._file.close()

    @property
    def memory(self) -> mmap.mmap:
        """The file's bytes."""
        return self._map

    def count(self, entries: int) -> None:
        """Takes note of entries that were read from `memory`."""
        self._read += entries
        if self._large and self._read >= _ENTRIES_MAPPED:
            self._read = 0
            self._map.madvise(mmap.MADV_DONTNEED)  # the system may keep the file's pages

    def stamp(self, offset: int) -> tuple[int, int]:
        """The stamp of the entry that begins at a byte of the file."""
        _, size, mtime, _ = _HEADER.unpack_from(self._map, offset)
        self.count(1)
        return size, mtime

    def read(self, offset: int) -> Entry:
        """The entry that begins at a byte of the file."""
        length, size, mtime, reencode = _HEADER.unpack_from(self._map, offset)
        begin = offset + _HEADER.size
        image = annotated_image_pb2.AnnotatedImage.FromString(self._map[begin : begin + length])
        self.count(1)
        return Entry(image, (size, mtime), reencode)


def _joined(parts: list[NDArray[_Number]], dtype: type[_Number]) -> NDArray[_Number]:
    """One array of all parts, which from now on are that one."""
    if len(parts) != 1:
        parts[:] = [np.concatenate(parts) if parts else np.empty(0, dtype)]
    return parts[0]

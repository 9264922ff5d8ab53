"""Scanned records on their way to their shards, as arithmetic: buckets, runs and cuts.

Records are parted into buckets by their keys' hashes, so that the buckets one after the other, each
sorted, are all records in the order in which they are stored.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfstream.packing.plan import cut
from tfstream.packing.spool import Batch

__all__ = ["Cutter", "Numbers", "Rows", "Run", "bucket_of", "by_bucket", "runs_of", "sort"]


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What a plan needs to know of some records; all arrays are [n].

    Attributes:
        names: Of splits.
        splits: Place of each record's split in `names`.
        hashes: Of the keys.
        ordinals: Place in the listing: all that is said of it is which of two is earlier.
        frame_bytes: Of each record in its shard, with label indices of one byte.
        slack: By how much more it can grow with label indices of up to three bytes.
        digests: Of all that decides the record's bytes.
        lengths: Bytes of each entry of the spool.
    """

    names: tuple[str, ...]
    splits: NDArray[np.uint16]
    hashes: NDArray[np.uint64]
    ordinals: NDArray[np.int64]
    frame_bytes: NDArray[np.int64]
    slack: NDArray[np.int64]
    digests: NDArray[np.uint64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """[n]: byte where each entry begins, where they lie one behind the other."""
        return np.cumsum(self.lengths) - self.lengths

    def take(self, places: NDArray[np.int64]) -> Numbers:
        """Those of the records at some places."""
        return Numbers(self.names, *(array[places] for array in self._arrays()))

    def _arrays(self) -> list[NDArray[Any]]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)[1:]]

    def to_bytes(self) -> bytes:
        """As a file holds them."""
        file = io.BytesIO()
        np.savez(file, np.array(self.names, np.str_), *self._arrays())
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Numbers:
        """Of a file."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            names, *arrays = (file[f"arr_{number}"] for number in range(8))
        return cls(tuple(names.tolist()), *arrays)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some scanned records: their numbers, and their entries of the spool."""

    numbers: Numbers
    entries: bytes

    @classmethod
    def of(cls, batch: Batch, digest: bytes, ordinal: int) -> Rows:
        """The records of a task.

        Args:
            batch: They.
            digest: Of the task's result.
            ordinal: Of the first.
        """
        names = tuple(dict.fromkeys(batch.splits))
        count = len(batch.lengths)
        numbers = Numbers(
            names=names,
            splits=np.array([names.index(name) for name in batch.splits], np.uint16),
            hashes=np.array(batch.hashes, np.uint64),
            ordinals=np.arange(ordinal, ordinal + count, dtype=np.int64),
            frame_bytes=np.array(batch.frame_bytes, np.int64),
            slack=np.array(batch.slack, np.int64),
            digests=np.frombuffer(digest, "<u8").astype(np.uint64),
            lengths=np.array(batch.lengths, np.int64),
        )
        return cls(numbers, batch.entries)

    def take(self, places: NDArray[np.int64]) -> Rows:
        """The records at some places."""
        numbers = self.numbers
        begins = numbers.offsets[places].tolist()
        ends = (numbers.offsets + numbers.lengths)[places].tolist()
        return Rows(
            numbers.take(places),
            b"".join(self.entries[begin:end] for begin, end in zip(begins, ends, strict=True)),
        )

    @classmethod
    def join(cls, parts: Iterable[Rows]) -> Rows:
        """The records of several; one at least."""
        parts = list(parts)
        names = tuple(dict.fromkeys(name for part in parts for name in part.numbers.names))
        splits = [
            np.array([names.index(name) for name in part.numbers.names], np.uint16)[
                part.numbers.splits
            ]
            for part in parts
        ]
        fields = [field.name for field in dataclasses.fields(Numbers)[2:]]
        arrays = [
            np.concatenate([getattr(part.numbers, name) for part in parts]) for name in fields
        ]
        return cls(
            Numbers(names, np.concatenate(splits), *arrays),
            b"".join(part.entries for part in parts),
        )


def bucket_of(hashes: NDArray[np.uint64], buckets: int) -> NDArray[np.int64]:
    """The bucket of each record: larger hashes are in later buckets.

    >>> bucket_of(np.array([0, 2**63, 2**64 - 1], np.uint64), 4).tolist()
    [0, 2, 3]

    Args:
        hashes: [n] of `key_hash`.
        buckets: How many there are, up to 2**31.
    """
    high = hashes >> np.uint64(32)
    return ((high * np.uint64(buckets)) >> np.uint64(32)).astype(np.int64)


def by_bucket(rows: Rows, buckets: int) -> Iterator[tuple[int, Rows]]:
    """The records of each bucket."""
    where = bucket_of(rows.numbers.hashes, buckets)
    for bucket in np.unique(where).tolist():
        yield bucket, rows.take(np.flatnonzero(where == bucket))


def sort(rows: Rows) -> Rows:
    """Split by split, each in the order in which records are stored; equal hashes as listed."""
    numbers = rows.numbers
    return rows.take(np.lexsort((numbers.ordinals, numbers.hashes, numbers.splits)))


@dataclasses.dataclass(frozen=True)
class Run:
    """Consecutive entries of a bucket.

    Attributes:
        bucket: Its number.
        begin, end: Bytes of the bucket's entries.
    """

    bucket: int
    begin: int
    end: int


def runs_of(
    buckets: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> list[Run]:
    """The runs that some entries make.

    >>> runs_of(np.array([3, 3, 3, 4]), np.array([0, 10, 25, 0]), np.array([10, 20, 30, 5]))
    [Run(bucket=3, begin=0, end=20), Run(bucket=3, begin=25, end=30), Run(bucket=4, begin=0, end=5)]

    Args:
        buckets: [n], of each entry.
        begins: [n], byte where each begins.
        ends: [n], byte behind each.
    """
    new = (buckets[1:] != buckets[:-1]) | (begins[1:] != ends[:-1])
    bounds = [0, *(np.flatnonzero(new) + 1).tolist(), len(buckets)]
    return [
        Run(int(buckets[first]), int(begins[first]), int(ends[last - 1]))
        for first, last in pairwise(bounds)
    ]


@dataclasses.dataclass(frozen=True)
class _Uncut:
    """Records of one split in storage order: [n] frame bytes, bucket, and where the entry is."""

    sizes: NDArray[np.int64]
    buckets: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def slice(self, begin: int, end: int) -> _Uncut:
        return _Uncut(*(getattr(self, field.name)[begin:end] for field in dataclasses.fields(self)))


class Cutter:
    """Cuts one split's records into shards as `cut` does, from one bucket after the other.

    It holds the records of the shard that is not full yet.
    """

    def __init__(self, limit: int) -> None:
        """Begins.

        Args:
            limit: Bytes of a shard.
        """
        self._limit = limit
        self._left = _Uncut(*(np.empty(0, np.int64) for _ in range(4)))

    def add(
        self,
        bucket: int,
        sizes: NDArray[np.int64],
        begins: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> list[tuple[list[Run], int, int]]:
        """Adds the split's records of the next bucket.

        Args:
            bucket: Its number.
            sizes: [n] bytes of each record's frame.
            begins: [n] byte of the bucket's entries where each begins.
            lengths: [n] bytes of each entry.

        Returns:
            The shards that are full: runs, bytes of frames, records.
        """
        new = _Uncut(sizes, np.full(len(sizes), bucket, np.int64), begins, begins + lengths)
        names = [field.name for field in dataclasses.fields(_Uncut)]
        both = [np.concatenate([getattr(self._left, name), getattr(new, name)]) for name in names]
        rest = _Uncut(*both)
        bounds = cut(rest.sizes, self._limit)
        shards = [_shard(rest.slice(*part)) for part in list(pairwise(bounds))[:-1]]
        # More may fit into the last one.
        self._left = rest.slice(bounds[-2] if len(bounds) > 1 else 0, bounds[-1])
        return shards

    def end(self) -> list[tuple[list[Run], int, int]]:
        """The last shard, if there is one."""
        return [_shard(self._left)] if len(self._left.sizes) else []


def _shard(part: _Uncut) -> tuple[list[Run], int, int]:
    runs = runs_of(part.buckets, part.begins, part.ends)
    return runs, int(part.sizes.sum()), len(part.sizes)

"""Where the selected records lie: told by a version's indexes, or made up."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    # Offsets and lengths of a shard's records, in bytes.
    Index = Callable[[int], tuple[Integers, Integers]]

__all__ = ["Layout", "Regular", "Shards", "Stored"]

# An index has so many bytes a record, and so many beside that, where there is none to look at.
_INDEX_ROW = 26
_INDEX_REST = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Shards:
    """The shards of a layout.

    Attributes:
        sizes: int64 [shards], bytes of each.
        indexes: int64 [shards], bytes of each one's index.
        begins: int64 [shards + 1], the number of each one's first record, over all shards.
    """

    sizes: Integers
    indexes: Integers
    begins: Integers

    def __len__(self) -> int:
        return len(self.sizes)

    def of(self, numbers: Integers) -> Integers:
        """The shard of each record: int64 [n]."""
        return np.searchsorted(self.begins, numbers, side="right") - 1


class Layout(Protocol):
    """Selected records, by their places in the selection.

    Attributes:
        shards: All shards.
        records: How many are selected.
        mean_bytes: Of a record, over all shards.
    """

    shards: Shards
    records: int
    mean_bytes: float

    def locate(self, places: Integers) -> tuple[Integers, Integers, Integers]:
        """Shards, offsets and lengths of records: int64 [n] each.

        Args:
            places: int64 [n], in the selection.
        """

    def within(self, shards: Integers) -> Integers:
        """The places of the selected records of some shards, ascending: int64 [n].

        Args:
            shards: int64 [n], ascending.
        """


class Stored:
    """Records of a version.

    Args:
        shards: Of the chosen splits.
        rows: int64 [n], the selected records; None: all.
        index: Reads a shard's index.
    """

    def __init__(self, shards: Shards, rows: Integers | None, index: Index) -> None:
        self.shards = shards
        self.records = int(shards.begins[-1]) if rows is None else len(rows)
        self.mean_bytes = float(shards.sizes.sum() / max(1, shards.begins[-1]))
        self._rows = rows
        self._index = functools.lru_cache(maxsize=1 << 14)(index)

    def locate(self, places: Integers) -> tuple[Integers, Integers, Integers]:
        """See `Layout`."""
        numbers = places if self._rows is None else self._rows[places]
        shards = self.shards.of(numbers)
        offsets, lengths = np.empty_like(numbers), np.empty_like(numbers)
        order = np.argsort(shards, kind="stable")
        bounds = np.flatnonzero(np.diff(shards[order], prepend=-1, append=-1))
        for begin, end in itertools.pairwise(bounds.tolist()):
            chosen = order[begin:end]
            shard = int(shards[chosen[0]])
            rows = numbers[chosen] - self.shards.begins[shard]
            starts, sizes = self._index(shard)
            offsets[chosen], lengths[chosen] = starts[rows], sizes[rows]
        return shards, offsets, lengths

    def within(self, shards: Integers) -> Integers:
        """See `Layout`."""
        if self._rows is None:
            return _ranges(self.shards.begins[shards], self.shards.begins[shards + 1])
        return np.flatnonzero(np.isin(self.shards.of(self._rows), shards)).astype(np.int64)


class Regular:
    """Records of one length in shards of one size: a dataset that is only thought of.

    Args:
        records: How many there are.
        record_bytes: Of each one's frame.
        shard_bytes: That a shard holds at most; at least one record.
    """

    def __init__(self, records: int, record_bytes: int, shard_bytes: int) -> None:
        self.records = records
        self.mean_bytes = float(record_bytes)
        self._length = record_bytes
        each = max(1, shard_bytes // record_bytes)
        begins = np.minimum(np.arange(-(-records // each) + 1, dtype=np.int64) * each, records)
        counts = np.diff(begins)
        self.shards = Shards(counts * record_bytes, counts * _INDEX_ROW + _INDEX_REST, begins)

    def locate(self, places: Integers) -> tuple[Integers, Integers, Integers]:
        """See `Layout`."""
        shards = self.shards.of(places)
        offsets = (places - self.shards.begins[shards]) * self._length
        return shards, offsets, np.full(len(places), self._length, np.int64)

    def within(self, shards: Integers) -> Integers:
        """See `Layout`."""
        return _ranges(self.shards.begins[shards], self.shards.begins[shards + 1])


def _ranges(begins: Integers, ends: Sequence[int] | Integers) -> Integers:
    """The numbers of several ranges, one after the other."""
    counts = np.asarray(ends) - begins
    firsts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum()), dtype=np.int64) + np.repeat(begins - firsts, counts)

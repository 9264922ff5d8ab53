"""Records by their numbers, and the shards that they are in: no other needs to be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Chosen", "Merged", "Opened"]

_CHUNK = 1 << 20  # rows
_WORTH_ALL = 0.25


@dataclasses.dataclass(frozen=True)
class Merged:
    """A file that holds the rows of the indexes of consecutive shards of one split.

    Attributes:
        path: Of the file, absolute.
        first: The number of the first of the shards.
        shards: How many they are.
    """

    path: str
    first: int
    shards: int


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file that is read for the records of a shard, or of several.

    Attributes:
        path: Of the file.
        rows: How many it has.
        start: The number of the first one's record, as `Chosen` numbers them.
        shard: The number of the first of the shards.
    """

    path: str
    rows: int
    start: int
    shard: int


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """Records, numbered within the shards that they are in.

    Attributes:
        shards: The numbers of those.
        starts: int64 [shards], the number of the first record of each, within these shards.
        size: How many records these shards hold.
        local: int64 [n], the chosen records' numbers within these shards; None: all of them.
        shifts: int64 [shards], by how much numbers within the dataset are larger.
    """

    shards: list[int]
    starts: npt.NDArray[np.int64]
    size: int
    local: npt.NDArray[np.int64] | None
    shifts: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        starts: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64] | None,
        merged: Iterable[Merged] = (),
    ) -> Chosen:
        """Finds the shards.

        Args:
            starts: int64 [shards + 1], the first record of each shard of the dataset, and the end.
            rows: Numbers within the dataset, in any order; None: all.
            merged: Shards that are sooner read all at once than one by one, as soon as a quarter
                of them have records that are chosen.

        Raises:
            IndexError: There is no record of such a number.

        >>> Chosen.of(np.array([0, 10, 10, 30, 40]), np.array([35, 12])).local.tolist()
        [25, 2]
        """
        count = len(starts) - 1
        if rows is None:
            nothing = np.zeros(count, np.int64)
            return cls(list(range(count)), starts[:-1], int(starts[-1]), None, nothing)
        if len(rows) and not 0 <= rows.min() <= rows.max() < starts[-1]:
            raise IndexError(f"{rows.min()} or {rows.max()} is not a record of {starts[-1]}")
        touched = np.zeros(count, np.bool_)
        for begin in range(0, len(rows), _CHUNK):
            part = rows[begin : begin + _CHUNK]
            touched[np.searchsorted(starts, part, side="right") - 1] = True
        for each in merged:
            run = touched[each.first : each.first + each.shards]
            if run.mean() >= _WORTH_ALL:
                run[:] = True
        shards = np.flatnonzero(touched)
        sizes = starts[shards + 1] - starts[shards]
        ends = np.cumsum(sizes, dtype=np.int64)
        shifts = starts[shards] - (ends - sizes)
        local = rows
        if shifts.any():
            local = rows - shifts[np.searchsorted(starts[shards], rows, side="right") - 1]
        return cls(shards.tolist(), ends - sizes, int(sizes.sum()), local, shifts)

    def files(self, indexes: Sequence[str], merged: Iterable[Merged] = ()) -> list[Opened]:
        """What is read for these records: merged files where all of their shards are chosen.

        Args:
            indexes: The path of each shard's own index.
            merged: The files that there are.

        Returns:
            In the order of the shards.

        >>> chosen = Chosen.of(np.array([0, 10, 20, 30]), None)
        >>> opened = chosen.files(["0", "1", "2"], [Merged("all but 2", 0, 2)])
        >>> [(each.path, each.rows) for each in opened]
        [('all but 2', 20), ('2', 10)]
        """
        by_first = {each.first: each for each in merged}
        begins = [*self.starts.tolist(), self.size]
        opened: list[Opened] = []
        place = 0
        while place < len(self.shards):
            shard = self.shards[place]
            path, after = indexes[shard], place + 1
            whole = by_first.get(shard)
            # Shards ascend, and none is there twice.
            if whole is not None and whole.shards <= len(self.shards) - place:
                last = place + whole.shards - 1
                if self.shards[last] == shard + whole.shards - 1:
                    path, after = whole.path, last + 1
            opened.append(Opened(path, begins[after] - begins[place], begins[place], shard))
            place = after
        return opened

    def numbers(self, local: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers within the dataset."""
        if not self.shifts.any():
            return local
        return local + self.shifts[np.searchsorted(self.starts, local, side="right") - 1]

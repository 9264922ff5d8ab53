"""Records by their numbers, and the shards that they are in: no other needs to be read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Chosen"]

_CHUNK = 1 << 20  # rows


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
    def of(cls, starts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64] | None) -> Chosen:
        """Finds the shards.

        Args:
            starts: int64 [shards + 1], the first record of each shard of the dataset, and the end.
            rows: Numbers within the dataset, in any order; None: all.

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
        shards = np.flatnonzero(touched)
        sizes = starts[shards + 1] - starts[shards]
        ends = np.cumsum(sizes, dtype=np.int64)
        shifts = starts[shards] - (ends - sizes)
        local = rows
        if shifts.any():
            local = rows - shifts[np.searchsorted(starts[shards], rows, side="right") - 1]
        return cls(shards.tolist(), ends - sizes, int(sizes.sum()), local, shifts)

    def numbers(self, local: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers within the dataset."""
        if not self.shifts.any():
            return local
        return local + self.shifts[np.searchsorted(self.starts, local, side="right") - 1]

"""Where the selected records lie: 16 bytes a record, all that a stream keeps in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.format import index

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.foreign import ForeignRecords
    from tfstream.v1.manifest_pb2 import Shard

__all__ = ["ALIGNMENT", "Located", "RecordTable"]

ALIGNMENT = 64  # bytes; TensorFlow takes over memory that is aligned to it without a copy
_INDEXES_AT_ONCE = 4  # more of them wait for each other


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """Where some records lie in their shards, as whoever looked for them saw on the way.

    Attributes:
        numbers: int64 [n], of the records over all shards, ascending, each once.
        offsets: int64 [n], where each frame begins, in bytes.
        lengths: int32 [n], each frame's length, in bytes.
    """

    numbers: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]

    def places(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | slice | None:
        """Where these records are among the located ones; None: not all of them are.

        Args:
            rows: int64 [m], in any order, also more than once.
        """
        if rows is self.numbers:
            return slice(None)
        at = np.searchsorted(self.numbers, rows)
        if len(rows) and not (at.max() < len(self.numbers) and (self.numbers[at] == rows).all()):
            return None
        return at


@dataclasses.dataclass(frozen=True, eq=False)
class RecordTable:
    """Places of records, in storage order or as selected.

    Attributes:
        files: The shards' paths.
        shards: int32 [n], each record's place in `files`.
        offsets: int64 [n], where each frame begins, in bytes.
        lengths: int32 [n], each frame's length, in bytes.
        foreign: How the records become ours; None: they are.
    """

    files: tuple[str, ...]
    shards: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    foreign: ForeignRecords | None = None

    def __len__(self) -> int:
        return len(self.shards)

    @classmethod
    def load(
        cls,
        root: Path,
        shards: Sequence[Shard],
        rows: npt.NDArray[np.int64] | None = None,
        located: Located | None = None,
    ) -> RecordTable:
        """Reads the places of records from the indexes of those shards that hold them.

        Args:
            root: The dataset's directory, on local disk.
            shards: Whose records are meant.
            rows: Their numbers over all these shards, in any order, also more than once; None: all.
            located: Where they lie, if that is known; where it is of all, no index is read.

        Returns:
            The places, in the order of `rows`.

        Raises:
            IndexError: There is no record of such a number.
            CorruptRecordError: An index that was read is damaged, or does not hold as many records
                as the manifest says.
        """
        starts = np.zeros(len(shards) + 1, np.int64)
        np.cumsum([shard.records for shard in shards], out=starts[1:])
        # Not by pathlib, which is slow for 20,000 shards.
        files = tuple(os.path.join(root, shard.path) for shard in shards)
        known = None if located is None or rows is None else located.places(rows)
        if located is not None and rows is not None and known is not None:
            table = _empty(files, len(rows))
            table.shards[:] = np.searchsorted(starts, rows, side="right") - 1
            table.offsets[:] = located.offsets[known]
            table.lengths[:] = located.lengths[known]
            return table
        order: npt.NDArray[np.int64] | None = None
        cuts = starts
        if rows is not None:
            if len(rows) and not 0 <= rows.min() <= rows.max() < starts[-1]:
                raise IndexError(f"{rows.min()} or {rows.max()} is not a record of {starts[-1]}")
            if (rows[1:] < rows[:-1]).any():
                order = np.argsort(rows, kind="stable")
                rows = rows[order]
            cuts = np.searchsorted(rows, starts)
        table = _empty(files, int(cuts[-1]))

        def read(number: int) -> None:
            begin, end = int(cuts[number]), int(cuts[number + 1])
            wanted = None if rows is None else rows[begin:end] - starts[number]
            for first, last, offsets, lengths in _places(root, shards[number]):
                taken: slice | npt.NDArray[np.int64] = slice(None)
                some = (begin + first, begin + last)
                if wanted is not None:
                    low, high = np.searchsorted(wanted, (first, last))
                    taken, some = wanted[low:high] - first, (begin + low, begin + high)
                to = slice(*some) if order is None else order[slice(*some)]
                table.shards[to] = number
                table.offsets[to] = offsets[taken]
                table.lengths[to] = lengths[taken]

        touched = np.flatnonzero(cuts[1:] > cuts[:-1]) if rows is not None else range(len(shards))
        with ThreadPoolExecutor(_INDEXES_AT_ONCE) as pool:
            for _ in pool.map(read, touched):
                pass  # here, what went wrong in it is raised
        return table


def _places(
    root: Path, shard: Shard
) -> Iterator[tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Some rows of an index after the other: from which to which, their offsets and lengths."""
    path = root / shard.index_path
    begin = end = 0
    for places in index.batches(path, ["offset", "length"]):
        begin, end = end, end + places.num_rows
        if end > shard.records:
            break
        lengths = places["length"].to_numpy()
        wrong = lengths[(lengths < 0) | (lengths >= 1 << 31)]
        if wrong.size:
            raise CorruptRecordError(
                f"the index {path} names a record of {wrong[0]} bytes; a record is shorter than "
                "2 GiB"
            )
        yield begin, end, places["offset"].to_numpy(), lengths
    if end != shard.records:
        compared = "more" if end > shard.records else "fewer"
        raise CorruptRecordError(
            f"the index {path} holds {compared} records than the {shard.records} that the "
            f"manifest says: `tfstream verify {root}` lists all that is wrong"
        )


def _empty(files: tuple[str, ...], count: int) -> RecordTable:
    """A table whose places are still to be filled in."""

    def aligned(dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        room = np.empty(size + ALIGNMENT, np.uint8)
        begin = -room.ctypes.data % ALIGNMENT
        return room[begin : begin + size].view(dtype)

    return RecordTable(files, aligned(np.int32), aligned(np.int64), aligned(np.int32))

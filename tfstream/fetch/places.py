"""Where the records of a remote dataset lie, told shard by shard as they are asked for.

A stream begins with the few indexes that its first records need, so that a
dataset of any size begins as fast as a small one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.format import index

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.v1.manifest_pb2 import Shard

    Integers = npt.NDArray[np.int64]

__all__ = ["Places"]


class Places:
    """Record numbers to shards, offsets and lengths.

    Records are numbered over the shards, in their order.

    Args:
        shards: Of the chosen splits.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        counts = np.array([shard.records for shard in shards], np.int64)
        self._bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        self._tables: dict[int, tuple[Integers, npt.NDArray[np.int32]]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def shards_of(self, numbers: Integers) -> Integers:
        """The shard of each record: int64 [n]."""
        return np.searchsorted(self._bounds, numbers, side="right") - 1

    def unknown(self, shards: Integers) -> list[int]:
        """Those shards, without repetition, whose index has not been read yet."""
        return [shard for shard in np.unique(shards).tolist() if shard not in self._tables]

    def add(self, shard: int, data: bytes, path: str) -> None:
        """Takes in the index of a shard.

        Args:
            shard: Its number.
            data: The index's bytes.
            path: Where they come from, for messages.

        Raises:
            CorruptRecordError: It is damaged, or does not say what the manifest says.
        """
        expected = self.shards[shard].records
        rows = index.read(data, ["offset", "length"], name=path)
        if rows.num_rows != expected:
            raise CorruptRecordError(
                f"the index {path} holds {rows.num_rows} records, and the manifest says {expected}"
            )
        lengths = rows["length"].to_numpy()
        if lengths.size and not 0 <= lengths.min() <= lengths.max() < 1 << 31:
            raise CorruptRecordError(
                f"the index {path} names a record of {lengths.max()} bytes; a record is shorter "
                "than 2 GiB"
            )
        offsets = rows["offset"].to_numpy()
        limit = self.shards[shard].bytes
        if lengths.size and not (offsets.min() >= 0 and (offsets + lengths).max() <= limit):
            raise CorruptRecordError(
                f"the index {path} names bytes outside its shard, which has {limit}"
            )
        with self._lock:
            self._tables[shard] = offsets.astype(np.int64), lengths.astype(np.int32)

    def lookup(self, shard: int, numbers: Integers) -> tuple[Integers, Integers]:
        """Offsets and lengths, in bytes, of records that are all in one known shard."""
        offsets, lengths = self._tables[shard]
        rows = numbers - self._bounds[shard]
        return offsets[rows], lengths[rows].astype(np.int64)

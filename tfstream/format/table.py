"""Where the selected records lie: 16 bytes a record, all that a stream keeps in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.format import index

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.v1.manifest_pb2 import Shard

__all__ = ["RecordTable"]


@dataclasses.dataclass(frozen=True, eq=False)
class RecordTable:
    """Places of records, in storage order or as selected.

    Attributes:
        files: The shards' paths.
        shards: int32 [n], each record's place in `files`.
        offsets: int64 [n], where each frame begins, in bytes.
        lengths: int32 [n], each frame's length, in bytes.
    """

    files: tuple[str, ...]
    shards: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.shards)

    def take(self, rows: npt.NDArray[np.int64]) -> RecordTable:
        """The records at the given rows, in that order."""
        return RecordTable(self.files, self.shards[rows], self.offsets[rows], self.lengths[rows])

    @classmethod
    def load(cls, root: Path, shards: Sequence[Shard]) -> RecordTable:
        """Reads the places of all records of some shards from their indexes.

        Raises:
            CorruptRecordError: An index does not hold as many records as the manifest says.
        """
        count = sum(shard.records for shard in shards)
        table = cls(
            tuple(str(root / shard.path) for shard in shards),
            np.empty(count, np.int32),
            np.empty(count, np.int64),
            np.empty(count, np.int32),
        )
        begin = 0
        for number, shard in enumerate(shards):
            path = root / shard.index_path
            places = index.read(path, ["offset", "length"])
            if places.num_rows != shard.records:
                raise CorruptRecordError(
                    f"the index {path} holds {places.num_rows} records, where the manifest says "
                    f"{shard.records}: `tfstream verify {root}` lists all that is wrong"
                )
            end = begin + places.num_rows
            table.shards[begin:end] = number
            table.offsets[begin:end] = places["offset"].to_numpy()
            lengths = places["length"].to_numpy()
            if lengths.size and not 0 <= lengths.min() <= lengths.max() < 1 << 31:
                raise CorruptRecordError(
                    f"the index {path} names a record of {lengths.max()} bytes; a record is "
                    "shorter than 2 GiB"
                )
            table.lengths[begin:end] = lengths
            begin = end
        return table

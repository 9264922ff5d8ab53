"""Where the selected records lie: 16 bytes a record, all that a stream keeps in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.format import index

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.v1.manifest_pb2 import Shard

__all__ = ["ALIGNMENT", "RecordTable"]

ALIGNMENT = 64  # bytes; TensorFlow takes over memory that is aligned to it without a copy


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
        taken = _empty(self.files, len(rows))
        for name in ("shards", "offsets", "lengths"):
            np.take(getattr(self, name), rows, out=getattr(taken, name))
        return taken

    @classmethod
    def load(cls, root: Path, shards: Sequence[Shard]) -> RecordTable:
        """Reads the places of all records of some shards from their indexes.

        Raises:
            CorruptRecordError: An index does not hold as many records as the manifest says.
        """
        count = sum(shard.records for shard in shards)
        table = _empty(tuple(str(root / shard.path) for shard in shards), count)
        begin = 0
        for number, shard in enumerate(shards):
            path = root / shard.index_path
            first = begin
            for places in index.batches(path, ["offset", "length"]):
                end = begin + places.num_rows
                if end > first + shard.records:
                    begin = end
                    break
                lengths = places["length"].to_numpy()
                if lengths.size and not 0 <= lengths.min() <= lengths.max() < 1 << 31:
                    raise CorruptRecordError(
                        f"the index {path} names a record of {lengths.max()} bytes; a record is "
                        "shorter than 2 GiB"
                    )
                table.shards[begin:end] = number
                table.offsets[begin:end] = places["offset"].to_numpy()
                table.lengths[begin:end] = lengths
                begin = end
            if begin != first + shard.records:
                compared = "more" if begin > first + shard.records else "fewer"
                raise CorruptRecordError(
                    f"the index {path} holds {compared} records than the {shard.records} that the "
                    f"manifest says: `tfstream verify {root}` lists all that is wrong"
                )
        return table


def _empty(files: tuple[str, ...], count: int) -> RecordTable:
    """A table whose places are still to be filled in."""

    def aligned(dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        room = np.empty(size + ALIGNMENT, np.uint8)
        begin = -room.ctypes.data % ALIGNMENT
        return room[begin : begin + size].view(dtype)

    return RecordTable(files, aligned(np.int32), aligned(np.int64), aligned(np.int32))

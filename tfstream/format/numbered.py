"""Keys of records that hold none: the file, and the record's number in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.v1.manifest_pb2 import Shard

    Integers = npt.NDArray[np.int64]

__all__ = ["NumberedKeys", "lists_all", "numbered_key"]


def numbered_key(file: str, number: int) -> str:
    """The key of a record by its number in a file, from 0.

    >>> numbered_key("train.tfrecord-00000-of-00002", 7)
    'train.tfrecord-00000-of-00002:7'
    """
    return f"{file}:{number}"


@dataclasses.dataclass(frozen=True, eq=False)
class NumberedKeys:
    """The keys of records over some shards, by arithmetic.

    Attributes:
        files: What the keys of each shard begin with.
        starts: int64 [shards + 1], how many records the shards before have.
        moved: int64 [shards], where the numbers of a shard begin in `numbers`; -1: its index lists
            all its records.
        numbers: int64 [n], the numbers in the file of records whose shards' indexes list some.
    """

    files: tuple[str, ...]
    starts: Integers
    moved: Integers
    numbers: Integers

    @classmethod
    def of(
        cls, shards: Sequence[Shard], keys_of: Callable[[Shard], Sequence[str]]
    ) -> NumberedKeys | None:
        """The keys of some shards; None where their records hold keys.

        Args:
            shards: In storage order.
            keys_of: Reads the keys that the index of a shard has; called where it is not the first.
        """
        if not any(shard.key for shard in shards):
            return None
        starts = np.zeros(len(shards) + 1, np.int64)
        np.cumsum([shard.records for shard in shards], out=starts[1:])
        moved = np.full(len(shards), -1, np.int64)
        numbers: list[int] = []
        for place, shard in enumerate(shards):
            if not lists_all(shard):
                moved[place] = len(numbers)
                numbers.extend(int(key.rpartition(":")[2]) for key in keys_of(shard))
        return cls(tuple(shard.key for shard in shards), starts, moved, np.array(numbers, np.int64))

    def key(self, row: int) -> str:
        """The key of a record.

        Args:
            row: Its number over all the shards.
        """
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        number = row - int(self.starts[shard])
        if self.moved[shard] >= 0:
            number = int(self.numbers[self.moved[shard] + number])
        return numbered_key(self.files[shard], number)


def lists_all(shard: Shard) -> bool:
    """Whether the index of a shard lists all its records: one that bears its name does.

    A later version's has another name, and may do without some.
    """
    return _stem(shard.index_path) == (shard.name or _stem(shard.path))


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]

"""The order of an epoch, as arithmetic: no files, no TensorFlow, no state.

`native/order.h` holds the same arithmetic for the kernel; tests compare the
two number for number and pin a sequence. Changing it is a breaking change: it
moves every stored position.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    _Words = npt.NDArray[np.uint64]

__all__ = ["Order", "Share", "permute", "unpermute"]

_ROUNDS = 8
_MIN_BITS = 6  # below, the Feistel network's halves would be too small to mix
_MASK = (1 << 64) - 1
_DRAWS = 0x6472617773  # "draws": keeps a sample's random numbers apart from the order's


def _mix(x: Any) -> Any:
    """The finaliser of splitmix64 on an array of uint64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix_int(x: int) -> int:
    """The same on one Python integer, modulo 2**64."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _epoch_key(seed: int, epoch: int) -> int:
    return _mix_int((_mix_int(seed) + epoch) & _MASK)


def _walk(x: Integers, size: int, key: int, *, forward: bool) -> Integers:
    """Runs the keyed Feistel network on each x until the value is below `size`."""
    bits = max(_MIN_BITS, (size - 1).bit_length())
    low_bits = np.uint64(bits - bits // 2)
    low_mask = np.uint64((1 << (bits - bits // 2)) - 1)
    high_mask = np.uint64((1 << (bits // 2)) - 1)
    keys = [np.uint64(_mix_int((key + r) & _MASK)) for r in range(_ROUNDS)]
    out = np.asarray(x, np.uint64).copy()
    todo = np.arange(out.size)
    with np.errstate(over="ignore"):
        while todo.size:
            high, low = out[todo] >> low_bits, out[todo] & low_mask
            if forward:
                for r in range(0, _ROUNDS, 2):
                    high ^= _mix(low ^ keys[r]) & high_mask
                    low ^= _mix(high ^ keys[r + 1]) & low_mask
            else:
                for r in range(_ROUNDS, 0, -2):
                    low ^= _mix(high ^ keys[r - 1]) & low_mask
                    high ^= _mix(low ^ keys[r - 2]) & high_mask
            out[todo] = (high << low_bits) | low
            todo = todo[out[todo] >= np.uint64(size)]
    return out.astype(np.int64)


def permute(x: Integers, size: int, key: int) -> Integers:
    """Where a keyed permutation of range(size) sends each x.

    An alternating Feistel network over the next power of two, walked until the
    value falls inside: any element costs the same, and nothing is stored.

    Args:
        x: int64 [n], each in 0..size-1.
        size: How many elements are permuted.
        key: Any 64-bit number.

    Returns:
        int64 [n], each in 0..size-1.

    >>> sorted(permute(np.arange(10), 10, key=1).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    return _walk(x, size, key, forward=True)


def unpermute(x: Integers, size: int, key: int) -> Integers:
    """Undoes `permute` of the same size and key."""
    return _walk(x, size, key, forward=False)


@dataclasses.dataclass(frozen=True)
class Order:
    """Which record stands at which position of each epoch.

    Blocks of at most `block_size` consecutive records are permuted by a key
    made of (seed, epoch); their concatenation is cut into `lanes` contiguous
    parts, longer ones first; sample p is element p // lanes of lane p % lanes.

    Args:
        records: How many records are selected.
        seed: 0 to 2**63 - 1.
        lanes: How many parts are read in turn.
        block_size: Records that stay together. 1 is a uniform shuffle.
        shuffle: False gives storage order, whatever the lanes.

    >>> Order(records=8, seed=7).records_at(np.arange(8), epoch=0).tolist()
    [7, 6, 1, 5, 2, 4, 0, 3]
    >>> Order(records=8, seed=7).records_at(np.arange(8), epoch=1).tolist()
    [3, 2, 7, 6, 5, 0, 1, 4]
    >>> Order(records=3, shuffle=False).records_at(np.arange(3), epoch=1).tolist()
    [0, 1, 2]
    """

    records: int
    seed: int = 0
    lanes: int = 16
    block_size: int = 1
    shuffle: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 63:
            raise InvalidArgumentError(f"seed must be in 0..2**63-1 (got {self.seed})")
        if not 1 <= self.lanes <= 1 << 16:
            raise InvalidArgumentError(f"lanes must be in 1..65536 (got {self.lanes})")
        block = self.block_size
        if not hasattr(block, "__index__") or not 1 <= block <= 1 << 40:
            raise InvalidArgumentError(
                f"block_size is a number of records, 1 to 2**40 (got {block!r})"
            )

    def told(self) -> dict[str, Any]:
        """What a position depends on."""
        return {
            "records": self.records,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "lanes": self.lanes,
            "block_size": self.block_size,
        }

    def records_at(self, positions: Integers, epoch: int) -> Integers:
        """The numbers of the records at the given positions of an epoch.

        Args:
            positions: int64 [n], each in 0..records-1.
            epoch: 0, 1, 2 ...

        Returns:
            int64 [n], each in 0..records-1.
        """
        p = np.asarray(positions, np.int64)
        if not self.shuffle or p.size == 0:
            return p.copy()
        key = _epoch_key(self.seed, epoch)
        lane_size, longer = divmod(self.records, self.lanes)
        lane = p % self.lanes
        v = lane * lane_size + np.minimum(lane, longer) + p // self.lanes
        blocks = -(-self.records // self.block_size)
        missing = blocks * self.block_size - self.records
        if missing:  # the last block is short: what comes after it has moved up
            short = int(unpermute(np.array([blocks - 1]), blocks, key)[0])
            v = np.where(v >= (short + 1) * self.block_size - missing, v + missing, v)
        return permute(v // self.block_size, blocks, key) * self.block_size + v % self.block_size

    def positions_of(self, records: Integers, epoch: int) -> Integers:
        """Where the given records stand in an epoch: the inverse of `records_at`.

        Args:
            records: int64 [n], each in 0..records-1.
            epoch: 0, 1, 2 ...

        Returns:
            int64 [n], each in 0..records-1.
        """
        numbers = np.asarray(records, np.int64)
        if not self.shuffle or numbers.size == 0:
            return numbers.copy()
        key = _epoch_key(self.seed, epoch)
        block = numbers // self.block_size
        blocks = -(-self.records // self.block_size)
        starts = np.flatnonzero(np.diff(block, prepend=-1))  # neighbours are sent but once
        slots = unpermute(block[starts], blocks, key)
        slot = np.repeat(slots, np.diff(starts, append=block.size))
        v = slot * self.block_size + numbers % self.block_size
        missing = blocks * self.block_size - self.records
        if missing:
            short = int(unpermute(np.array([blocks - 1]), blocks, key)[0])
            v = np.where(slot > short, v - missing, v)
        lane_size, longer = divmod(self.records, self.lanes)
        bound = longer * (lane_size + 1)
        late = np.maximum(v - bound, 0)
        lane = np.where(v < bound, v // (lane_size + 1), longer + late // max(1, lane_size))
        element = np.where(v < bound, v % (lane_size + 1), late % max(1, lane_size))
        return element * self.lanes + lane

    def draws(self, positions: Integers, epoch: int, count: int) -> npt.NDArray[np.float32]:
        """Random numbers that belong to each sample, for augmentation.

        Args:
            positions: int64 [n].
            epoch: 0, 1, 2 ...
            count: How many a sample.

        Returns:
            float32 [n, count], uniform in [0, 1).
        """
        key = np.uint64(_mix_int((_epoch_key(self.seed, epoch) + _DRAWS) & _MASK))
        p = np.asarray(positions, np.int64).astype(np.uint64)[:, None]
        with np.errstate(over="ignore"):
            words = _mix(_mix(key + p) + np.arange(count, dtype=np.uint64)[None, :])
        return (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


@dataclasses.dataclass(frozen=True)
class Share:
    """What one worker takes of an epoch.

    Worker `index` of `count` takes the positions p with p % count == index, so
    that global batch t is the positions [t * G, (t + 1) * G), G being
    batch_size * count, whatever the count.

    Args:
        records: Samples in the epoch, over all workers.
        world: (index, count) of the workers.
        batch_size: A worker's, in samples; None: no batches.
        drop_remainder: Every worker takes records // G full batches.
        pad_remainder: Every worker takes as many full batches as that needs; positions past
            the end are padding.

    >>> Share(10, world=(1, 3), batch_size=2).samples, Share(10, world=(1, 3), batch_size=2).steps
    (3, 2)
    >>> Share(10, world=(1, 3), batch_size=2, drop_remainder=True).samples
    2
    >>> Share(10, world=(1, 3), batch_size=2, pad_remainder=True).samples
    4
    """

    records: int
    world: tuple[int, int] = (0, 1)
    batch_size: int | None = None
    drop_remainder: bool = False
    pad_remainder: bool = False

    def __post_init__(self) -> None:
        index, count = self.world
        if count < 1 or not 0 <= index < count:
            raise InvalidArgumentError(
                f"world must be (index, count) with 0 <= index < count (got {self.world})"
            )
        if self.batch_size is not None and not 1 <= self.batch_size <= 1 << 31:
            raise InvalidArgumentError(
                f"batch_size must be a positive integer, or None for single samples "
                f"(got {self.batch_size})"
            )
        if self.drop_remainder and self.pad_remainder:
            raise InvalidArgumentError("the remainder is dropped or padded: one of them, not both")

    @property
    def stride(self) -> int:
        """Samples that all workers take in a step."""
        return (self.batch_size or 1) * self.world[1]

    def first(self, position: Any) -> Any:
        """Which of this worker's samples is the first at a position, or after it.

        Args:
            position: Of the epoch, 0..records; a number, or an int64 tensor.
        """
        index, count = self.world
        return (position - index + count - 1) // count

    def left(self, position: Any) -> Any:
        """How many samples this worker takes of what is left at a position.

        Args:
            position: Of the epoch, 0..records; a number, or an int64 tensor.
        """
        batch = self.batch_size or 1
        if self.drop_remainder:
            return (self.records - position) // self.stride * batch
        if self.pad_remainder:
            return (self.records - position + self.stride - 1) // self.stride * batch
        return self.first(self.records) - self.first(position)

    def steps_left(self, position: Any) -> Any:
        """How many batches (samples, where there are no batches) that is."""
        return -(-self.left(position) // (self.batch_size or 1))

    @property
    def samples(self) -> int:
        """How many samples this worker takes of an epoch."""
        return int(self.left(0))

    @property
    def steps(self) -> int:
        """How many batches (samples, where there are no batches) that is."""
        return int(self.steps_left(0))

    def readers(self, lanes: int) -> int:
        """In how many interleaved parts this worker reads its samples.

        One a lane where the epoch is long enough for that to pay (starting a
        reader costs a few milliseconds); the order does not depend on it.
        """
        return min(lanes // math.gcd(lanes, self.world[1]), max(1, self.samples // 1024))

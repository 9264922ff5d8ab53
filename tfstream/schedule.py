"""Whose turn it is in a mix of several streams, as arithmetic: no files, no TensorFlow, no state.

Not for the order within a source: that is `order.py`. Changing this is a breaking change: it moves
every stored position of a mix.
"""

from __future__ import annotations

import dataclasses
import fractions
import functools
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.order import Order

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

__all__ = ["ENDLESS", "Mixture", "Schedule", "Stop", "whole_weights"]

Stop = Literal["first_exhausted", "all_exhausted", "repeat"]

# Samples of an epoch that does not end.
ENDLESS = 1 << 62

_BLOCK = 1000  # samples, over which proportions are as exact as whole samples allow
# Neighbours in the pattern whose turns are drawn, lest every second sample be of one source.
_GROUP = 8
_LARGEST_TOTAL = 1 << 30  # of the weights: products of two of them fit 64 bits
_LARGEST_DENOMINATOR = 1_000_000


def whole_weights(weights: Sequence[float]) -> tuple[int, ...]:
    """Whole numbers in the proportions of the weights: exactly, or to one in 2**30.

    Args:
        weights: Positive, finite.

    >>> whole_weights([0.5, 0.3, 0.2]), whole_weights([1 / 3, 2 / 3]), whole_weights([200, 100])
    ((5, 3, 2), (1, 2), (2, 1))
    """
    exact = [fractions.Fraction(weight) for weight in weights]
    # What was meant by 0.1 and by 1 / 3, which binary fractions are not.
    meant = [each.limit_denominator(_LARGEST_DENOMINATOR) for each in exact]
    whole = _numerators(meant)
    if not all(meant) or sum(whole) > _LARGEST_TOTAL:
        most = sum(exact)
        near = [max(1, round(each / most * (_LARGEST_TOTAL - len(exact)))) for each in exact]
        whole = _numerators([fractions.Fraction(each) for each in near])
    return whole


def _numerators(values: Sequence[fractions.Fraction]) -> tuple[int, ...]:
    """The values over their common denominator, cancelled."""
    common = math.lcm(*(value.denominator for value in values))
    whole = [int(value * common) for value in values]
    divisor = math.gcd(*whole)
    return tuple(each // max(1, divisor) for each in whole)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which source sample p of a mix is of, and which of that source's samples it is.

    A block of 1,000 samples has the whole part of each source's due at fixed places, the same in
    every block, and as many further places as the remaining parts are together. Who gets those
    is counted out over the blocks, so that no source is ever more than one ahead of, or behind,
    its due there. Any window of 1,000 samples therefore holds what is due, rounded up or down, for
    up to three sources; at most two samples more or less, for more of them.

    All methods take int64 numpy arrays, or TensorFlow tensors within a graph.

    Args:
        weights: Of the sources; positive, with a sum of at most 2**30.
        seed: Of the places: 0 to 2**63 - 1.

    >>> source, number = Schedule((2, 1)).places(np.arange(6))
    >>> source.tolist(), number.tolist()
    ([1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 2, 3])
    """

    weights: tuple[int, ...]
    seed: int = 0

    def places(self, positions: Any) -> tuple[Any, Any]:
        """The sources of some samples, and which of their samples those are.

        Args:
            positions: int64 [n], samples of the mix.

        Returns:
            int64 [n], the sources; int64 [n], the samples' numbers in their sources' own sequences.
        """
        xp = _module_of(positions)
        source, ahead = self._at(positions + self._shift)
        number = positions * 0
        for each, count in enumerate(ahead):
            number = xp.where(xp.equal(source, each), count - self._skipped[each], number)
        return source, number

    def counts(self, position: int) -> list[int]:
        """How many of the first samples of the mix are of each source."""
        _, ahead = self._at(np.array([position + self._shift], np.int64))
        return [
            int(count[0]) - skipped for count, skipped in zip(ahead, self._skipped, strict=True)
        ]

    def position(self, source: int, number: int) -> int:
        """Where in the mix a source's sample of a number is."""
        low, high = 0, ENDLESS - 1
        while low < high:
            middle = (low + high) // 2
            if self.counts(middle + 1)[source] > number:
                high = middle
            else:
                low = middle + 1
        return low

    @functools.cached_property
    def _shift(self) -> int:
        """Where the mix begins in the pattern; whole groups, which batches then hold whole."""
        drawn = Order(_BLOCK << 10, self.seed).records_at(np.zeros(1, np.int64), 0)
        return int(drawn[0]) // _GROUP * _GROUP

    @functools.cached_property
    def _skipped(self) -> list[int]:
        _, ahead = self._at(np.array([self._shift], np.int64))
        return [int(count[0]) for count in ahead]

    @functools.cached_property
    def _due(self) -> tuple[list[int], list[int], int]:
        """Of each source, whole samples a block and what remains over; places for the latter."""
        total = sum(self.weights)
        whole, remaining = zip(*(divmod(_BLOCK * w, total) for w in self.weights), strict=True)
        return list(whole), list(remaining), sum(remaining) // total

    @functools.cached_property
    def _pattern(self) -> tuple[Integers, Integers]:
        """Whose each place of a block is, and what of each was before; the last is for anybody."""
        whole, _, anybody = self._due
        counts = np.array([*whole, anybody])
        owners = np.repeat(np.arange(len(counts)), counts)
        # In the middle of the equal part of the block that each sample stands for.
        number = np.arange(_BLOCK) - np.repeat(np.cumsum(counts) - counts, counts)
        owners = owners[np.argsort((number + 0.5) / counts[owners], kind="stable")]
        drawn = Order(_BLOCK, self.seed).draws(np.arange(_BLOCK), 0, 1).reshape(-1, _GROUP)
        owners = np.take_along_axis(
            owners.reshape(-1, _GROUP), np.argsort(drawn, axis=1, kind="stable"), axis=1
        ).reshape(-1)
        taken = np.cumsum(owners[None, :] == np.arange(len(counts))[:, None], axis=1)
        before = np.concatenate([np.zeros((len(counts), 1)), taken[:, :-1]], axis=1)
        return owners.astype(np.int64), before.astype(np.int64)

    def _at(self, places: Any) -> tuple[Any, list[Any]]:
        """Whose the places are, and how many before them are of each source."""
        xp = _module_of(places)
        take: Any = np.take if xp is np else xp.gather
        whole, _, anybody = self._due
        owners, before = self._pattern
        block, place = places // _BLOCK, places % _BLOCK
        owner = take(owners, place)
        ahead = [block * count + take(before[each], place) for each, count in enumerate(whole)]
        if anybody:
            turn = take(before[-1], place)
            isfree = xp.equal(owner, len(whole))
            for each, (count, gets, slot) in enumerate(self._others(block)):
                owner = xp.where(isfree & gets & xp.equal(slot, turn), np.int64(each), owner)
                passed = xp.where(gets & xp.less(slot, turn), np.int64(1), np.int64(0))
                ahead[each] = ahead[each] + count + passed
        return owner, ahead

    def _others(self, block: Any) -> list[tuple[Any, Any, Any]]:
        """Who gets the places of a block that are for anybody.

        Returns:
            Of each source: how many it had before the block; whether it gets one; and which.
        """
        xp = _module_of(block)
        had, has = self._counted_out(block), self._counted_out(block + 1)
        out, slot = [], block * 0
        for mine, then in zip(had, has, strict=True):
            out.append((mine, xp.equal(then - mine, 1), slot))
            slot = slot + then - mine
        if len(had) != 3 or self._due[2] != 2:
            return out
        # Two places for two of three sources. Whoever has the second place keeps it while the first
        # source is left out: so nobody has the second place of a block and then the first of the
        # next, both of which 1,000 samples could hold.
        first, second, third = out
        last = xp.maximum(had[0] - 1, 0)  # the block before in which the first source was
        keeps = xp.equal(self._left_out(last + 1) - self._left_out(last), 1)
        turned = ~first[1] & keeps
        return [
            first,
            *((mine, gets, xp.where(turned, 1 - at, at)) for mine, gets, at in (second, third)),
        ]

    def _left_out(self, blocks: Any) -> Any:
        """Of three sources for two places: how often the second got what the first left over."""
        total, (_, second, third) = sum(self.weights), self._due[1]
        return _part(blocks, total - third, 2 * total - second - third)

    def _counted_out(self, block: Any) -> list[Any]:
        """How many places for anybody each source had in the blocks before.

        One source after the other is parted from the rest. Where both may get one, and one is
        there, it goes to either in proportion; where both may be denied one, so does the denial.
        """
        total, remaining = sum(self.weights), self._due[1]
        out = []
        ours, mine = block * 0, 0  # how often the rest had one more; its remainder, of the total
        for each, share in enumerate(remaining[:-1]):
            rest = sum(remaining[each + 1 :]) % total
            if share + rest == mine:
                got = _part(ours, share, mine) if mine else ours * 0
                out.append(got)
                ours = ours - got
            else:
                got = _part(block - ours, total - rest, total - mine)
                out.append(ours + got)
                ours = block - got
            mine = rest
        return [*out, ours]


def _part(count: Any, of: int, total: int) -> Any:
    """Gives count * of // total, without the product of large numbers."""
    return count // total * of + count % total * of // total


def _module_of(values: Any) -> Any:
    """numpy, or TensorFlow, whose functions the arithmetic needs go by the same names."""
    return np if isinstance(values, np.ndarray) else sys.modules["tensorflow"]


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The epochs of a mix.

    Args:
        schedule: Whose turn it is.
        names: Of the sources.
        orders: Of each source's own epochs.
        epochs: Of each source, after which it is exhausted; None: it never is.
        stop: When an epoch of the mix ends.
    """

    schedule: Schedule
    names: tuple[str, ...]
    orders: tuple[Order, ...]
    epochs: tuple[int | None, ...]
    stop: Stop

    def __post_init__(self) -> None:
        if self.stop not in ("first_exhausted", "all_exhausted", "repeat"):
            raise InvalidArgumentError(
                f'stop must be "first_exhausted", "all_exhausted" or "repeat" (got {self.stop!r})'
            )

    @functools.cached_property
    def records(self) -> int:
        """Samples in an epoch; ENDLESS, where it has no end."""
        ends = [
            None if epochs is None or self.stop == "repeat" else epochs * order.records
            for epochs, order in zip(self.epochs, self.orders, strict=True)
        ]
        if self.stop == "all_exhausted":
            if None in ends:
                return ENDLESS
            last = (self.schedule.position(s, (end or 0) - 1) for s, end in enumerate(ends))
            return max(last) + 1
        lacking = (self.schedule.position(s, end) for s, end in enumerate(ends) if end is not None)
        return min(lacking, default=ENDLESS)

    @functools.cached_property
    def epochs_each(self) -> tuple[int, ...]:
        """How many of its own epochs an epoch of the mix takes of each source, begun ones whole."""
        if self.records == ENDLESS:
            return tuple(1 for _ in self.orders)
        taken = self.schedule.counts(self.records)
        return tuple(
            max(1, -(-count // order.records))
            for count, order in zip(taken, self.orders, strict=True)
        )

    @property
    def block_size(self) -> None:
        """Each source has its own."""
        return None

    def told(self) -> dict[str, Any]:
        """What a position depends on, besides the sources."""
        return {
            "weights": list(self.schedule.weights),
            "seed": self.schedule.seed,
            "stop": self.stop,
            "epochs": list(self.epochs),
        }

"""How far apart an order puts neighbours in storage, beside a uniform shuffle."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfstream.order import Order

__all__ = ["Shuffle", "shuffle_of"]

_PAIRS = 200_000
_POSITIONS = 2_000_000


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """How far apart records that are neighbours in storage come.

    The distance of two records is how many samples of the epoch, over all workers, the one comes
    after the other. In a uniform shuffle of n records it is (n + 1) / 3 in the mean.

    Attributes:
        quality: The mean distance, over that of a uniform shuffle: 1 is as good, 0 no shuffle.
        mean_distance: Of neighbours, in samples.
        median_distance: Of neighbours, in samples; uniform: 0.293 n.
        uniform_mean: Of a uniform shuffle, in samples.
        uniform_median: Of a uniform shuffle, in samples.
        same_batch: The part of all neighbours that come in the same global batch.
        uniform_same_batch: Of a uniform shuffle.
        runs: Runs of neighbours that a global batch consists of, in the mean: from so many places
            of storage it comes.
        uniform_runs: Of a uniform shuffle.
        pairs: Neighbours that were looked at.
        exact: Whether these were all.
        quantiles: The distances of which no more than 0 %, 0.5 % … 100 % of all are shorter.
    """

    quality: float
    mean_distance: float
    median_distance: float
    uniform_mean: float
    uniform_median: float
    same_batch: float
    uniform_same_batch: float
    runs: float
    uniform_runs: float
    pairs: int
    exact: bool
    quantiles: tuple[float, ...]


def shuffle_of(order: Order, batch: int, *, epoch: int = 0, seed: int = 0) -> Shuffle | None:
    """Measures an order; None: of one record there is nothing to say.

    >>> shuffle_of(Order(1000), batch=10).median_distance > 200
    True
    >>> shuffle_of(Order(1000, block_size=50, lanes=4), batch=10).median_distance
    4.0

    Args:
        order: Of each epoch.
        batch: Samples of a global batch, over all workers.
        epoch: The one that is looked at.
        seed: Of the choice, where there are more neighbours than are looked at.
    """
    n = order.records
    if n < 2:
        return None
    exact = n - 1 <= _PAIRS
    if exact:
        firsts = np.arange(n - 1, dtype=np.int64)
    else:
        firsts = np.sort(np.random.default_rng(seed).integers(0, n - 1, _PAIRS))
    here, there = order.positions_of(firsts, epoch), order.positions_of(firsts + 1, epoch)
    distances = np.abs(there - here)
    mean = float(distances.mean())
    batch = min(batch, n)
    whole, rest = divmod(n, batch)
    together = (whole * batch * (batch - 1) + rest * (rest - 1)) / (n * (n - 1))
    return Shuffle(
        quality=mean / ((n + 1) / 3),
        mean_distance=mean,
        median_distance=float(np.median(distances)),
        uniform_mean=(n + 1) / 3,
        uniform_median=n * (1 - math.sqrt(0.5)),
        same_batch=float((here // batch == there // batch).mean()),
        uniform_same_batch=together,
        runs=_runs(order, batch, epoch),
        uniform_runs=batch - batch * (batch - 1) / n,
        pairs=len(firsts),
        exact=exact,
        quantiles=tuple(np.quantile(distances, np.linspace(0, 1, 201)).tolist()),
    )


def _runs(order: Order, batch: int, epoch: int) -> float:
    """Runs of neighbours in a global batch: the mean of some batches, evenly chosen."""
    whole = order.records // batch
    number = max(1, min(whole, _POSITIONS // batch, 64))
    chosen = np.unique(np.linspace(0, whole - 1, number).astype(np.int64))
    runs = 0
    for at in chosen.tolist():
        positions = np.arange(at * batch, at * batch + batch, dtype=np.int64)
        records = np.sort(order.records_at(positions, epoch))
        runs += 1 + int((np.diff(records) != 1).sum())
    return runs / len(chosen)

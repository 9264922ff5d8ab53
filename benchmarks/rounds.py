"""Interleaved rounds: what every benchmark here measures with.

Machines drift; so the candidates take turns, round after round, and what is
printed is the median of each and its ratio to the others, round by round.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def machine() -> str:
    """One line about where this ran."""
    import tensorflow as tf

    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}"
    )


def measure(
    candidates: dict[str, tf.data.Dataset], rounds: int, size: Callable[[Any], int]
) -> dict[str, list[float]]:
    """Items a second of each candidate in each round, after one round that does not count.

    Args:
        candidates: By name, a dataset that is iterated to its end.
        rounds: Rounds that count.
        size: How many items an element holds.
    """
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, ds in candidates.items():
            begin = time.perf_counter()
            iterator = iter(ds)
            items = sum(map(size, iterator))
            seconds = time.perf_counter() - begin
            # Not timed: under tf.data's autotuning, freeing an iterator may wait for seconds.
            del iterator
            if number:
                rates[name].append(items / seconds)
    return rates


def report(rates: dict[str, list[float]], *, against: str, unit: str) -> None:
    """Prints a table: median, spread, and the median ratio to one of the candidates."""
    print(f"{'':44}{unit:>12}{'min–max':>18}{'÷ ' + against:>24}")
    for name, mine in rates.items():
        ratio = statistics.median(a / b for a, b in zip(mine, rates[against], strict=True))
        spread = f"{min(mine):,.0f}–{max(mine):,.0f}"
        print(f"{name:44}{statistics.median(mine):12,.0f}{spread:>18}{ratio:24.2f}")

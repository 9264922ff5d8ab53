"""Interleaved rounds: what every benchmark here measures with.

Machines drift; so the candidates take turns, round after round, and what is
printed is the median of each and its ratio to the others, round by round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
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


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Has all threads of this process, and those they start, run on these cores meanwhile."""
    before = os.sched_getaffinity(0)

    def move(to: set[int]) -> None:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), to)

    move(cores)
    try:
        yield
    finally:
        move(before)


@dataclasses.dataclass
class Rounds:
    """What a candidate did, round by round."""

    rates: list[float] = dataclasses.field(default_factory=list)  # items a second
    cpu: list[float] = dataclasses.field(default_factory=list)  # µs of CPU an item, all threads


def measure(
    candidates: Mapping[str, tf.data.Dataset | Callable[[], tf.data.Dataset]],
    rounds: int,
    size: Callable[[Any], int],
    *,
    steady: bool = False,
) -> dict[str, Rounds]:
    """Iterates each candidate to its end in each round, after one round that does not count.

    Args:
        candidates: By name; or what makes it anew in each round, which is not timed.
        rounds: Rounds that count.
        size: How many items an element holds.
        steady: The clocks start when the first element is there, which does not count.
    """
    out = {name: Rounds() for name in candidates}
    for number in range(rounds + 1):
        for name, made in candidates.items():
            ds = made() if callable(made) else made
            cpu, begin = time.process_time(), time.perf_counter()
            iterator = iter(ds)
            first = None
            if steady:
                first = next(iterator)
                cpu, begin = time.process_time(), time.perf_counter()
            items = sum(map(size, iterator)) or size(first)  # there was but one
            seconds = time.perf_counter() - begin
            cpu = time.process_time() - cpu
            # Not timed: under tf.data's autotuning, freeing an iterator may wait for seconds.
            del iterator
            if number:
                out[name].rates.append(items / seconds)
                out[name].cpu.append(cpu / items * 1e6)
    return out


def report(results: dict[str, Rounds], *, against: str, unit: str) -> None:
    """Prints medians, spreads, and the median ratios to one of the candidates, round by round."""

    def line(mine: list[float], theirs: list[float]) -> str:
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        spread = f"{min(mine):,.0f}–{max(mine):,.0f}"
        return f"{statistics.median(mine):10,.0f}{spread:>16}{ratio:7.2f}"

    print(f"÷ {against}")
    print(f"{'':46}{unit:>10}{'min–max':>16}{'÷':>7}  {'CPU µs':>10}{'min–max':>16}{'÷':>7}")
    base = results[against]
    for name, mine in results.items():
        print(f"{name:46}{line(mine.rates, base.rates)}  {line(mine.cpu, base.cpu)}")

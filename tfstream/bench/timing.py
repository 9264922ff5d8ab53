"""Runs pipelines in turn, for a while each, and says how fast they were and what CPU they took."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfstream.bench.stages import Pipeline

__all__ = ["Timing", "run"]

# Elements that are taken before the clock starts: those that were made ahead of it.
_AHEAD = 4


@dataclasses.dataclass(frozen=True)
class Timing:
    """How a pipeline ran: medians over the rounds.

    Attributes:
        rate: Samples a second.
        slowest: The least rate of a round.
        fastest: The greatest.
        cpu: Microseconds of CPU a sample, of all threads.
    """

    rate: float
    slowest: float
    fastest: float
    cpu: float


def run(
    pipelines: Sequence[Pipeline],
    *,
    held: int,
    rounds: int,
    seconds: float,
    told: Callable[[], object],
) -> dict[str, Timing]:
    """Runs pipelines in turn, round after round, so that all of them meet the machine's moods.

    Args:
        pipelines: Each without end.
        held: Samples that are kept in memory: they are made before the first round.
        rounds: That count.
        seconds: Of each pipeline in a round.
        told: Called after each pipeline of each round.
    """
    measured: dict[str, list[tuple[float, float]]] = {one.name: [] for one in pipelines}
    for number in range(rounds + 1):
        for one in pipelines:
            ahead = _AHEAD if number else _AHEAD + -(-held // one.items)
            found = _once(one, ahead=ahead, seconds=seconds if number else 0.0)
            if number:
                measured[one.name].append(found)
            told()
    return {name: _median(several) for name, several in measured.items()}


def _once(one: Pipeline, *, ahead: int, seconds: float) -> tuple[float, float]:
    """Samples a second, and microseconds of CPU a sample."""
    iterator = iter(one.dataset)
    for _ in range(ahead):
        next(iterator)
    cpu, begin, count = time.process_time(), time.perf_counter(), 0
    while True:
        next(iterator)
        count += one.items
        passed = time.perf_counter() - begin
        if passed >= seconds:
            break
    used = time.process_time() - cpu
    return count / passed, used / count * 1e6


def _median(several: Sequence[tuple[float, float]]) -> Timing:
    rates = [rate for rate, _ in several]
    return Timing(
        statistics.median(rates),
        min(rates),
        max(rates),
        statistics.median(cpu for _, cpu in several),
    )

"""What a stream did in an interval, from its counters at both ends: arithmetic on plain numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

__all__ = ["Rates", "describe", "rates", "verdict"]

_WAITED = 0.1  # of the time: more than that is worth doing something about


@dataclasses.dataclass(frozen=True)
class Rates:
    """What a stream did in an interval.

    Attributes:
        samples_per_second: Records read.
        bytes_read_per_second: Bytes of these records.
        bytes_fetched_per_second: Bytes that came from remote storage.
        waiting: The share of the time, 0 to 1, in which whoever iterates the stream waited for
            it; None: it is not measured.
        cache_hit_rate: The share of the records, 0 to 1, that the page cache had; None: it was
            asked for none.
        fetches, retries, hedges: Requests, and of them those after a failure and those beside a
            slow one.
        stall_seconds: Seconds in which requests brought nothing and were given up for that.
        repaired, corrupt: Records that were bad in the cache alone, and in the storage.
    """

    samples_per_second: float
    bytes_read_per_second: float
    bytes_fetched_per_second: float
    waiting: float | None
    cache_hit_rate: float | None
    fetches: int
    retries: int
    hedges: int
    stall_seconds: float
    repaired: int
    corrupt: int


def rates(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> Rates:
    """What was done between two readings of `StreamDataset.stats()`.

    Args:
        before: The counters at the beginning; what is missing counts as 0.
        after: The counters at the end.
        seconds: Between the two.
    """

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    seconds = max(seconds, 1e-9)
    looked_up = grown("cache_hits") + grown("cache_misses")
    waited = min(grown("starved_seconds") / seconds, 1.0)
    return Rates(
        samples_per_second=grown("samples") / seconds,
        bytes_read_per_second=grown("bytes_read") / seconds,
        bytes_fetched_per_second=grown("bytes_fetched") / seconds,
        waiting=waited if "starved_seconds" in after else None,
        cache_hit_rate=grown("cache_hits") / looked_up if looked_up else None,
        fetches=int(grown("fetches")),
        retries=int(grown("retries")),
        hedges=int(grown("hedges")),
        stall_seconds=grown("stall_seconds"),
        repaired=int(grown("repaired")),
        corrupt=int(grown("corrupt")),
    )


def describe(done: Rates) -> str:
    """One line for a log; what cannot be said of the stream, or never should happen, is left out.

    >>> before = {"samples": 0, "bytes_fetched": 0, "cache_hits": 0, "cache_misses": 0}
    >>> after = {"samples": 23180, "bytes_fetched": 13e8, "cache_hits": 971, "cache_misses": 29}
    >>> describe(rates(before, after, seconds=10))
    '2,318 samples/s · 130 MB/s fetched · 97.1 % cache hits · 0 retries · 0 hedges · 0.0 s stalled'
    """
    parts = [f"{_short(done.samples_per_second)} samples/s"]
    if done.waiting is not None:
        parts.append(f"{100 * done.waiting:.1f} % waiting")
    if done.fetches or done.bytes_fetched_per_second or done.cache_hit_rate is not None:
        parts.append(f"{_short(done.bytes_fetched_per_second / 1e6)} MB/s fetched")
        if done.cache_hit_rate is not None:
            parts.append(f"{100 * done.cache_hit_rate:.1f} % cache hits")
        parts.append(f"{done.retries:,} {'retry' if done.retries == 1 else 'retries'}")
        parts.append(f"{done.hedges:,} {'hedge' if done.hedges == 1 else 'hedges'}")
        parts.append(f"{done.stall_seconds:,.1f} s stalled")
    elif done.bytes_read_per_second:
        parts.append(f"{_short(done.bytes_read_per_second / 1e6)} MB/s read")
    if done.repaired:
        parts.append(f"{done.repaired:,} repaired")
    if done.corrupt:
        parts.append(f"{done.corrupt:,} corrupt")
    return " · ".join(parts)


def verdict(done: Rates) -> str:
    """One line about a training that is over: whether data or the model held it up.

    >>> print(verdict(rates({}, {"samples": 900, "starved_seconds": 0.2}, seconds=10)))
    tfstream: 90 samples/s; training waited for data 2 % of its time: the model was the bottleneck
    """
    said = f"tfstream: {_short(done.samples_per_second)} samples/s; "
    if done.waiting is None:
        return f"{said}how long training waited for data was not measured"
    said += f"training waited for data {100 * done.waiting:.0f} % of its time: "
    if done.waiting < _WAITED:
        return f"{said}the model was the bottleneck"
    return f"{said}the input was the bottleneck (`tfstream bench` says which part of it)"


def _short(number: float) -> str:
    """Three digits or all of them: 0.3, 9.9, 10, 2,318."""
    return f"{number:,.0f}" if number >= 9.95 or number == 0 else f"{number:.1f}"

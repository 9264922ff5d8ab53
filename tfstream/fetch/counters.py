"""What a stream's fetching has done so far, counted from many threads."""

from __future__ import annotations

import threading

__all__ = ["NAMES", "Counters"]

NAMES = (
    "bytes_fetched",  # bytes that came, those of requests that failed or lost a race too
    "fetches",  # range requests sent
    "retries",  # of them, after another one failed
    "hedges",  # of them, beside another one that was slow
    "hedges_won",  # of them, faster than the slow one
    "stall_seconds",  # seconds in which a request brought no byte and was given up for that
    "cache_hits",  # records found in the page cache
    "cache_misses",  # records not found there
    "repaired",  # records that were bad in the cache and good when fetched again
    "uncached",  # pieces that the page cache could not keep
    "corrupt",  # records that were bad even when fetched again
    "wait_seconds",  # seconds in which windows of records waited for bytes
)


class Counters:
    """Sums by name, safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, float] = dict.fromkeys(NAMES, 0)

    def add(self, **amounts: float) -> None:
        """Adds to the sums of these names, each one of `NAMES`."""
        with self._lock:
            for name, amount in amounts.items():
                self._sums[name] += amount

    def snapshot(self) -> dict[str, float]:
        """All sums, of one moment; whole numbers, except for seconds."""
        with self._lock:
            return dict(self._sums)

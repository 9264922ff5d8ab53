"""The page cache of a host as it will be: which pages are there, and what has to go."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

from tfstream.cache.layout import PAGE, missing_runs
from tfstream.cache.space import LOW_WATER
from tfstream.fetch.ranges import LARGEST_REQUEST, Range, coalesce, cut

__all__ = ["Flight", "HostCache", "Key"]

_MISSING, _STORED, _COMING = 0, 1, 2
_AS_PRESENT = bytes([_MISSING, 1, 1])
_TOUCH_SECONDS = 1.0  # between two notes that an object is in use
_PAUSE_SECONDS = 1.0  # without storing anything, after no room could be made

Key = int  # of an object: a shard's number; ~number: its index


@dataclasses.dataclass(frozen=True)
class Flight:
    """Pages that are being fetched by one request."""

    key: Key
    begin: int
    end: int


@dataclasses.dataclass(eq=False)
class _Object:
    """The file of an object."""

    size: int
    pages: bytearray
    used_at: float
    touched_at: float
    stored: int = 0  # pages

    def disk(self) -> int:
        """Bytes that it takes up: its pages, a byte a page for the map, and its ending."""
        return (self.stored + len(self.pages) // PAGE + 1) * PAGE


class HostCache:
    """What a host's cache holds while its streams run.

    It does what `tfstream.cache` does, with its arithmetic, on no disk.

    Args:
        limit: Bytes; None: no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._objects: dict[Key, _Object] = {}
        self._used = 0  # as the ledger counts it
        self._closed_until = 0.0

    def begin_use(self, key: Key, size: int, now: float) -> None:
        """An object is looked at."""
        found = self._objects.get(key)
        if found is None:
            pages = bytearray(-(-size // PAGE))
            self._objects[key] = _Object(size, pages, now, now)
            self._used += 2 * PAGE
        elif now >= found.touched_at + _TOUCH_SECONDS:
            found.used_at = found.touched_at = now

    def stored(self, key: Key, begin: int, end: int) -> bool:
        """Whether all pages of a range are there."""
        first, last = begin // PAGE, -(-end // PAGE)
        return self._objects[key].pages.count(_STORED, first, last) == last - first

    def fetch(self, key: Key, ranges: Sequence[Range]) -> list[Flight]:
        """Sends for what is neither there nor coming.

        Args:
            key: Of the object.
            ranges: Bytes that are wanted.

        Returns:
            The requests.
        """
        target = self._objects[key]
        absent = []
        for begin, end in ranges:
            first, last = begin // PAGE, -(-end // PAGE)
            found = bytes(target.pages[first:last]).translate(_TABLE)
            absent += missing_runs(found, first, target.size)
        flights = []
        for begin, end in cut(coalesce(absent, gap=0), largest=LARGEST_REQUEST):
            _mark(target, begin, end, _COMING)
            flights.append(Flight(key, begin, end))
        return flights

    def land(self, flight: Flight, in_use: Container[Key], now: float) -> None:
        """Keeps what has come, if there is room or room can be made.

        Args:
            flight: A request that is done.
            in_use: Objects that nothing may take away, this one among them.
            now: Seconds.
        """
        target = self._objects[flight.key]
        pages = -(-flight.end // PAGE) - flight.begin // PAGE
        kept = self._reserve((pages + 1) * PAGE, in_use, now)
        _mark(target, flight.begin, flight.end, _STORED if kept else _MISSING)
        if kept:
            target.stored += pages
            target.used_at = now

    def _reserve(self, count: int, in_use: Container[Key], now: float) -> bool:
        if self._limit is None:
            return True
        if count > self._limit or now < self._closed_until:
            return False
        if self._used + count > self._limit:
            self._used = self._shrink(self._limit - count, LOW_WATER * self._limit - count, in_use)
        if self._used + count > self._limit:
            self._closed_until = now + _PAUSE_SECONDS
            return False
        self._used += count
        return True

    def _shrink(self, most: float, goal: float, in_use: Container[Key]) -> int:
        """Evicts down to `goal` bytes, where there are more than `most`; how many there are."""
        disk = {key: each.disk() for key, each in self._objects.items()}
        used = sum(disk.values())
        if used <= most:
            return used
        for key in sorted(self._objects, key=lambda key: self._objects[key].used_at):
            if used <= goal:
                break
            if key not in in_use:
                used -= disk[key]
                del self._objects[key]
        return used


_TABLE = _AS_PRESENT.ljust(256, b"\0")


def _mark(target: _Object, begin: int, end: int, state: int) -> None:
    first, last = begin // PAGE, -(-end // PAGE)
    target.pages[first:last] = bytes([state]) * (last - first)

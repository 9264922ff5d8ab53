"""One remote object: which of its bytes are cached, and which are under way in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from tfstream.fetch.ranges import LARGEST_REQUEST, Range, coalesce, cut, subtract

if TYPE_CHECKING:
    from tfstream.cache.pages import CachedObject, Claim
    from tfstream.fetch.counters import Counters
    from tfstream.fetch.downloads import Downloads
    from tfstream.fetch.local_file import LocalFile
    from tfstream.fetch.turns import Turn
    from tfstream.storage.directory import Directory, ObjectInfo

__all__ = ["Flight", "Piece", "RemoteObject", "Want", "Writer", "bring"]

# How long another process is trusted to fetch what it has claimed.
_PATIENCE_SECONDS = 15.0
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05
_UNWRITTEN_BYTES = 128 << 20
# A piece that waited so long for the disk says that the disk is not worth waiting for.
_DISK_PATIENCE_SECONDS = 5.0


@dataclasses.dataclass(eq=False)
class Flight:
    """A range that is being fetched, or waits to be written to the cache.

    Attributes:
        begin: Its first byte.
        end: The byte after its last.
        future: Of its bytes.
        counters: Of the stream that wanted them first.
        claim: Tells other processes; None: there is no cache, or one of them is slow.
        spoiled: They were found bad: they must not be kept.
    """

    begin: int
    end: int
    future: Future[memoryview]
    counters: Counters
    claim: Claim | None
    spoiled: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Bytes of an object in memory."""

    begin: int
    end: int
    data: memoryview


class Writer:
    """Writes what was fetched into the page cache, beside the stream and not in its way.

    Where it falls behind, whoever brings more writes that himself; where the disk
    hangs, pieces are left out of the cache rather than waited for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[tuple[float, RemoteObject, Flight]] = deque()
        self._bytes = 0
        self._begun = 0.0  # when the piece was taken that is being written
        self._started = False

    def put(self, target: RemoteObject, flight: Flight) -> bool:
        """Takes a flight that has arrived, and may write it; False where the disk hangs."""
        now = time.monotonic()
        with self._changed:
            behind = self._bytes > _UNWRITTEN_BYTES
            if behind and now - self._begun > _DISK_PATIENCE_SECONDS:
                return False
            if not behind:
                self._bytes += flight.end - flight.begin
                self._queue.append((now, target, flight))
                if not self._started:
                    self._started = True
                    threading.Thread(target=self._run, name="tfstream-cache", daemon=True).start()
                self._changed.notify_all()
                return True
        target.keep(flight)
        return True

    def flush(self, seconds: float | None = None) -> None:
        """Waits until everything that was taken has been written.

        Args:
            seconds: No longer than that; None: as long as it takes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._bytes == 0, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                self._begun, target, flight = self._queue.popleft()
            try:
                target.keep(flight)
            finally:
                with self._changed:
                    self._bytes -= flight.end - flight.begin
                    self._changed.notify_all()
            del target, flight  # nothing is held while there is nothing to do


class RemoteObject:
    """An object in one generation, shared by all streams of the process.

    Args:
        directory: Where it is.
        info: The object.
        cached: Its part of the page cache; None: nothing is kept.
        downloads: Fetches.
        writer: Fills the cache.
    """

    def __init__(
        self,
        directory: Directory,
        info: ObjectInfo,
        cached: CachedObject | LocalFile | None,
        downloads: Downloads,
        writer: Writer,
    ) -> None:
        self.directory = directory
        self.info = info
        self._cached = cached
        self._downloads = downloads
        self._writer = writer
        self._lock = threading.RLock()  # a flight may have landed before it is told of
        self._flights: list[Flight] = []

    def __str__(self) -> str:
        return self.directory.locate(self.info.name)

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """Keeps what is cached from being evicted; yields the file that it is in, or -1."""
        if self._cached is None:
            yield -1
        else:
            with self._cached.use() as descriptor:
                yield descriptor

    def missing(self, begin: int, end: int) -> list[Range]:
        """What of a range is not cached: whole pages, where there is a cache."""
        return [(begin, end)] if self._cached is None else self._cached.missing(begin, end)

    def forget(self, ranges: Sequence[Range]) -> None:
        """Lets go of bytes that turned out to be bad, cached or on their way into the cache."""
        with self._lock:
            for begin, end in ranges:
                for flight in self._flights:
                    if flight.begin < end and begin < flight.end:
                        flight.spoiled = True
                if self._cached is not None:
                    self._cached.forget(begin, end)

    def start(
        self, ranges: Sequence[Range], counters: Counters, *, have: Sequence[Range], wait: bool
    ) -> tuple[list[Flight], bool]:
        """Sees to it that what is not cached is under way.

        Args:
            ranges: Wanted.
            counters: Of the stream that wants them.
            have: Ranges that the caller has in memory.
            wait: Leave to other processes what they are fetching.

        Returns:
            The flights that bring what is missing, and whether another process is fetching
            some more of it.
        """
        with self._lock:
            # What was found bad may be on its way into the cache: it is looked at again after that.
            spoiled = [(each.begin, each.end) for each in self._flights if each.spoiled]
            left = subtract(coalesce(ranges, gap=0), spoiled) if wait else ranges
            elsewhere = wait and left != coalesce(ranges, gap=0)
            absent = coalesce(
                [part for begin, end in left for part in self.missing(begin, end)], gap=0
            )
            absent = subtract(absent, have)
            flights = [
                flight
                for flight in self._flights
                if not flight.spoiled
                and any(flight.begin < end and begin < flight.end for begin, end in absent)
            ]
            fresh = subtract(absent, [(flight.begin, flight.end) for flight in flights])
            for begin, end in cut(fresh, largest=LARGEST_REQUEST):
                claim = None
                if self._cached is not None:
                    claim = self._cached.try_claim(begin, end)
                    if claim is None and wait:
                        elsewhere = True
                        continue
                    if claim is not None and self.missing(begin, end) != [(begin, end)]:
                        claim.release()  # some of it has come in between: look again
                        elsewhere = True
                        continue
                flights.append(self._fetch(begin, end, counters, claim))
            return flights, elsewhere

    def _fetch(self, begin: int, end: int, counters: Counters, claim: Claim | None) -> Flight:
        future = self._downloads.submit(self.directory, self.info, begin, end - begin, counters)
        flight = Flight(begin, end, future, counters, claim)
        self._flights.append(flight)
        # The callback does not know the flight: a circle would keep the bytes in memory.
        future.add_done_callback(self._arrived)
        return flight

    def _arrived(self, future: Future[memoryview]) -> None:
        with self._lock:
            flight = next(each for each in self._flights if each.future is future)
        failed = flight.future.cancelled() or flight.future.exception() is not None
        if failed or self._cached is None:
            self._land(flight)
        elif not self._writer.put(self, flight):
            flight.counters.add(uncached=1)
            self._land(flight)

    def keep(self, flight: Flight) -> None:
        """Writes a flight into the cache, unless it was found bad meanwhile."""
        try:
            if self._cached is not None and not flight.spoiled:
                with self._cached.use():
                    if not self._cached.store(flight.begin, flight.future.result()):
                        flight.counters.add(uncached=1)
                    with self._lock:
                        if flight.spoiled:  # meanwhile
                            self._cached.forget(flight.begin, flight.end)
        finally:
            self._land(flight)

    def _land(self, flight: Flight) -> None:
        with self._lock:
            self._flights.remove(flight)
        if flight.claim is not None:
            flight.claim.release()


@dataclasses.dataclass(frozen=True, eq=False)
class Want:
    """Ranges of an object in use, and the pieces of them that were fetched.

    Attributes:
        target: The object.
        ranges: Byte ranges.
        pieces: What `bring` fetched; the rest of the ranges is in the cache.
    """

    target: RemoteObject
    ranges: Sequence[Range]
    pieces: list[Piece] = dataclasses.field(default_factory=list)


def bring(wants: Sequence[Want], counters: Counters, turn: Turn | None = None) -> None:
    """Waits until every wanted byte is in a piece or in the cache.

    Args:
        wants: Of objects that are in use.
        counters: Of the stream that wants them.
        turn: Is over when all has been asked for; None: nobody waits for that.

    Raises:
        StorageError: A range cannot be fetched.
    """
    begun = time.monotonic()
    pause = _FIRST_PAUSE_SECONDS
    unfinished = list(wants)
    while unfinished:
        wait = time.monotonic() - begun < _PATIENCE_SECONDS
        flights = []
        again = []
        for want in unfinished:
            have = [(piece.begin, piece.end) for piece in want.pieces]
            started, elsewhere = want.target.start(want.ranges, counters, have=have, wait=wait)
            flights += [(want, flight) for flight in started]
            if elsewhere:
                again.append(want)
        if turn:
            turn.over()
        for want, flight in flights:
            want.pieces.append(Piece(flight.begin, flight.end, flight.future.result()))
        unfinished = again
        if again:  # other processes have no way to call
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

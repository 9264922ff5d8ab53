"""One range of an object -> its bytes: tried until it is there, perhaps by two requests at once."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from tfstream.errors import StorageError, TransientError
from tfstream.fetch import policy
from tfstream.fetch.buffers import Buffers
from tfstream.fetch.counters import Counters
from tfstream.fetch.policy import Policy, Progress
from tfstream.storage.directory import Attempt, Directory, ObjectInfo

__all__ = ["Extent", "Request", "Transfer", "settle"]

# Faults that last longer are not kept from the user, who sees training stand still.
_QUIET_SECONDS = 10.0


class Request:
    """A request under way, as the hedger watches it.

    Attributes:
        attempt: The request itself.
        start: The byte of the transfer that it begins with.
        length: Bytes that it asked for.
        hedged: Whether it has had its second request.
    """

    __slots__ = ("_began", "_seen", "_seen_at", "attempt", "hedged", "length", "start")

    def __init__(self, start: int, length: int) -> None:
        self.attempt = Attempt()
        self.start = start
        self.length = length
        self.hedged = False
        self._began = time.monotonic()
        self._seen = 0  # bytes that had come when it was last looked at
        self._seen_at = self._began

    def progress(self, now: float) -> Progress:
        """How far it has come; to be asked regularly, by one thread."""
        received = min(self.attempt.received, self.length)
        if received != self._seen:
            self._seen, self._seen_at = received, now
        return Progress(
            length=self.length,
            received=received,
            seconds=now - self._began,
            idle=now - self._seen_at,
        )


_BUFFERS = Buffers()  # of all transfers of the process


@dataclasses.dataclass(frozen=True)
class Extent:
    """Some bytes of an object, in one generation of it."""

    directory: Directory
    info: ObjectInfo
    offset: int
    length: int

    def __str__(self) -> str:
        end = self.offset + self.length
        return f"{self.directory.locate(self.info.name)}, bytes {self.offset} to {end}"


class Transfer:
    """Fetches one range, on the thread that calls `run`.

    Attributes:
        future: Of the bytes. When it is done, for whatever reason, all that runs is cut short.
        request: The one under way; None: none is at the moment.
    """

    def __init__(
        self,
        what: Extent,
        counters: Counters,
        rules: Policy,
        report: Callable[[float, int], object],
        warn: Callable[[str], object],
    ) -> None:
        """Prepares it.

        Args:
            what: The bytes.
            counters: What is done is added here.
            rules: When to try again.
            report: Is told of the seconds and the bytes of each request that did well.
            warn: Is told, in words, of faults that last.
        """
        self.future: Future[memoryview] = Future()
        self.request: Request | None = None
        self._what = what
        self._counters = counters
        self._rules = rules
        self._report = report
        self._warn = warn
        self._under_way = _UnderWay()
        self._buffer = memoryview(b"")
        self.future.add_done_callback(self._under_way.stop)

    def run(self) -> None:
        """Tries until the future is done."""
        length = self._what.length
        have = failures = tries = 0
        alive = time.monotonic()  # when the last byte came
        while not self.future.done():
            tries += 1
            request = self.request = Request(have, length - have)
            try:
                if not self._buffer:
                    self._buffer = _BUFFERS.lend(length)
                self._send(request, self._buffer, retries=tries > 1)
            except TransientError as error:
                fault, retry_after = str(error).rstrip("."), error.retry_after
                self._counters.add(stall_seconds=error.stalled)
            except BaseException as error:
                settle(self.future, error=_bare(error))
                return
            else:
                settle(self.future, self._buffer)
                return
            finally:
                self.request = None
            if 0 < request.attempt.received < request.length:
                # What came is good, and is not asked for again. Where all came, and it was a
                # fault nevertheless, none of it is trusted.
                have += request.attempt.received
                alive, failures = time.monotonic(), 0
            failures += 1
            silent = time.monotonic() - alive
            left = self._rules.patience - silent
            if left <= 0:
                settle(self.future, error=self._given_up(tries, fault))
                return
            if silent >= _QUIET_SECONDS:
                self._warn(
                    f"{self._what}: not one byte came for {silent:.0f} s, in {tries} tries; the "
                    f"last fault: {fault}. It is tried for {left:.0f} s more."
                )
            self._under_way.sleep(
                policy.delay(
                    self._rules,
                    failures=failures,
                    retry_after=retry_after,
                    left=left,
                    uniform=random.random(),
                )
            )

    def hedge(self, slow: Request, idle: float) -> None:
        """Sends a second request for what a slow one has not brought yet; it may be overtaken.

        It writes to a buffer of its own: the slow one may write to the other until its very end.

        Args:
            slow: The request that it is sent beside.
            idle: Seconds in which that one has brought no byte.
        """
        start = slow.start + min(slow.attempt.received, slow.length)
        if self.future.done() or start == self._what.length:
            return
        first = self._buffer
        try:
            buffer = _BUFFERS.lend(self._what.length)
            self._send(Request(start, self._what.length - start), buffer, hedges=1)
        except Exception:
            return  # the other one will say what is wrong, if it meets that too
        buffer[:start] = first[:start]
        if settle(self.future, buffer):
            self._counters.add(hedges_won=1, stall_seconds=idle)

    def _send(self, request: Request, buffer: memoryview, **counted: float) -> None:
        """Makes a request, and counts it."""
        attempt, received = request.attempt, 0
        began = time.monotonic()
        self._under_way.enter(attempt)
        try:
            self._what.directory.read_range(
                self._what.info, self._what.offset + request.start, buffer[request.start :], attempt
            )
            received = request.length
        finally:
            self._under_way.leave(attempt)
            received = received or min(attempt.received, request.length)
            self._counters.add(fetches=1, bytes_fetched=received, **counted)
        self._report(time.monotonic() - began, request.length)

    def _given_up(self, tries: int, fault: str) -> StorageError:
        return StorageError(
            f"{self._what}: not one byte came for {self._rules.patience:g} s, in {tries} tries; "
            f"the last fault: {fault}. See whether the network and the storage are "
            "well, then start again: a stream can go on from its last state."
        )


class _UnderWay:
    """What is under way for a future, to be stopped when that is done.

    It does not know its future, whose callback it is: a circle would keep the bytes in memory.
    """

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        self._alarm: threading.Event | None = None
        self._stopped = False

    # Whoever begins something adds it first and looks at the flag then, and stop() does that in
    # the other order: so one of the two sees the other, without a lock.

    def enter(self, attempt: Attempt) -> None:
        """Cuts the attempt short at the end, or now."""
        self._attempts.append(attempt)
        if self._stopped:
            attempt.cancel()

    def leave(self, attempt: Attempt) -> None:
        """Leaves it alone: its connection may serve others from now on."""
        self._attempts.remove(attempt)

    def sleep(self, seconds: float) -> None:
        """Waits, but not beyond the end."""
        if self._alarm is None:
            self._alarm = threading.Event()
        if not self._stopped:
            self._alarm.wait(seconds)

    def stop(self, future: Future[memoryview]) -> None:
        """Stops all; the future's callback."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.set()
        for attempt in tuple(self._attempts):
            attempt.cancel()


def settle(future: Future[Any], result: object = None, error: BaseException | None = None) -> bool:
    """Gives a future its result or its error; False: it is done already."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
        return True
    return False


def _bare(error: BaseException) -> BaseException:
    """An error whose traceback does not keep a range's bytes; that of a bug is worth more."""
    return error.with_traceback(None) if isinstance(error, StorageError) else error

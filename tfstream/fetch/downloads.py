"""Many ranges of objects -> their bytes: some connections, first in first out."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from tfstream.errors import InvalidArgumentError, StorageError
from tfstream.fetch.counters import Counters
from tfstream.fetch.hedger import Hedger
from tfstream.fetch.policy import Policy
from tfstream.fetch.transfer import Extent, Transfer, settle
from tfstream.storage.directory import Directory, ObjectInfo

__all__ = ["Downloads"]

Result = TypeVar("Result")

_LOGGER = logging.getLogger("tfstream")
_WARNING_SECONDS = 60.0  # from one warning to the next


class Downloads:
    """Threads of their own that fetch ranges, `connections` of them at once.

    A range is fetched until it is there: what may pass is tried again, from the byte on where it
    broke off. A request that is much slower than its peers gets a second one beside it, and the
    first that is done wins. One for a process and access; safe to use from many threads.
    """

    def __init__(self, connections: int = 32, policy: Policy = Policy()) -> None:  # noqa: B008 (frozen)
        """Starts nothing yet: threads come with the work.

        Args:
            connections: The most requests at once, but for a few hedges.
            policy: When to try again, and when to hedge.
        """
        if connections < 1:
            raise InvalidArgumentError(f"connections must be positive (got {connections})")
        self._connections = connections
        self._policy = policy
        self._work = threading.Condition(threading.Lock())
        self._queue: deque[Transfer | _Call] = deque()
        self._running: dict[Transfer | _Call, None] = {}
        self._idle = 0  # threads that wait for work
        self._threads = 0
        self._closed = False
        self._hedger = Hedger(policy, connections, self._transfers)
        self._complaints = _Complaints()

    def submit(
        self, directory: Directory, info: ObjectInfo, offset: int, length: int, counters: Counters
    ) -> Future[memoryview]:
        """Fetches a range of an object.

        Args:
            directory: Where the object is.
            info: The object, in the generation that is read.
            offset: Its first byte.
            length: Bytes, at least 1; the range must lie within the object.
            counters: What is done is added here.

        Returns:
            A future of all the bytes. Cancelling it gives the download up, at any time.
            It fails with a StorageError: at once for what is final, and for the rest when the
            policy's patience is at its end.

        Raises:
            InvalidArgumentError: The range is empty, or not within the object.
        """
        if offset < 0 or length < 1 or offset + length > info.size:
            raise InvalidArgumentError(
                f"{directory.locate(info.name)} has {info.size} bytes: {length} bytes from byte "
                f"{offset} on cannot be read."
            )
        what = Extent(directory, info, offset, length)
        report, warn = self._hedger.report, self._complaints.say
        return self._start(Transfer(what, counters, self._policy, report, warn))

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Runs a function on one of the threads, in its turn.

        The function may block, but not on what these downloads give: all threads might wait for
        one another.
        """
        return self._start(_Call(function))

    def close(self) -> None:
        """Gives up what runs and what waits: their futures fail. Does not wait for the threads."""
        with self._work:
            self._closed = True
            given_up = [*self._running, *self._queue]
            self._queue.clear()
            self._work.notify_all()
        self._hedger.close()
        for work in given_up:
            settle(work.future, error=_closing())

    def _start(self, work: Transfer | _Call) -> Future[Any]:
        future = work.future
        future.add_done_callback(_acknowledge)
        with self._work:
            if not self._closed:
                self._queue.append(work)
                if len(self._queue) <= self._idle:
                    self._work.notify()
                elif self._threads < self._connections:
                    self._start_thread()
                if self._threads:
                    return future
                self._queue.clear()
        settle(future, error=_closing())
        return future

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name="tfstream-fetch", daemon=True)
        # The system may give no more of them: those that are there will do.
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads += 1

    def _serve(self) -> None:
        """A thread's life."""
        work: Transfer | _Call | None = None
        while True:
            with self._work:
                if work is not None:
                    del self._running[work]
                    work = None  # not kept while there is nothing to do: it holds a buffer
                self._idle += 1
                while not self._queue and not self._closed:
                    self._work.wait()
                self._idle -= 1
                if self._closed:
                    return
                work = self._queue.popleft()
                self._running[work] = None
            if isinstance(work, Transfer):
                self._hedger.wake()
            work.run()

    def _transfers(self) -> list[Transfer]:
        with self._work:
            return [work for work in self._running if isinstance(work, Transfer)]


class _Call:
    """A function to be run."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self._function = function

    def run(self) -> None:
        if self.future.done():
            return
        try:
            result = self._function()
        except BaseException as error:
            settle(self.future, error=error)
        else:
            settle(self.future, result)


class _Complaints:
    """Warnings, a few of many: in an outage each download has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def say(self, message: str) -> None:
        """Logs it, unless there was one a short while ago."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + _WARNING_SECONDS
        _LOGGER.warning("%s", message)


def _acknowledge(future: Future[Any]) -> None:
    """Tells those who wait for several futures of a cancelled one, which cancel() leaves out."""
    if future.cancelled():
        future.set_running_or_notify_cancel()


def _closing() -> StorageError:
    return StorageError(
        "The download was given up: this process has closed its connections, or is at its end. "
        "Open the dataset again."
    )

"""What the processes that use a cache tell of themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from tfstream.cache.directory import STREAMS
from tfstream.cache.locks import lock_within

__all__ = ["Publisher", "Running", "running"]

_INTERVAL = 2.0  # seconds between two reports
_SIZE = 8192  # bytes of a report: always the same, so that none is seen half written
_NAME = re.compile(r"\d+-[0-9a-f]{8}\.json")


@dataclasses.dataclass(frozen=True)
class Running:
    """What a process that uses a cache tells of itself.

    Attributes:
        pid: Of the process.
        host: Where it runs.
        command: What it was started as.
        limit: Bytes that it lets the cache have; None: as much as there is.
        began_at: When it first used the cache, seconds since the epoch.
        at: When it told this.
        counters: What it has done since it began.
    """

    pid: int
    host: str
    command: str
    limit: int | None
    began_at: float
    at: float
    counters: dict[str, float]

    @property
    def hit_rate(self) -> float | None:
        """The share of records that were cached; None: it has asked for none."""
        hits = self.counters.get("cache_hits", 0)
        asked = hits + self.counters.get("cache_misses", 0)
        return hits / asked if asked else None


class Publisher:
    """Reports the counters of this process in a file beside the cache.

    The file is locked for as long as the process lives: that is how others know.
    """

    def __init__(self, directory: str, limit: int | None) -> None:
        self._directory = os.path.join(directory, STREAMS)
        self._limit = limit
        self.forked()

    def forked(self) -> None:
        """At the start, and in a child: has reported nothing."""
        descriptor = getattr(self, "_descriptor", -1)
        if descriptor >= 0:
            os.close(descriptor)
        self._mutex = threading.Lock()
        self._descriptor = -1
        self._path = ""
        self._next = 0.0
        self._began_at = time.time()

    def publish(self, counters: Mapping[str, float]) -> None:
        """Reports, unless it did so less than two seconds ago."""
        now = time.monotonic()
        if now < self._next or not self._mutex.acquire(blocking=False):
            return
        try:
            self._next = now + _INTERVAL
            with contextlib.suppress(OSError):  # a report is not worth an error
                self._write(counters)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Takes the report back."""
        with self._mutex:
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
                os.close(self._descriptor)
                self._descriptor = -1
            self._next = 0.0

    def _write(self, counters: Mapping[str, float]) -> None:
        if self._descriptor >= 0 and not os.fstat(self._descriptor).st_nlink:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._descriptor < 0:
            running(os.path.dirname(self._directory))  # removes what the dead left
            name = f"{os.getpid()}-{secrets.token_hex(4)}.json"
            self._path = os.path.join(self._directory, name)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o644)
            lock_within(self._descriptor, fcntl.LOCK_SH, 0)
        told = Running(
            pid=os.getpid(),
            host=socket.gethostname(),
            command=os.path.basename(sys.argv[0]) if sys.argv else "",
            limit=self._limit,
            began_at=round(self._began_at, 3),
            at=round(time.time(), 3),
            counters=dict(counters),
        )
        text = json.dumps(dataclasses.asdict(told)).encode()
        if len(text) < _SIZE:
            os.pwrite(self._descriptor, text.ljust(_SIZE), 0)


def running(directory: str) -> list[Running]:
    """The reports of processes that use a cache now; removes those of the dead.

    Args:
        directory: Of the cache.
    """
    found = []
    streams = os.path.join(directory, STREAMS)
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(streams)):
            if _NAME.fullmatch(name):
                with contextlib.suppress(OSError, ValueError):
                    found.extend(_read(os.path.join(streams, name)))
    return found


def _read(path: str) -> list[Running]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if lock_within(descriptor, fcntl.LOCK_EX, 0):  # nobody alive has it
            if time.time() - os.fstat(descriptor).st_mtime > _INTERVAL:  # nor makes it just now
                os.unlink(path)
            return []
        text = os.pread(descriptor, _SIZE, 0)
    finally:
        os.close(descriptor)
    told = json.loads(text)
    return [_checked(told)] if isinstance(told, dict) else []


def _checked(told: dict[str, Any]) -> Running:
    """What a file says, with the types that it should have.

    Raises:
        ValueError: It has not.
    """
    try:
        counters = {str(name): float(value) for name, value in told["counters"].items()}
        return Running(
            pid=int(told["pid"]),
            host=str(told["host"]),
            command=str(told["command"]),
            limit=None if told["limit"] is None else int(told["limit"]),
            began_at=float(told["began_at"]),
            at=float(told["at"]),
            counters=counters,
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"no report of a stream: {error}") from error

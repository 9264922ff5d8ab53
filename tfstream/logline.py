"""One log line an interval about what a stream does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from tfstream import metrics
from tfstream.errors import InvalidArgumentError

__all__ = ["LogLines", "start"]

_LOGGER = logging.getLogger("tfstream")


class LogLines:
    """The lines that `start` has begun."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        """No more lines from now on."""
        self._stopped.set()

    def wait(self, seconds: float) -> bool:
        """Waits for the end; False: it has not come in that time."""
        return self._stopped.wait(seconds)


def start(stats: Callable[[], Mapping[str, float] | None], every: float) -> LogLines:
    """Begins to log a line an interval, at level INFO of the logger "tfstream".

    Whoever asks for lines shall see them: where the logger has no level yet it gets INFO, and
    where the program has not set logging up the lines go to standard error. While
    nothing at all happens, one line says so.

    Args:
        stats: Gives a stream's counters; None: the stream is gone, and the lines end.
        every: Seconds between two lines.

    Raises:
        InvalidArgumentError: `every` is not positive.
    """
    if not every > 0:
        raise InvalidArgumentError(f"log lines need a positive interval in seconds (got {every!r})")
    if _LOGGER.level == logging.NOTSET:
        _LOGGER.setLevel(logging.INFO)
    if not _LOGGER.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        _LOGGER.addHandler(handler)
    lines = LogLines()
    thread = threading.Thread(
        target=_log, args=(stats, every, lines), name="tfstream-log", daemon=True
    )
    thread.start()
    return lines


def _log(stats: Callable[[], Mapping[str, float] | None], every: float, lines: LogLines) -> None:
    before, then = stats(), time.monotonic()
    idle = True
    while before is not None and not lines.wait(every):
        after, now = stats(), time.monotonic()
        if after is None:
            return
        moved = any(after[name] != before.get(name, 0) for name in after if name != "seconds")
        if moved or not idle:
            _LOGGER.info("%s", metrics.describe(metrics.rates(before, after, now - then)))
        idle = not moved
        before, then = after, now

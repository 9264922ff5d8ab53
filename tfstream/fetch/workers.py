"""Threads for work that waits: as many as there is work, and none that keeps the process alive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

__all__ = ["Workers"]


class Workers:
    """Runs every function at once, on an idle thread or a new one.

    Unlike those of `concurrent.futures`, its threads do not hold up the end of the process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = 0
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def run(self, function: Callable[[], object]) -> None:
        """Runs a function, which must not raise."""
        with self._lock:
            start = self._idle == 0
            self._idle -= not start
        self._queue.put(function)
        if start:
            threading.Thread(target=self._serve, name="tfstream-window", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._queue.get()()
            with self._lock:
                self._idle += 1

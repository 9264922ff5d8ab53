"""Watches requests, and sends a second one beside what is much slower than its peers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from tfstream.fetch import policy
from tfstream.fetch.policy import Policy
from tfstream.fetch.transfer import Request, Transfer

__all__ = ["Hedger"]

# So many recent requests say what is usual.
_PEERS = 128

# One second request at once for so many connections; and as many may follow each other quickly.
_CONNECTIONS_A_HEDGE = 8


class Hedger:
    """A thread that looks at what is under way, a few times a second, while anything is."""

    def __init__(
        self, rules: Policy, connections: int, running: Callable[[], list[Transfer]]
    ) -> None:
        """Starts nothing yet.

        Args:
            rules: What is too slow, and how many second requests there may be.
            connections: How many first requests there may be at once.
            running: Gives the transfers under way, the oldest first.
        """
        self._rules = rules
        self._running = running
        self._most = max(1, connections // _CONNECTIONS_A_HEDGE)
        self._lock = threading.Lock()
        self._costs: deque[float] = deque(maxlen=_PEERS)
        self._budget = float(self._most)  # second requests that may be sent now
        self._hedges = 0  # that are under way
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def report(self, seconds: float, length: int) -> None:
        """Learns of a request that did well: how long it took for so many bytes."""
        with self._lock:
            self._costs.append(policy.cost(seconds, length))
            self._budget = min(self._budget + self._rules.hedge_share, self._most)

    def wake(self) -> None:
        """Says that a transfer is under way."""
        if not self._busy.is_set() and self._rules.hedge_share:
            self._busy.set()
            with self._lock:
                if self._thread is None and not self._closed:
                    self._thread = _start(self._watch)

    def close(self) -> None:
        """Ends the thread, soon."""
        self._closed = True
        self._busy.set()

    def _watch(self) -> None:
        while True:
            self._busy.wait()
            if self._closed:
                return
            transfers = self._running()
            if transfers:
                self._look(transfers)
            else:
                self._busy.clear()
                if self._running() or self._closed:  # it came between
                    self._busy.set()
                continue
            del transfers  # whose bytes are not kept over the nap
            time.sleep(self._rules.hedge_after / 4)

    def _look(self, transfers: list[Transfer]) -> None:
        now = time.monotonic()
        peers: float | None = None
        known = False
        for transfer in transfers:
            request = transfer.request
            if request is None or request.hedged:
                continue
            progress = request.progress(now)
            if progress.seconds <= self._rules.hedge_after:
                continue
            if not known:
                with self._lock:
                    peers, known = policy.pace(tuple(self._costs)), True
            if policy.is_straggler(self._rules, progress, peers):
                self._hedge(transfer, request, progress.idle)

    def _hedge(self, transfer: Transfer, request: Request, idle: float) -> None:
        with self._lock:
            if self._budget < 1 or self._hedges >= self._most:
                return
            self._budget -= 1
            self._hedges += 1
        request.hedged = True

        def run() -> None:
            try:
                transfer.hedge(request, idle)
            finally:
                with self._lock:
                    self._hedges -= 1

        if _start(run) is None:
            with self._lock:
                self._hedges -= 1


def _start(target: Callable[[], None]) -> threading.Thread | None:
    """Starts a thread that the interpreter does not wait for; None: there are too many."""
    thread = threading.Thread(target=target, name="tfstream-hedge", daemon=True)
    with contextlib.suppress(RuntimeError):
        thread.start()
        return thread
    return None

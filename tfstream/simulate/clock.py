"""When the bytes come: connections, latency and one link, event by event."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import deque
from collections.abc import Sequence

from tfstream.fetch.ahead import WINDOWS_AHEAD
from tfstream.simulate.plan import Plan
from tfstream.simulate.traffic import Load

__all__ = ["Times", "play"]

_PIECE = 256 << 10  # bytes that have the link to themselves
_AHEAD_BATCHES = 2  # that a stream makes before they are asked for
_AHEAD_SAMPLES = 16  # and the samples that are being decoded


@dataclasses.dataclass(frozen=True)
class Times:
    """When things happened on one host.

    Attributes:
        batches: Of each worker, seconds at which each batch was there.
        windows: Of each worker, seconds at which each window was taken, and its samples.
        link_seconds: In which the link was busy.
        seconds: In all.
    """

    batches: list[list[float]]
    windows: list[list[tuple[float, int]]]
    link_seconds: float
    seconds: float


@dataclasses.dataclass(eq=False)
class _Task:
    """One request."""

    worker: _Worker
    window: int
    left: int  # bytes that have not come
    cost: float  # seconds of the worker's own time, one half before it and one after it


class _Worker:
    """One worker: its windows, its connections, its training."""

    def __init__(self, loads: Sequence[Load], connections: int) -> None:
        self.loads = loads
        self.idle = connections
        self.queue: deque[_Task] = deque()
        self.pending = [0] * len(loads)  # requests that have not been answered
        self.stage = [0] * len(loads)  # 1 looking up, 2 reading indexes, 3 records, 4 there
        self.started = self.taken = 0
        self.indexed = 0  # windows whose indexes are known, in order
        self.ends = list(itertools.accumulate(load.samples for load in loads))
        self.batches: list[float] = []
        self.trained = 0
        self.training_until = 0.0
        self.busy_until = 0.0
        self.windows: list[tuple[float, int]] = []


def play(plan: Plan, host: Sequence[Sequence[Load]]) -> Times:
    """Runs the windows of a host's workers.

    Args:
        plan: The link, and what training takes.
        host: Of each worker, its windows.
    """
    return _Play(plan, host).run()


class _Play:
    """The state of a run."""

    def __init__(self, plan: Plan, host: Sequence[Sequence[Load]]) -> None:
        self._plan = plan
        self._workers = [_Worker(loads, plan.connections) for loads in host]
        self._events: list[tuple[float, int, str, object]] = []
        self._numbers = itertools.count()
        self._link: deque[_Task] = deque()
        self._sending = False
        self._busy = 0.0
        self._now = 0.0

    def run(self) -> Times:
        for worker in self._workers:
            self._go_on(worker)
        while self._events:
            self._now, _, kind, what = heapq.heappop(self._events)
            if kind == "trained":
                assert isinstance(what, _Worker)
                self._go_on(what)
                continue
            assert isinstance(what, _Task)
            if kind == "sent":
                self._sending = False
            if kind == "known":
                self._next_stage(what.worker, what.window)
                self._go_on(what.worker)
            elif kind == "done":
                self._ended(what)
            elif what.left:
                self._link.append(what)
            else:
                self._after(self._spend(what.worker, what.cost / 2), "done", what)
            self._send()
        return Times(
            [worker.batches for worker in self._workers],
            [worker.windows for worker in self._workers],
            self._busy,
            self._now,
        )

    def _after(self, seconds: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._numbers), kind, what))

    def _spend(self, worker: _Worker, seconds: float) -> float:
        """Takes some of a worker's own time; in how many seconds it will have been spent."""
        worker.busy_until = max(worker.busy_until, self._now) + seconds
        return worker.busy_until - self._now

    def _send(self) -> None:
        """Puts the next piece on the link, if that is free."""
        if self._sending or not self._link:
            return
        task = self._link.popleft()
        piece = task.left if self._plan.bandwidth is None else min(_PIECE, task.left)
        task.left -= piece
        seconds = piece / self._plan.bandwidth if self._plan.bandwidth else 0.0
        self._busy += seconds
        self._sending = True
        self._after(seconds, "sent", task)

    def _ended(self, task: _Task) -> None:
        worker = task.worker
        worker.idle += 1
        window = task.window
        worker.pending[window] -= 1
        if not worker.pending[window]:
            self._after(self._spend(worker, self._own_time(worker, window)), "known", task)
        self._connect(worker)
        self._go_on(worker)

    def _own_time(self, worker: _Worker, window: int) -> float:
        """Seconds that a worker takes for what has come for a window."""
        costs, stage = self._plan.costs, worker.stage[window]
        if stage == 2:
            return len(worker.loads[window].indexes) * costs.index
        return costs.window if stage == 3 else 0.0

    def _connect(self, worker: _Worker) -> None:
        while worker.idle and worker.queue:
            worker.idle -= 1
            task = worker.queue.popleft()
            seconds = self._spend(worker, task.cost / 2) + self._plan.latency
            self._after(seconds, "answered", task)

    def _next_stage(self, worker: _Worker, window: int) -> None:
        """Sends the requests that a window has now; those for nothing are answered at once."""
        load, costs = worker.loads[window], self._plan.costs
        while not worker.pending[window] and worker.stage[window] < 4:
            stage = worker.stage[window] + 1
            if stage == 3 and window > worker.indexed:
                return  # those before it have their turn first
            worker.stage[window] = stage
            sizes: Sequence[int] = ()
            if stage == 1:
                sizes = [0] * (2 * len(load.indexes))
            elif stage == 2:
                sizes = load.indexes
            elif stage == 3:
                sizes = load.requests
            cost = costs.lookup if stage == 1 else costs.request
            worker.queue.extend(_Task(worker, window, size, cost) for size in sizes)
            worker.pending[window] = len(sizes)
            if stage == 3:
                worker.indexed = window + 1
                if window + 1 < worker.started and worker.stage[window + 1] == 2:
                    self._next_stage(worker, window + 1)
        self._connect(worker)

    def _go_on(self, worker: _Worker) -> None:
        """Takes windows that are there, trains on batches that are full, starts windows."""
        moved = True
        while moved:
            moved = self._take(worker) | self._train(worker) | self._start(worker)

    def _start(self, worker: _Worker) -> bool:
        most = min(worker.taken + WINDOWS_AHEAD, len(worker.loads))
        if worker.started >= most:
            return False
        worker.started += 1
        self._next_stage(worker, worker.started - 1)
        return True

    def _take(self, worker: _Worker) -> bool:
        number, batch = worker.taken, self._plan.batch_size
        if number >= worker.started or worker.stage[number] < 4:
            return False
        begin = worker.ends[number] - worker.loads[number].samples
        if begin > (worker.trained + _AHEAD_BATCHES) * batch + _AHEAD_SAMPLES:
            return False
        worker.taken += 1
        worker.windows.append((self._now, worker.loads[number].samples))
        whole = worker.taken == len(worker.loads)
        full = -(-worker.ends[number] // batch) if whole else worker.ends[number] // batch
        worker.batches += [self._now] * (full - len(worker.batches))
        return True

    def _train(self, worker: _Worker) -> bool:
        if worker.trained >= len(worker.batches) or self._now < worker.training_until:
            return False
        step = self._plan.step_seconds
        worker.trained += 1
        if step:
            worker.training_until = self._now + step
            self._after(step, "trained", worker)
        return True

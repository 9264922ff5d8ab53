"""Worker processes that do tasks in parallel and hand the results back in order.

Not multiprocessing's: a worker here is a fresh interpreter that imports this package and nothing
of the caller's. So a script needs no `if __name__ == "__main__"`, a process that runs TensorFlow's
threads is never forked, and a worker whose parent is killed dies at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from tfstream.errors import PackError, TfstreamError
from tfstream.packing.workers import Report, Workers

__all__ = ["Pool", "serve"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_REPORT_SECONDS = 0.2

_BOOT = "import sys; sys.path[:] = {path!r}; from tfstream.packing.pool import serve; serve({fd})"


class Pool(Workers):
    """Some worker processes; with `processes=1` the tasks are done by the caller's own."""

    def __init__(self, processes: int, *, keep_open: Sequence[int] = ()) -> None:
        """Makes a pool; workers start when there is work.

        Args:
            processes: At most so many.
            keep_open: File descriptors that workers inherit: a lock held by these is
                held until the last worker is gone.
        """
        super().__init__(processes)
        self._keep_open = tuple(keep_open)
        self._workers: list[_Worker] = []

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _run(
        self,
        function: Callable[[Task, Report], Result],
        tasks: Iterator[tuple[int, Task]],
        report: Report,
        ahead: int,
        reach: Callable[[], int],
    ) -> Iterator[tuple[int, Result]]:
        following = next(tasks, None)
        while True:
            while following is not None and following[0] < reach():
                worker = self._free(ahead)
                if worker is None:
                    break
                worker.send(following[0], function, following[1])
                following = next(tasks, None)
            busy = [worker for worker in self._workers if worker.tasks]
            if not busy:
                return
            for connection in wait([worker.connection for worker in busy]):
                worker = next(each for each in busy if each.connection is connection)
                kind, value = worker.receive()
                if kind == "report":
                    report(*value)
                elif kind == "error":
                    raise value
                else:
                    yield worker.tasks.popleft(), value

    def _free(self, ahead: int) -> _Worker | None:
        """The worker with the fewest tasks, perhaps a new one; None where all have `ahead`."""
        least = min(self._workers, key=lambda worker: len(worker.tasks), default=None)
        if least is not None and not least.tasks:
            return least
        if len(self._workers) < self._count:
            self._workers.append(_Worker(self._keep_open))
            return self._workers[-1]
        return least if least is not None and len(least.tasks) < ahead else None


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, keep_open: Sequence[int]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            boot = _BOOT.format(
                path=[entry or os.getcwd() for entry in sys.path], fd=theirs.fileno()
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *keep_open),
                # Ctrl-C on the terminal is the parent's affair.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.tasks: deque[int] = deque()

    def send(self, number: int, function: Callable[..., Any], task: object) -> None:
        self.tasks.append(number)
        with self._or_died():
            self.connection.send((function, task))

    def receive(self) -> tuple[str, Any]:
        with self._or_died():
            message: tuple[str, Any] = self.connection.recv()
        return message

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()

    @contextlib.contextmanager
    def _or_died(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            status = self._process.wait()
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
            hint = " (out of memory?)" if status == -signal.SIGKILL else ""
            raise PackError(
                f"A worker process ended with {how}{hint}. Run the same command again: it goes on "
                "where it stopped."
            ) from error


def serve(descriptor: int) -> None:
    """A worker's life: takes tasks from a socket until it closes."""
    _end_with_parent(descriptor)
    connection = Connection(descriptor)
    waiting: queue.SimpleQueue[tuple[Callable[..., Any], Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, waiting), daemon=True).start()
    while (given := waiting.get()) is not None:
        function, task = given
        report = _Throttled(connection)
        try:
            message = ("result", function(task, report))
        except TfstreamError as error:
            message = ("error", error)
        except Exception as error:
            import traceback

            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            message = (
                "error",
                PackError(f"A worker process failed, which is a fault of tfstream:\n{text}"),
            )
        report.flush()
        connection.send(message)


def _receive(connection: Connection, waiting: queue.SimpleQueue[Any]) -> None:
    """Takes tasks as they come: a parent that waits to send one could not take a result.

    Where both are larger than a socket holds, each would wait for the other forever.
    """
    try:
        while True:
            waiting.put(connection.recv())
    except (EOFError, OSError):
        waiting.put(None)


def _end_with_parent(descriptor: int) -> None:
    """Ends this process, in the midst of what it does, once the other end of the socket is gone."""
    poll = select.poll()
    poll.register(descriptor, 0)  # nothing but the hang-up, which is always told

    def watch() -> None:
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Throttled:
    """Adds up reports, and sends them a few times a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._images = 0
        self._bytes = 0
        self._sent = time.monotonic()

    def __call__(self, images: int, count: int) -> None:
        self._images += images
        self._bytes += count
        if time.monotonic() - self._sent >= _REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._images or self._bytes:
            self._connection.send(("report", (self._images, self._bytes)))
        self._images = self._bytes = 0
        self._sent = time.monotonic()

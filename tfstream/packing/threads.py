"""Threads that do tasks in parallel: those in which native code does the work.

Native code runs without Python's lock, and a thread starts at once, where a process first imports
for half a second. What Python does is no faster by threads: `pool.py` has processes for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from tfstream.packing.workers import Report, Workers

__all__ = ["Threads"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Threads(Workers):
    """Some threads; a task that reports is given up once the block is left.

    >>> def double(number, report):
    ...     report(1, 0)
    ...     return 2 * number
    >>> with Threads(2) as threads:
    ...     list(threads.map(double, range(5), lambda images, count: None))
    [0, 2, 4, 6, 8]
    """

    def __init__(self, count: int) -> None:
        """Makes threads; they start when there is work.

        Args:
            count: At most so many; with 1, whoever asks does the tasks.
        """
        super().__init__(count)
        self._executor = ThreadPoolExecutor(count, "tfstream-pack")
        self._left = False

    def _end(self) -> None:
        self._left = True
        self._executor.shutdown(cancel_futures=True)

    def _run(
        self,
        function: Callable[[Task, Report], Result],
        tasks: Iterator[tuple[int, Task]],
        report: Report,
        ahead: int,
        reach: Callable[[], int],
    ) -> Iterator[tuple[int, Result]]:
        def told(images: int, count: int) -> None:
            if self._left:
                raise _LeftError
            report(images, count)

        running: dict[Future[Result], int] = {}
        following = next(tasks, None)
        while True:
            while (
                following is not None
                and following[0] < reach()
                and len(running) < ahead * self._count
            ):
                number, task = following
                running[self._executor.submit(function, task, told)] = number
                following = next(tasks, None)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


class _LeftError(Exception):
    """Ends a task that nobody waits for any more."""

"""What does tasks in parallel: processes or threads, and the ways in which results come back."""

from __future__ import annotations

import abc
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeAlias, TypeVar

__all__ = ["Report", "Workers"]

Task = TypeVar("Task")
Result = TypeVar("Result")
Report: TypeAlias = Callable[[int, int], None]

# Tasks that a worker has where they are short, the one in hand and those that wait: it never waits
# for whoever hands them out.
_AHEAD = 2


class Workers(abc.ABC):
    """Some workers, used in a `with` block, at the end of which none is left."""

    def __init__(self, count: int) -> None:
        """Makes workers; they start when there is work.

        Args:
            count: At most so many; with 1, whoever asks does the tasks.
        """
        self._count = count

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def map(
        self, function: Callable[[Task, Report], Result], tasks: Iterable[Task], report: Report
    ) -> Iterator[Result]:
        """Does `function(task, report)` for each task; yields the results in the tasks' order.

        Args:
            function: Found by its module and name, so defined at a module's top level.
            tasks: Taken as workers become free; short ones.
            report: Called in this process, from any thread, with what the function reports.

        Raises:
            PackError: A worker died.
        """
        waiting: dict[int, Result] = {}
        wanted = 0

        def reach() -> int:  # results that wait for an earlier one count: memory stays bounded
            return wanted + 2 * _AHEAD * self._count

        for number, result in self._results(function, tasks, report, _AHEAD, reach):
            waiting[number] = result
            while wanted in waiting:
                yield waiting.pop(wanted)
                wanted += 1

    def as_done(
        self, function: Callable[[Task, Report], Result], tasks: Iterable[Task], report: Report
    ) -> Iterator[Result]:
        """As `map`, for long tasks: yields each result as soon as it is there.

        While the caller is busy with a result, workers end what they have in hand and get nothing
        more: a task a worker at most.
        """
        for _, result in self._results(function, tasks, report, 1, lambda: sys.maxsize):
            yield result

    def _results(
        self,
        function: Callable[[Task, Report], Result],
        tasks: Iterable[Task],
        report: Report,
        ahead: int,
        reach: Callable[[], int],
    ) -> Iterator[tuple[int, Result]]:
        """As `_run`; what workers would not do sooner is done by whoever asks."""
        stream = iter(tasks)
        first = list(itertools.islice(stream, 2))
        numbered = enumerate(itertools.chain(first, stream))
        if self._count > 1 and len(first) > 1:
            yield from self._run(function, numbered, report, ahead, reach)
        else:
            for number, task in numbered:
                yield number, function(task, report)

    @abc.abstractmethod
    def _run(
        self,
        function: Callable[[Task, Report], Result],
        tasks: Iterator[tuple[int, Task]],
        report: Report,
        ahead: int,
        reach: Callable[[], int],
    ) -> Iterator[tuple[int, Result]]:
        """Yields each result with its task's number, as they are done.

        Args:
            function: What to do.
            tasks: With what, numbered.
            report: What the function reports to.
            ahead: Tasks that a worker has at most.
            reach: Gives the number of the first task that must not be given out yet.
        """

    @abc.abstractmethod
    def _end(self) -> None:
        """Ends all workers, whatever they have in hand."""

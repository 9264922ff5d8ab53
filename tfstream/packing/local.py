"""The executor that uses this machine's processes and threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfstream.packing import steps
from tfstream.packing.delivery import Delivered
from tfstream.packing.executor import Executor, Undertaking
from tfstream.packing.journal import ShardResult
from tfstream.packing.pool import Pool
from tfstream.packing.scan import ScanResult, ScanTask, scan
from tfstream.packing.spool import Table
from tfstream.packing.steps import Plan
from tfstream.packing.survey import Scanned, Survey
from tfstream.packing.threads import Threads
from tfstream.packing.workers import Workers
from tfstream.packing.write import ShardTask

__all__ = ["LocalExecutor", "local"]


# Threads share Python's lock, which each needs for a part of its work: more of them are in each
# other's way.
_MOST_THREADS = 4
_MOSTLY = 0.9


@dataclass(frozen=True)
class Hands:
    """Who can do the work.

    Attributes:
        processes: For what Python does.
        threads: For what native code does.
    """

    processes: Workers
    threads: Workers

    def best(self, native: int, records: int) -> Workers:
        """Those that are done sooner with records of which native code takes so many."""
        return self.threads if native >= _MOSTLY * records else self.processes


@contextlib.contextmanager
def local(what: Undertaking) -> Iterator[LocalExecutor]:
    """The executor of a job, with its processes and threads for as long as the block lasts."""
    count = what.job.processes
    with Pool(count, keep_open=[what.work.lock]) as pool, Threads(count) as threads:
        yield LocalExecutor(what, Hands(pool, threads if count <= _MOST_THREADS else pool))


class LocalExecutor(Executor):
    """Keeps the records' numbers in memory, and what else is known of them in the spool file."""

    def __init__(self, what: Undertaking, hands: Hands) -> None:
        """Makes one.

        Args:
            what: The job.
            hands: Do the work.
        """
        self._what = what
        self._hands = hands
        self._native = 0
        self._table = Table()
        self._plan: Plan[ShardTask] = Plan([], 0, 0)

    def scan(self, survey: Survey) -> Scanned:
        """See `Executor`."""
        show = self._what.show
        show.begin("Scanning")
        with open(self._what.work.spool, "wb") as file:
            for found in self._found(survey.tasks()):
                kept = found if survey.fits(found) else survey.admit(found)[0]
                self._table.append(kept.batch)
                self._native += kept.native
                file.write(kept.batch.entries)
                survey.add(kept)
        show.end()
        return survey.finish()

    def _found(self, tasks: Iterator[ScanTask]) -> Iterator[ScanResult]:
        """The results of the tasks; the first of them tells who had best do the others."""
        report = self._what.show.update
        for task in tasks:
            first = scan(task, report)
            yield first
            workers = self._hands.best(first.native, len(task.entries))
            yield from workers.map(scan, tasks, report)

    def plan(self, scanned: Scanned) -> Plan[ShardTask]:
        """See `Executor`."""
        what = self._what
        options = what.job.options
        taken = {}
        if what.base is not None and len(self._table):
            taken = what.base.find(
                self._table.hashes,
                seed=options.seed,
                drafts=what.work.path,
                workers=self._hands.processes,
                show=what.show,
            )
        self._plan = steps.plan_shards(
            self._table, scanned, options, what.work, what.rejects, taken=taken
        )
        return self._plan

    def write(self, commit: str, delivered: Delivered) -> list[ShardResult]:
        """See `Executor`."""
        what = self._what
        return steps.write_shards(
            self._plan,
            commit,
            delivered,
            workspace=what.work,
            rejects=what.rejects,
            workers=self._hands.best(self._native, len(self._table)),
            show=what.show,
        )

    def space_needed(self, sizes: Sequence[int]) -> int:
        """See `Executor`."""
        return self._what.work.destination.space_needed(sizes, self._what.job.processes)

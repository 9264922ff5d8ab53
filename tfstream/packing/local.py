"""The executor that uses this machine's processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from tfstream.packing import steps
from tfstream.packing.delivery import Delivered
from tfstream.packing.executor import Executor, Undertaking
from tfstream.packing.journal import ShardResult
from tfstream.packing.pool import Pool
from tfstream.packing.scan import scan
from tfstream.packing.spool import Table
from tfstream.packing.steps import Plan
from tfstream.packing.survey import Scanned, Survey
from tfstream.packing.write import ShardTask

__all__ = ["LocalExecutor", "local"]


@contextlib.contextmanager
def local(what: Undertaking) -> Iterator[LocalExecutor]:
    """The executor of a job, with its processes for as long as the block lasts."""
    with Pool(what.job.processes, keep_open=[what.work.lock]) as pool:
        yield LocalExecutor(what, pool)


class LocalExecutor(Executor):
    """Keeps the records' numbers in memory, and what else is known of them in the spool file."""

    def __init__(self, what: Undertaking, pool: Pool) -> None:
        """Makes one.

        Args:
            what: The job.
            pool: Does the work.
        """
        self._what = what
        self._pool = pool
        self._table = Table()
        self._plan: Plan[ShardTask] = Plan([], 0, 0)

    def scan(self, survey: Survey) -> Scanned:
        """See `Executor`."""
        show = self._what.show
        show.begin("Scanning")
        with open(self._what.work.spool, "wb") as file:
            for found in self._pool.map(scan, survey.tasks(), show.update):
                kept = found if survey.fits(found) else survey.admit(found)[0]
                self._table.append(kept.batch)
                file.write(kept.batch.entries)
                survey.add(kept)
        show.end()
        return survey.finish()

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
                pool=self._pool,
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
            pool=self._pool,
            show=what.show,
        )

    def space_needed(self, sizes: Sequence[int]) -> int:
        """See `Executor`."""
        return self._what.work.destination.space_needed(sizes, self._what.job.processes)

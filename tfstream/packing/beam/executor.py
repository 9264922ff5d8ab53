"""The executor that has a pipeline's workers do the steps of a pack.

The launching process lists the tree, adds up what the scan of each task found, cuts shards and
commits; it holds one bucket's numbers at a time, and of a record nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from tfstream.annotations import Entry
from tfstream.errors import InvalidArgumentError, PackError, StorageError, TfstreamError
from tfstream.packing import journal
from tfstream.packing.beam.pipelines import Pipelines
from tfstream.packing.beam.planner import Planner, Seen
from tfstream.packing.beam.rows import Numbers
from tfstream.packing.beam.scratch import Scratch
from tfstream.packing.beam.work import (
    CHUNKS,
    ERRORS,
    NUMBERS,
    WRITTEN,
    ScanOrders,
    ShardOrder,
    WriteOrders,
    listed_name,
    order_name,
    scanned_name,
    written_name,
)
from tfstream.packing.delivery import Delivered
from tfstream.packing.executor import Executing, Executor, Undertaking
from tfstream.packing.journal import ShardResult
from tfstream.packing.scan import CHUNK, ScanResult, scan
from tfstream.packing.steps import Plan
from tfstream.packing.survey import Scanned, Survey
from tfstream.packing.workspace import Workspace
from tfstream.packing.write import object_names

__all__ = ["BeamExecutor", "on"]

RECORDS_A_BUCKET = 32_768  # of some kilobytes each, in one worker's memory
_ORDERS_A_GROUP = 64
_METADATA = "metadata"
_STEM = re.compile(r"[^/]+-([0-9a-f]{12})-\d{5,}")  # of a shard's files; the commit is in it


def on(pipelines: Pipelines) -> Executing:
    """What makes the executor of a job, for `run`."""

    @contextlib.contextmanager
    def making(what: Undertaking) -> Iterator[BeamExecutor]:
        directory, place = what.work.destination.directory, what.work.path
        for marker in place.glob("beam-*"):
            _adopt(what.work, Scratch.of(directory, marker.name))
            shutil.rmtree(marker, ignore_errors=True)
        marker = place / f"beam-{secrets.token_hex(8)}"
        marker.mkdir()
        scratch = Scratch.of(directory, marker.name)
        try:
            yield BeamExecutor(what, pipelines, scratch)
        finally:
            with contextlib.suppress(StorageError):  # what ended the pack matters more
                scratch.remove()
                shutil.rmtree(marker, ignore_errors=True)

    return making


def _adopt(work: Workspace, scratch: Scratch) -> None:
    """Takes over what the workers of a launching process that was killed have delivered."""
    names = scratch.names(WRITTEN)
    for name, data in zip(names, scratch.each(names), strict=True):
        stem = _STEM.fullmatch(name.removeprefix(WRITTEN))
        if stem is not None and data is not None:  # whoever put it there
            result = journal.from_bytes(data)
            if result is not None and result.stem == stem[0]:
                journal.save(work.drafts(stem[1]) / f"{stem[0]}.json", result)
    scratch.remove()


class BeamExecutor(Executor):
    """Runs a pipeline to scan and sort, and another one to write."""

    def __init__(self, what: Undertaking, pipelines: Pipelines, scratch: Scratch) -> None:
        """Makes one.

        Args:
            what: The job.
            pipelines: Runs them.
            scratch: The files in common.
        """
        self._what = what
        self._pipelines = pipelines
        self._scratch = scratch
        self._scanned: Scanned | None = None
        self._dropped: list[int] = []  # ordinals of records that the survey did not admit
        self._seen = Seen()
        self._plan: Plan[ShardOrder] = Plan([], 0, 0)

    def scan(self, survey: Survey) -> Scanned:
        """See `Executor`."""
        what, scratch, show = self._what, self._scratch, self._what.show
        show.begin("Listing")
        tasks = survey.tasks()
        parts = count = 0
        metadata = None
        while some := list(islice(tasks, CHUNKS)):
            if some[0].metadata is not None and metadata is None:
                metadata = _METADATA
                scratch.put_file(metadata, some[0].metadata)
            self._require_reach(entry for task in some for entry in task.entries)
            scratch.put_value(listed_name(parts), [task.entries for task in some])
            more = sum(len(task.entries) for task in some)
            show.update(more, 0)
            parts, count = parts + 1, count + more
        show.begin("Scanning", count)
        orders = ScanOrders(
            scratch=scratch,
            options=what.job.options,
            labels=survey.labels,
            metadata=metadata,
            buckets=max(1, -(-count // RECORDS_A_BUCKET)),
        )
        if parts:
            self._run(lambda: self._pipelines.scan(parts, orders))
        names = [scanned_name(part) for part in range(parts)]
        for part, data in enumerate(scratch.each(names)):
            if data is None:
                raise self._failure(f"the scan of part {part} of the listing left no result")
            for place, found in enumerate(pickle.loads(data)):
                self._add(survey, orders, part, place, found)
        show.end()
        self._scanned = survey.finish()
        return self._scanned

    def _require_reach(self, entries: Iterable[Entry]) -> None:
        """Refuses images that are files of the workspace, where workers elsewhere lack it."""
        work, pipelines = self._what.work, self._pipelines
        if pipelines.local or work.destination.directory.path is not None:
            return
        for entry in entries:
            if entry.image_path.startswith(f"{work.path}/"):
                raise InvalidArgumentError(
                    f"The bytes of the image {entry.key!r} were handed over by a program, and lie "
                    f"in {work.path}, where workers of the {pipelines.name} cannot read them: "
                    "give images by paths that workers can read."
                )

    def _add(
        self, survey: Survey, orders: ScanOrders, part: int, place: int, found: ScanResult
    ) -> None:
        """Adds what a task's scan found to the survey."""
        if not survey.fits(found):
            # Rare, and one has to look at the records.
            entries = self._scratch.get_value(listed_name(part))[place]
            whole = scan(orders.task(entries), lambda images, count: None)
            if whole.digest != found.digest:
                raise _changed()
            found, kept = survey.admit(whole)
            first = (part * CHUNKS + place) * CHUNK
            lost = set(range(len(whole.batch.lengths))).difference(kept)
            self._dropped += [first + each for each in sorted(lost)]
        survey.add(found)
        digests = np.frombuffer(found.digest, "<u8")
        self._seen = self._seen.plus(digests)
        self._what.show.update(len(digests) + found.left_out, 0)

    def plan(self, scanned: Scanned) -> Plan[ShardOrder]:
        """See `Executor`."""
        what, scratch = self._what, self._scratch
        planner = Planner(scanned, what.job.options, scratch, self._dropped)
        names = scratch.names(NUMBERS)
        for name, data in zip(names, scratch.each(names), strict=True):
            if data is None:
                raise self._failure(f"the file {name} is gone")
            planner.add(int(name.removeprefix(NUMBERS)), Numbers.from_bytes(data))
        if planner.seen != self._seen:
            raise _changed()
        self._plan = planner.finish(what.rejects)
        return self._plan

    def write(self, commit: str, delivered: Delivered) -> list[ShardResult]:
        """See `Executor`."""
        what, scratch = self._what, self._scratch
        what.work.begin_commit(commit)
        drafts = what.work.drafts(commit)
        orders = [_with_delivered(order, delivered) for order in self._plan.tasks]
        groups = range(0, len(orders), _ORDERS_A_GROUP)
        for number, begin in enumerate(groups):
            scratch.put_value(order_name(number), orders[begin : begin + _ORDERS_A_GROUP])
        for order in orders:
            there = any(name in delivered.present for name in object_names(order.stem))
            if order.stem not in delivered.begun and not there:
                (drafts / f"{order.stem}.json").touch()  # what is there from now on is ours
        what.show.begin("Packing", self._plan.records)
        results: list[ShardResult] = []
        try:
            self._run(lambda: self._pipelines.write(len(groups), self._write_orders()))
        finally:
            # Where it failed, a rerun goes on from what there is.
            names = [written_name(order.stem) for order in orders]
            for order, data in zip(orders, scratch.each(names), strict=True):
                result = None if data is None else journal.from_bytes(data)
                if result is not None:
                    if result != order.known:
                        result = dataclasses.replace(result, resumed=False)
                    journal.save(drafts / f"{order.stem}.json", result)
                    results.append(result)
                    what.show.update(order.records, result.bytes)
        what.show.end()
        if len(results) < len(orders):
            done = {result.stem for result in results}
            left = next(order.stem for order in orders if order.stem not in done)
            raise self._failure(f"the shard {left} was not written")
        what.work.destination.settle()
        for result in results:
            what.rejects.add(result.rejects)
        return results

    def space_needed(self, sizes: Sequence[int]) -> int:
        """See `Executor`: workers write straight to the destination."""
        destination = self._what.work.destination
        return 0 if destination.directory.path is None else destination.space_needed(sizes, 1)

    def _write_orders(self) -> WriteOrders:
        if self._scanned is None:
            raise RuntimeError("nothing was scanned")
        return WriteOrders(
            scratch=self._scratch,
            destination=self._what.work.destination,
            options=self._what.job.options,
            labels=self._scanned.labels,
            metadata=self._scanned.metadata,
        )

    def _run(self, run: Callable[[], None]) -> None:
        """Runs a pipeline; what its workers wrote down of an error says more than the runner."""
        try:
            run()
        except PackError as error:
            raise self._failure(str(error)) from error

    def _failure(self, otherwise: str) -> TfstreamError:
        """The error that a worker wrote down, or one that says what is missing."""
        for name in self._scratch.names(ERRORS):
            error: TfstreamError = self._scratch.get_value(name)
            return error
        return PackError(f"{otherwise[0].upper()}{otherwise[1:].rstrip('.')}.")


def _with_delivered(order: ShardOrder, delivered: Delivered) -> ShardOrder:
    """An order that says what is at the destination already."""
    there = (delivered.present.get(name) for name in object_names(order.stem))
    return dataclasses.replace(
        order,
        known=delivered.known.get(order.stem),
        ours=tuple(info for info in there if info is not None and info in delivered.ours),
    )


def _changed() -> PackError:
    return PackError(
        "The tree was changed while it was being scanned: what two looks at it found differs. Run "
        "the same command again once nothing writes to it."
    )

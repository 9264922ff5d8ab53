"""Does a job: scans, plans, writes and commits, in a workspace that survives a kill."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfstream.annotations import AnnotationReader
from tfstream.errors import (
    AnnotationError,
    DatasetExistsError,
    InvalidArgumentError,
    StorageError,
)
from tfstream.format import manifest
from tfstream.packing import metadata
from tfstream.packing.base import Base
from tfstream.packing.columns import Columns
from tfstream.packing.delivery import find_delivered, remove_leftovers
from tfstream.packing.destination import Destination, exists_already
from tfstream.packing.executor import Executing, Executor, Undertaking
from tfstream.packing.job import Job, PackResult, to_json
from tfstream.packing.journal import ShardResult
from tfstream.packing.local import local
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import RejectsFile
from tfstream.packing.space import require_space, space_errors
from tfstream.packing.steps import Plan, Planned
from tfstream.packing.survey import Survey
from tfstream.packing.version import make_manifest, merge_indexes
from tfstream.packing.workspace import Workspace
from tfstream.v1 import manifest_pb2

__all__ = ["run"]


def run(job: Job, executor: Executing = local) -> PackResult:
    """Does a job, or what is left of it where it was interrupted.

    Args:
        job: What to do.
        executor: Makes the one that does it.

    Raises:
        DatasetExistsError: Another writer is at work there, or was first; or there is a dataset,
            and the job is not to add to one.
        TfstreamError: See `pack` and `append`, which say what else.
    """
    begun = time.monotonic()
    destination = job.destination
    _refuse_inside(destination, job.reader, job.root)
    target = destination.rejects if job.rejects is None else job.rejects
    with Workspace(destination) as work:
        if finished := _finished(work, job):
            return finished
        with (
            RejectsFile(work.rejects, target, always=job.rejects is not None) as rejects,
            Progress(show=job.progress) as show,
        ):
            show.note(f"Format {job.reader.name}: {job.root} has {job.reader.layout}")
            base = Base.newest(destination.directory) if destination.growing else None
            what = Undertaking(job, base, work, rejects, show)
            with executor(what) as does:
                return _run(what, does, begun)


def _refuse_inside(destination: Destination, reader: AnnotationReader, root: str) -> None:
    """A pack must not meet what it writes itself."""
    written = destination.directory.path or destination.workspace
    for walked in reader.guarded(root):
        if Path(os.path.realpath(written)).is_relative_to(os.path.realpath(walked)):
            raise InvalidArgumentError(
                f"{written} lies inside {walked}, which is being packed: give a directory "
                "elsewhere."
            )


def _run(what: Undertaking, executor: Executor, begun: float) -> PackResult:
    """All steps of a job."""
    job, work, rejects = what.job, what.work, what.rejects
    destination, options = job.destination, job.options
    with space_errors(work):
        scanned = executor.scan(_survey(what))
        plan = executor.plan(scanned)
    if rejects.count and options.on_invalid == "error":
        raise rejects.publish_as_error()
    if plan.records == 0:
        raise AnnotationError(
            f"Nothing was packed: no record is left. {rejects.publish()} says why."
        )
    delivered = find_delivered(work, scanned.commit)
    left = [task.bytes for task in plan.tasks if task.stem not in delivered.known]
    require_space(work, executor.space_needed(left))
    with space_errors(work):
        shards = executor.write(scanned.commit, delivered)
        made = make_manifest(job, what.base, scanned, plan, shards)
        merge_indexes(destination.directory, made, what.show)
        result = PackResult(
            dest=destination.name,
            version=made.version,
            commit=made.commit,
            format=options.format,
            splits=_records(plan, shards),
            total=sum(split.statistics.records for split in made.splits),
            classes=scanned.labels.classes,
            shards=sum(shard.bytes > 0 for shard in shards),
            bytes=sum(shard.bytes for shard in shards),
            rejected=scanned.rejected + plan.repeated + sum(len(shard.rejects) for shard in shards),
            rejects=rejects.publish(),
            left_out=scanned.left_out,
            unmatched=scanned.unmatched,
            resumed=sum(shard.resumed for shard in shards),
            seconds=time.monotonic() - begun,
        )
        work.note(made.commit, {"request": job.request, "result": to_json(result)})
        _commit(work, made)
    _clear(work, made.commit)
    return result


def _survey(what: Undertaking) -> Survey:
    """Of what there is to pack, with the metadata that belong to it."""
    columns = Columns(what.base.columns if what.base else {})
    joined = None
    if what.job.metadata is not None:
        what.show.begin("Sorting metadata")
        joined = metadata.prepare(what.job.metadata, what.work.path, columns, what.show.update)
        what.show.end()
    return Survey(
        what.job,
        what.base,
        columns=columns,
        metadata=joined,
        scratch=what.work.listing(),
        rejects=what.rejects,
    )


def _records(plan: Plan[Planned], shards: Sequence[ShardResult]) -> dict[str, int]:
    """How many records were packed, by split."""
    written = iter(shards)
    counts = {
        name: sum(next(written).statistics.records for _ in tasks) for name, tasks in plan.splits
    }
    return {name: count for name, count in counts.items() if count}


def _commit(work: Workspace, made: manifest_pb2.Manifest) -> None:
    """Makes the version visible.

    Raises:
        DatasetExistsError: Another writer was first; nothing of ours is left then.
    """
    directory = work.destination.directory
    try:
        manifest.commit(directory, made)
    except DatasetExistsError as error:
        _clear(work, manifest.load(directory, made.version).commit)
        work.discard()
        if made.change.parent:
            raise DatasetExistsError(
                f"Another writer made version {made.version} of {work.destination} first: nothing "
                "was appended. Run the same command again, and it adds to that version."
            ) from error
        raise


def _clear(workspace: Workspace, commit: str) -> None:
    """Removes what no manifest names; the dataset is there, whether or not that succeeds."""
    try:
        remove_leftovers(workspace, commit)
    except StorageError as error:
        warnings.warn(
            f"Shards that were begun here and are of no use could not be deleted: {error}",
            RuntimeWarning,
            stacklevel=2,
        )


def _finished(work: Workspace, job: Job) -> PackResult | None:
    """The result of a job that was interrupted after its version had become visible.

    Raises:
        DatasetExistsError: There is a dataset of another job, and this one is not to add to it.
    """
    directory = work.destination.directory
    versions = manifest.versions(directory)
    for commit, noted in work.notes():
        version = noted["result"]["version"]
        if version in versions and manifest.load(directory, version).commit == commit:
            if noted["request"] == job.request:
                _clear(work, commit)
                return _from_json(noted["result"], work.destination)
            work.forget(commit)
    if versions and not work.destination.growing:
        _clear(work, manifest.load(directory, versions[-1]).commit)
        work.discard()
        raise exists_already(work.destination, versions[-1])
    return None


def _from_json(plain: dict[str, Any], destination: Destination) -> PackResult:
    return PackResult(
        **{
            **plain,
            "dest": destination.name,
            "rejects": Path(plain["rejects"]) if plain["rejects"] else None,
            "resumed": plain["shards"],
        }
    )

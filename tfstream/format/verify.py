"""Verifying a version of a dataset: every byte of it, in all processes that there are cores for."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tfstream import errors
from tfstream.format import manifest, merged, statistics
from tfstream.format.foreign import Translator
from tfstream.format.numbered import lists_all
from tfstream.format.shard_check import Problem, ShardReport, ShardTask, check_shard
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.v1 import manifest_pb2

__all__ = ["Problem", "verify"]

# Below that, starting processes takes longer than it spares.
_WORTH_PROCESSES = 64 << 20  # bytes


def verify(
    root: Directory | str | os.PathLike[str],
    version: int | None = None,
    *,
    processes: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Problem]:
    """Checks all that a version of a dataset consists of.

    Every CRC; each shard's size, records and offsets against its index and the
    manifest; each row of an index against its record, and of a merged index against that
    of the shard's own; keys that occur twice; the manifest's statistics. Records that the
    version does without are passed over.

    Args:
        root: The dataset's directory; elsewhere than on local disk it is read in a stream.
        version: Its number; None: the newest.
        processes: How many at once; None: one a core. They are spawned: a script
            that calls this needs `if __name__ == "__main__":`, unless it asks for 1.
        progress: Called with the size in bytes of each shard as it is done.

    Returns:
        What is wrong, in the manifest's order; empty when all is well.

    Raises:
        InvalidArgumentError: `processes` is less than 1.
        DatasetNotFoundError: There is no such dataset or version.
        ManifestError: The manifest itself cannot be read.
        StorageError: A remote directory cannot be read.
    """
    if processes is not None and processes < 1:
        raise errors.InvalidArgumentError(f"processes is {processes}: it must be at least 1.")
    directory = as_directory(root)
    loaded = manifest.load(directory, version)
    translator = Translator.of(loaded)
    tasks = [
        ShardTask(
            directory=directory,
            path=shard.path,
            index_path=shard.index_path,
            records=shard.records,
            bytes=shard.bytes,
            metadata=dict(loaded.schema.metadata),
            relabelled=shard.relabelled,
            whole=lists_all(shard),
            key=shard.key,
            translator=translator if shard.name else None,
        )
        for split in loaded.splits
        for shard in split.shards
    ]
    reports = _check_all(tasks, processes or _cores(), progress or (lambda _: None))
    problems = [problem for report in reports for problem in report.problems]
    problems += _duplicates(tasks, reports)
    problems += _merged_problems(directory, loaded, reports)
    problems += _statistics_problems(loaded, manifest.path_of(directory, loaded.version), reports)
    return problems


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_all(
    tasks: Sequence[ShardTask], processes: int, progress: Callable[[int], object]
) -> list[ShardReport]:
    """The shards' reports, in their order."""
    processes = min(processes, len(tasks))
    if processes <= 1 or sum(task.bytes for task in tasks) < _WORTH_PROCESSES:
        reports = []
        for task in tasks:
            reports.append(check_shard(task))
            progress(task.bytes)
        return reports
    # Spawned, not forked: the caller may have threads (TensorFlow's, tqdm's).
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures: dict[Future[ShardReport], ShardTask] = {
            pool.submit(check_shard, task): task for task in tasks
        }
        try:
            for future in as_completed(futures):
                future.result()
                progress(futures[future].bytes)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise errors.TfstreamError(
                "A process that verified shards died (out of memory?). Try again with one process."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _duplicates(tasks: Sequence[ShardTask], reports: Sequence[ShardReport]) -> Iterator[Problem]:
    """Keys that occur more than once, told at each place after the first."""
    import numpy as np

    # Eight bytes a record, so that a dataset of any size can be compared with itself.
    hashes = [np.frombuffer(report.key_hashes, np.uint64) for report in reports]
    ordered = np.sort(np.concatenate([*hashes, np.empty(0, np.uint64)]))
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not repeated.size:
        return
    first: dict[str, str] = {}
    for task, found in zip(tasks, hashes, strict=True):
        places = np.flatnonzero(np.isin(found, repeated))
        if not places.size:
            continue
        rows = task.read_index(["key", "offset"]).take(places).to_pylist()
        for row in rows:
            key, offset = row["key"], row["offset"]
            if key in first:
                yield Problem(task.place, offset, key, f"the key is also that of {first[key]}")
            else:
                first[key] = f"the record at byte {offset} of {task.place}"


def _merged_problems(
    directory: Directory, loaded: manifest_pb2.Manifest, reports: Sequence[ShardReport]
) -> Iterator[Problem]:
    """Where merged indexes do not say what the shards' own say."""
    metadata = dict(loaded.schema.metadata)
    begin = 0
    for split in loaded.splits:
        for run in merged.covered(split):
            # Of damaged indexes the rows may differ, and the damage has been told.
            if not any(part.problems for part in reports[begin + run.begin : begin + run.end]):
                wrong = merged.difference(directory, run, split, metadata)
                if wrong:
                    yield Problem(directory.locate(run.path), None, "", wrong)
        begin += len(split.shards)


def _statistics_problems(
    loaded: manifest_pb2.Manifest, path: str, reports: Sequence[ShardReport]
) -> Iterator[Problem]:
    """Where the manifest's sums are not those of the records."""
    begin = 0
    for split in loaded.splits:
        parts = reports[begin : begin + len(split.shards)]
        begin += len(split.shards)
        # Of damaged shards the sums must differ, and the damage has been told.
        if any(part.problems for part in parts):
            continue
        found = statistics.plain(statistics.to_proto(statistics.merge(p.sums for p in parts)))
        for name, says in statistics.plain(split.statistics).items():
            if says != found[name]:
                what = (
                    f"the statistics of split {split.name!r}: {name} is {_apart(says, found[name])}"
                )
                yield Problem(path, None, "", what)


def _apart(says: Any, found: Any) -> str:
    """In what a value of the statistics differs from what was found."""
    if not isinstance(says, dict):
        return f"{says}, and the records have {found}"
    names = sorted(name for name in {*says, *found} if says.get(name) != found.get(name))
    more = f" (and {len(names) - 1} more differ)" if names[1:] else ""
    name = names[0]
    return f"{says.get(name)} for {name!r}, and the records have {found.get(name)}{more}"

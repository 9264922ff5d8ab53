"""The steps of a pack over all records: scan the tree, plan shards, write them, describe them."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tfstream
from tfstream.annotations import AnnotationReader
from tfstream.errors import AnnotationError, StorageError
from tfstream.format import index, statistics
from tfstream.format.label_map import LabelMap
from tfstream.packing.journal import ShardResult
from tfstream.packing.options import Options
from tfstream.packing.plan import cut, order, order_splits, shard_stem
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress, format_bytes
from tfstream.packing.rejects import Reject, RejectsFile
from tfstream.packing.scan import CHUNK, ScanTask, scan
from tfstream.packing.spool import Spool, Table
from tfstream.packing.workspace import Workspace
from tfstream.packing.write import SHARDS, ShardTask, write_shard
from tfstream.storage.local import flush_directory
from tfstream.v1 import manifest_pb2

__all__ = [
    "Plan",
    "Scanned",
    "make_manifest",
    "plan_shards",
    "require_space",
    "scan_tree",
    "space_errors",
    "write_shards",
]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_INDEX_BYTES_A_RECORD = 100
# A shard, its index and its journal fill their last block each by half, and a little more.
_BYTES_A_SHARD = 3 * 4096


@dataclasses.dataclass(frozen=True)
class Scanned:
    """What the scan found, in all.

    Attributes:
        table: The records that there can be.
        labels: The label map.
        metadata: The metadata columns: name to type.
        commit: Hash of what will be packed, and how.
        rejected: Entries of the tree that make no record, because something is wrong with them.
        left_out: Files that are no entry, by reason.
    """

    table: Table
    labels: LabelMap
    metadata: dict[str, str]
    commit: str
    rejected: int
    left_out: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes:
        splits: Each split's shards, both in the order of the manifest.
        records: Over all splits.
        bytes: That all shards and indexes will take, about.
        repeated: Records left out because of their key.
    """

    splits: list[tuple[str, list[ShardTask]]]
    records: int
    bytes: int
    repeated: int

    @property
    def tasks(self) -> list[ShardTask]:
        """All shards, in the order of the manifest."""
        return [task for _, tasks in self.splits for task in tasks]


def scan_tree(
    reader: AnnotationReader,
    root: str,
    options: Options,
    *,
    labels: LabelMap | None,
    background: bool,
    spool: Path,
    rejects: RejectsFile,
    pool: Pool,
    show: Progress,
) -> Scanned:
    """Reads every annotation and every image's header; writes the spool file.

    Args:
        reader: Of the tree's format.
        root: The tree.
        options: How to pack.
        labels: The label map; None: it is made of the labels that occur.
        background: Whether a map made here has a background class.
        spool: The file to write.
        rejects: Takes what is wrong.
        pool: Does the work.
        show: Is told of the progress.

    Raises:
        AnnotationError: There is no annotation at all.
        StorageError: A file cannot be read.
    """
    table = Table()
    names: set[str] = set()
    metadata: dict[str, str] = {}
    state = hashlib.blake2b(digest_size=6)
    rejected = 0
    left_out: Counter[str] = Counter()
    tasks = _scan_tasks(reader, root, options, labels, left_out)
    show.begin("Scanning")
    with open(spool, "wb") as file:
        for found in pool.map(scan, tasks, show.update):
            table.append(found.batch)
            file.write(found.batch.entries)
            state.update(found.digest)
            names |= found.labels
            metadata = index.merge_schemas(metadata, found.metadata)
            rejects.add(found.rejects)
            rejected += found.left_out
    show.end()
    if len(table) == 0 and rejected == 0:
        without = left_out["images without annotation"]
        besides = f" ({without:,} images without one)" if without else ""
        raise AnnotationError(
            f"{root} holds no annotation{besides}: there is no .xml file in its {reader.layout}."
        )
    if labels is None:
        labels = LabelMap.from_names(sorted(names), background=background)
    how = [dataclasses.asdict(options), dataclasses.asdict(labels)]
    state.update(json.dumps(how, sort_keys=True).encode())
    return Scanned(
        table=table,
        labels=labels,
        metadata=metadata,
        commit=state.hexdigest(),
        rejected=rejected,
        left_out=dict(sorted(left_out.items())),
    )


def _scan_tasks(
    reader: AnnotationReader,
    root: str,
    options: Options,
    labels: LabelMap | None,
    left_out: Counter[str],
) -> Iterator[ScanTask]:
    entries = reader.entries(root, left_out)
    while chunk := list(islice(entries, CHUNK)):
        yield ScanTask(chunk, options, labels)


def plan_shards(
    scanned: Scanned, options: Options, workspace: Workspace, rejects: RejectsFile
) -> Plan:
    """Orders the records and cuts them into shards.

    Args:
        scanned: What there is.
        options: How to pack.
        workspace: Where the shards will be written.
        rejects: Takes the records whose key another one has.
    """
    table = scanned.table
    stored = order(table.hashes)
    again = _repeated(table, stored, workspace.spool, options, rejects)
    if again:
        stored = stored[~np.isin(stored, np.fromiter(again, np.int64))]
    sizes = table.sizes(scanned.labels.classes)
    drafts = workspace.path / scanned.commit
    splits = []
    for name in order_splits(table.split_names):
        chosen = stored[table.splits[stored] == table.split_names.index(name)]
        bounds = cut(sizes[chosen], options.shard_bytes)
        tasks = [
            ShardTask(
                stem=shard_stem(name, scanned.commit, number),
                dest=workspace.dest,
                workspace=drafts,
                spool=workspace.spool,
                offsets=table.offsets[chosen[bounds[number] : bounds[number + 1]]],
                options=options,
                labels=scanned.labels,
                metadata=scanned.metadata,
            )
            for number in range(len(bounds) - 1)
        ]
        if tasks:
            splits.append((name, tasks))
    shards = sum(len(tasks) for _, tasks in splits)
    total = int(sizes[stored].sum()) + _INDEX_BYTES_A_RECORD * len(stored) + _BYTES_A_SHARD * shards
    return Plan(splits, len(stored), total, len(again))


def _repeated(
    table: Table,
    stored: NDArray[np.int64],
    spool: Path,
    options: Options,
    rejects: RejectsFile,
) -> list[int]:
    """The positions of records whose key an earlier one has; each is put among the rejects."""
    hashes = table.hashes[stored]
    suspects = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    found = []
    if len(suspects):
        first: dict[str, str] = {}
        with Spool(spool) as entries:
            # Stored order keeps equal hashes in the order of the listing.
            for place in sorted({*suspects.tolist(), *(suspects - 1).tolist()}):
                position = int(stored[place])
                image = entries.read(int(table.offsets[position])).image
                if image.key in first:
                    found.append((position, image, first[image.key]))
                else:
                    first[image.key] = image.annotation_path
    for _, image, other in sorted(found, key=lambda each: each[0]):
        rejects.add(
            [
                Reject(
                    file=image.annotation_path,
                    key=image.key,
                    split=image.split,
                    kind="duplicate key",
                    reason=f"its key {image.key!r} is that of {other} already",
                    action="not packed" if options.on_invalid == "error" else "record left out",
                )
            ]
        )
    return [position for position, _, _ in found]


def require_space(plan: Plan, workspace: Workspace) -> None:
    """Refuses to begin what there is no space for.

    Raises:
        StorageError: Says how much is needed, and how much there is.
    """
    free = shutil.disk_usage(workspace.dest).free
    needed = plan.bytes - _written(plan, workspace)
    if needed > free:
        raise StorageError(
            errno.ENOSPC,
            f"No space for {workspace.dest}: packing needs {format_bytes(needed)} more, and "
            f"{format_bytes(free)} are free. Free {format_bytes(needed - free)}, and run the same "
            "command again.",
        )


@contextlib.contextmanager
def space_errors(plan: Plan | None, workspace: Workspace) -> Iterator[None]:
    """Turns errors for want of space into one that says how much is needed, and how to go on.

    Args:
        plan: What is being written; None in the scan.
        workspace: Where.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        if plan is None:
            needed = "The scan alone takes some 500 bytes a record there"
        else:
            missing = max(plan.bytes - _written(plan, workspace), 0)
            needed = f"The shards need {format_bytes(plan.bytes)}, {format_bytes(missing)} still"
        raise StorageError(
            error.errno,
            f"No space left for {workspace.dest}: {error} {needed}. Free it, and run the same "
            "command again: it goes on where it stopped.",
        ) from error


def _written(plan: Plan, workspace: Workspace) -> int:
    """Bytes of the plan's shards and indexes that are in place."""
    total = 0
    for task in plan.tasks:
        for suffix in (".tfrecord", ".parquet"):
            path = workspace.dest / SHARDS / f"{task.stem}{suffix}"
            total += path.stat().st_size if path.exists() else 0
    return total


def write_shards(
    plan: Plan, commit: str, workspace: Workspace, rejects: RejectsFile, pool: Pool, show: Progress
) -> list[ShardResult]:
    """Writes all shards, save those that an interrupted pack has written already.

    Args:
        plan: What to write.
        commit: That the plan is of.
        workspace: Where.
        rejects: Takes what is found wrong only now.
        pool: Does the work.
        show: Is told of the progress.

    Returns:
        A result a shard, in the plan's order.
    """
    workspace.begin_commit(commit)
    show.begin("Packing", plan.records)
    results = []
    for result in pool.map(write_shard, plan.tasks, show.update):
        rejects.add(result.rejects)
        results.append(result)
    show.end()
    # Before a manifest names them: after a power cut there is no dataset without its shards.
    flush_directory(workspace.dest / SHARDS)
    return results


def make_manifest(
    scanned: Scanned, plan: Plan, results: Sequence[ShardResult], options: Options
) -> manifest_pb2.Manifest:
    """The manifest of the first version of a dataset.

    Args:
        scanned: What was found.
        plan: What was to be written.
        results: Of the plan's shards, in its order.
        options: How it was packed.
    """
    written = iter(results)
    splits = []
    for name, tasks in plan.splits:
        shards = [next(written) for _ in tasks]
        splits.append(
            manifest_pb2.Split(
                name=name,
                shards=[
                    manifest_pb2.Shard(
                        path=f"{SHARDS}/{shard.stem}.tfrecord",
                        index_path=f"{SHARDS}/{shard.stem}.parquet",
                        records=shard.statistics.records,
                        bytes=shard.bytes,
                    )
                    for shard in shards
                    if shard.bytes
                ],
                statistics=statistics.to_proto(
                    statistics.merge(shard.statistics for shard in shards)
                ),
            )
        )
    return manifest_pb2.Manifest(
        version=1,
        commit=scanned.commit,
        tfstream_version=tfstream.__version__,
        splits=[split for split in splits if split.shards],
        labels=scanned.labels.to_proto(),
        schema=manifest_pb2.Schema(metadata=scanned.metadata),
        pack=manifest_pb2.PackParameters(
            format=options.format,
            seed=options.seed,
            shard_bytes=options.shard_bytes,
            on_invalid=options.on_invalid,
            max_side=options.max_side or 0,
            quality=options.stored_quality,
        ),
    )

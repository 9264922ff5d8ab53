"""The steps of a pack over all records after the scan: plan shards, and write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfstream.packing.delivery import Delivered, Delivery
from tfstream.packing.journal import ShardResult
from tfstream.packing.options import Options
from tfstream.packing.plan import cut, key_hash, order, order_splits, shard_stem
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import Reject, RejectsFile
from tfstream.packing.spool import Spool, Table
from tfstream.packing.survey import Scanned
from tfstream.packing.workspace import Workspace
from tfstream.packing.write import ShardTask, write_shard

__all__ = ["Plan", "plan_shards", "write_shards"]

_INDEX_BYTES_A_RECORD = 100
# A shard, its index and its journal fill their last block each by half, and a little more.
_BYTES_A_SHARD = 3 * 4096


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes:
        splits: Each split's shards, both in the order of the manifest.
        records: Over all splits.
        repeated: Records left out because of their key.
    """

    splits: list[tuple[str, list[ShardTask]]]
    records: int
    repeated: int

    @property
    def tasks(self) -> list[ShardTask]:
        """All shards, in the order of the manifest."""
        return [task for _, tasks in self.splits for task in tasks]


def plan_shards(
    scanned: Scanned,
    options: Options,
    workspace: Workspace,
    rejects: RejectsFile,
    *,
    taken: Mapping[str, str],
) -> Plan:
    """Orders the records and cuts them into shards.

    Args:
        scanned: What there is.
        options: How to pack.
        workspace: Of the destination.
        rejects: Takes the records whose key another one has.
        taken: Keys that records of the dataset have, each with its shard.
    """
    table = scanned.table
    stored = order(table.hashes)
    again = _repeated(table, stored, workspace.spool, options, rejects, taken)
    if again:
        stored = stored[~np.isin(stored, np.fromiter(again, np.int64))]
    sizes = table.sizes(scanned.labels.classes)
    drafts = workspace.drafts(scanned.commit)
    splits = []
    for name in order_splits(table.split_names):
        chosen = stored[table.splits[stored] == table.split_names.index(name)]
        bounds = cut(sizes[chosen], options.shard_bytes)
        tasks = []
        for number, (begin, end) in enumerate(pairwise(bounds)):
            part = chosen[begin:end]
            overhead = _INDEX_BYTES_A_RECORD * len(part) + _BYTES_A_SHARD
            tasks.append(
                ShardTask(
                    stem=shard_stem(name, scanned.commit, number),
                    bytes=int(sizes[part].sum()) + overhead,
                    drafts=drafts,
                    spool=workspace.spool,
                    offsets=table.offsets[part],
                    options=options,
                    labels=scanned.labels,
                    metadata=scanned.metadata,
                )
            )
        if tasks:
            splits.append((name, tasks))
    return Plan(splits, len(stored), len(again))


def _repeated(
    table: Table,
    stored: NDArray[np.int64],
    spool: Path,
    options: Options,
    rejects: RejectsFile,
    taken: Mapping[str, str],
) -> list[int]:
    """The positions of records whose key an earlier one has; each is put among the rejects."""
    hashes = table.hashes[stored]
    same = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    known = np.array([key_hash(key, options.seed) for key in taken], np.uint64)
    suspects = np.unique(np.concatenate([same, same - 1, np.flatnonzero(np.isin(hashes, known))]))
    if not len(suspects):
        return []
    found = {}
    first: dict[str, str] = {}
    with Spool(spool) as entries:
        # Stored order keeps equal hashes in the order of the listing.
        for position in stored[suspects].tolist():
            image = entries.read(int(table.offsets[position])).image
            if image.key in taken:
                found[position] = f"in the dataset already, in {taken[image.key]}"
            elif image.key in first:
                found[position] = f"that of {first[image.key]} already"
            else:
                first[image.key] = image.annotation_path
        for position in sorted(found):
            image = entries.read(int(table.offsets[position])).image
            rejects.add(
                [
                    Reject(
                        file=image.annotation_path,
                        key=image.key,
                        split=image.split,
                        kind="duplicate key",
                        reason=f"its key {image.key!r} is {found[position]}",
                        action="not packed" if options.on_invalid == "error" else "record left out",
                    )
                ]
            )
    return list(found)


def write_shards(
    plan: Plan,
    commit: str,
    delivered: Delivered,
    *,
    workspace: Workspace,
    rejects: RejectsFile,
    pool: Pool,
    show: Progress,
) -> list[ShardResult]:
    """Writes and delivers all shards, save those that are there already.

    Args:
        plan: What to write.
        commit: That the plan is of.
        delivered: What is there already.
        workspace: Of the destination.
        rejects: Takes what is found wrong only now.
        pool: Does the work.
        show: Is told of the progress.

    Returns:
        A result a shard, in the plan's order.
    """
    workspace.begin_commit(commit)
    show.begin("Packing", plan.records)
    tasks = (dataclasses.replace(task, known=delivered.known.get(task.stem)) for task in plan.tasks)
    results = {}
    with Delivery(
        workspace.destination,
        workspace.drafts(commit),
        before=delivered,
        sent=show.sent,
    ) as delivery:
        for result in pool.as_done(write_shard, tasks, show.update):
            if not result.resumed:
                delivery.put(result)
            results[result.stem] = result
        delivery.finish()
    show.end()
    workspace.destination.settle()
    ordered = [results[task.stem] for task in plan.tasks]
    for result in ordered:
        rejects.add(result.rejects)
    return ordered

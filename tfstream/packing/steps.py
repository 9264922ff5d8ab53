"""The steps of a pack over all records after the scan: plan shards, and write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfstream.packing.delivery import Delivered, Delivery
from tfstream.packing.journal import ShardResult
from tfstream.packing.options import Options
from tfstream.packing.plan import cut, key_hash, order, order_splits, shard_stem
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import Reject, RejectsFile
from tfstream.packing.spool import Spool, Table
from tfstream.packing.survey import Scanned
from tfstream.packing.workers import Workers
from tfstream.packing.workspace import Workspace
from tfstream.packing.write import ShardTask, write_shard
from tfstream.v1 import annotated_image_pb2

__all__ = ["Plan", "Planned", "plan_shards", "planned_bytes", "repeated", "write_shards"]

_INDEX_BYTES_A_RECORD = 100
# A shard, its index and its journal fill their last block each by half, and a little more.
_BYTES_A_SHARD = 3 * 4096


class Planned(Protocol):
    """A shard that is to be written.

    Attributes:
        stem: File name without extension.
        bytes: That the shard and its index will take, about.
    """

    @property
    def stem(self) -> str: ...  # noqa: D102 (the class says it)

    @property
    def bytes(self) -> int: ...  # noqa: D102


Task = TypeVar("Task", bound=Planned, covariant=True)


@dataclasses.dataclass(frozen=True)
class Plan(Generic[Task]):
    """What is to be written.

    Attributes:
        splits: Each split's shards, both in the order of the manifest.
        records: Over all splits.
        repeated: Records left out because of their key.
    """

    splits: Sequence[tuple[str, Sequence[Task]]]
    records: int
    repeated: int

    @property
    def tasks(self) -> list[Task]:
        """All shards, in the order of the manifest."""
        return [task for _, tasks in self.splits for task in tasks]


def planned_bytes(frames: int, records: int) -> int:
    """Bytes that a shard and its index will take, about.

    Args:
        frames: Bytes of its records' frames.
        records: How many these are.
    """
    return frames + _INDEX_BYTES_A_RECORD * records + _BYTES_A_SHARD


def plan_shards(
    table: Table,
    scanned: Scanned,
    options: Options,
    workspace: Workspace,
    rejects: RejectsFile,
    *,
    taken: Mapping[str, str],
) -> Plan[ShardTask]:
    """Orders the records and cuts them into shards.

    Args:
        table: The records.
        scanned: What else was found.
        options: How to pack.
        workspace: Of the destination.
        rejects: Takes the records whose key another one has.
        taken: Keys that records of the dataset have, each with its shard.
    """
    stored = order(table.hashes)
    again: dict[int, Reject] = {}
    if len(stored):
        with Spool(workspace.spool) as spool:
            again = repeated(
                table.hashes[stored],
                lambda place: spool.read(int(table.offsets[stored[place]])).image,
                options,
                taken,
            )
    rejects.add(again[place] for place in sorted(again, key=lambda place: stored[place]))
    stored = np.delete(stored, np.fromiter(again, np.int64, len(again)))
    sizes = table.sizes(scanned.labels.classes)
    drafts = workspace.drafts(scanned.commit)
    splits = []
    for name in order_splits(table.split_names):
        chosen = stored[table.splits[stored] == table.split_names.index(name)]
        bounds = cut(sizes[chosen], options.shard_bytes)
        tasks = []
        for number, (begin, end) in enumerate(pairwise(bounds)):
            part = chosen[begin:end]
            tasks.append(
                ShardTask(
                    stem=shard_stem(name, scanned.commit, number),
                    bytes=planned_bytes(int(sizes[part].sum()), len(part)),
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


def repeated(
    hashes: NDArray[np.uint64],
    image_at: Callable[[int], annotated_image_pb2.AnnotatedImage],
    options: Options,
    taken: Mapping[str, str],
) -> dict[int, Reject]:
    """The records whose key an earlier one has: the place of each, and what to say of it.

    Args:
        hashes: [n] of the records' keys, sorted; equal ones in the order of the listing.
        image_at: The annotation of the record at a place.
        options: How to pack.
        taken: Keys that records of the dataset have, each with its shard.
    """
    same = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    known = np.array([key_hash(key, options.seed) for key in taken], np.uint64)
    suspects = np.unique(np.concatenate([same, same - 1, np.flatnonzero(np.isin(hashes, known))]))
    found = {}
    first: dict[str, annotated_image_pb2.AnnotatedImage] = {}
    for place in suspects.tolist():
        image = image_at(place)
        if image.key in taken:
            where = f"in the dataset already, in {taken[image.key]}"
        elif image.key in first:
            where = f"that of {_told_apart(first[image.key], image)}"
        else:
            first[image.key] = image
            continue
        found[place] = Reject(
            file=image.annotation_path,
            key=image.key,
            split=image.split,
            kind="duplicate key",
            reason=f"its key {image.key!r} is {where}",
            action="not packed" if options.on_invalid == "error" else "record left out",
        )
    return found


def _told_apart(
    first: annotated_image_pb2.AnnotatedImage, other: annotated_image_pb2.AnnotatedImage
) -> str:
    """What to call the first of two records of one key: by a file that the other does not have."""
    if first.annotation_path != other.annotation_path:
        return f"{first.annotation_path} already"
    if first.image_path != other.image_path:
        return f"{first.image_path} already"
    return "an earlier record of the same file"


def write_shards(
    plan: Plan[ShardTask],
    commit: str,
    delivered: Delivered,
    *,
    workspace: Workspace,
    rejects: RejectsFile,
    workers: Workers,
    show: Progress,
) -> list[ShardResult]:
    """Writes and delivers all shards, save those that are there already.

    Args:
        plan: What to write.
        commit: That the plan is of.
        delivered: What is there already.
        workspace: Of the destination.
        rejects: Takes what is found wrong only now.
        workers: Do the work.
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
        for result in workers.as_done(write_shard, tasks, show.update):
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

"""The manifest of the version that a pack or an append makes."""

from __future__ import annotations

from collections.abc import Sequence

import tfstream
from tfstream.format import merged, statistics
from tfstream.packing.base import Base
from tfstream.packing.job import Job
from tfstream.packing.journal import ShardResult
from tfstream.packing.plan import order_splits
from tfstream.packing.progress import Progress
from tfstream.packing.steps import Plan, Planned
from tfstream.packing.survey import Scanned
from tfstream.packing.write import object_names
from tfstream.storage.directory import Directory
from tfstream.v1 import manifest_pb2

__all__ = ["make_manifest", "merge_indexes"]


def make_manifest(
    job: Job,
    base: Base | None,
    scanned: Scanned,
    plan: Plan[Planned],
    results: Sequence[ShardResult],
) -> manifest_pb2.Manifest:
    """Describes the new version: the shards of the one before, and behind them the new ones.

    Args:
        job: What was asked for.
        base: The version before; None: there is none.
        scanned: What was found.
        plan: What was to be written.
        results: Of the plan's shards, in its order.
    """
    written = iter(results)
    new = {name: [next(written) for _ in tasks] for name, tasks in plan.splits}
    old = {split.name: split for split in base.manifest.splits} if base else {}
    splits = [
        _split(name, old.get(name), new.get(name, []))
        for name in (*old, *(name for name in order_splits(new) if name not in old))
    ]
    parent = base.manifest.version if base else 0
    options = job.options
    return manifest_pb2.Manifest(
        version=parent + 1,
        commit=scanned.commit,
        tfstream_version=tfstream.__version__,
        splits=[split for split in splits if split.shards or split.name in old],
        labels=scanned.labels.to_proto(),
        schema=_schema(scanned),
        pack=manifest_pb2.PackParameters(
            format=options.format,
            seed=options.seed,
            shard_bytes=options.shard_bytes,
            on_invalid=options.on_invalid,
            max_side=options.max_side or 0,
            quality=options.stored_quality,
        ),
        change=job.change(parent),
    )


def merge_indexes(directory: Directory, made: manifest_pb2.Manifest, show: Progress) -> None:
    """Merges indexes of a version that is about to be committed; see `format/merged.py`.

    Args:
        directory: The dataset's.
        made: The manifest; it is changed.
        show: Is told of the progress.

    Raises:
        StorageError: A merged index cannot be written.
    """
    runs = [(split, run) for split in made.splits for run in merged.to_merge(split, made.commit)]
    if runs:
        rows = sum(s.records for split, run in runs for s in split.shards[run.begin : run.end])
        show.begin("Merging indexes", rows)
    merged.merge(directory, made, lambda rows: show.update(rows, 0))
    show.end()


def _schema(scanned: Scanned) -> manifest_pb2.Schema:
    schema = manifest_pb2.Schema(metadata=scanned.metadata)
    scanned.contents.put_into(schema)
    return schema


def _split(
    name: str, old: manifest_pb2.Split | None, new: Sequence[ShardResult]
) -> manifest_pb2.Split:
    """A split with the shards that it had, and those that have been written for it."""
    sums = [shard.statistics for shard in new]
    if old is not None:
        sums.insert(0, statistics.from_proto(old.statistics))
    return manifest_pb2.Split(
        name=name,
        shards=[*(old.shards if old else ()), *(_shard_proto(each) for each in new if each.bytes)],
        statistics=statistics.to_proto(statistics.merge(sums)),
        merged=old.merged if old else (),
    )


def _shard_proto(shard: ShardResult) -> manifest_pb2.Shard:
    path, index_path = object_names(shard.stem)
    return manifest_pb2.Shard(
        path=path,
        index_path=index_path,
        records=shard.statistics.records,
        bytes=shard.bytes,
    )

"""New indexes for shards that stay as they are: what edits of a dataset are made of."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tfstream.format import index, statistics
from tfstream.indexes import local_indexes
from tfstream.storage.directory import Directory
from tfstream.v1 import manifest_pb2

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Place", "commit_of", "opened", "rewrite", "sum_up"]

_AT_ONCE = 8  # indexes in memory


@dataclasses.dataclass(frozen=True)
class Place:
    """A shard of a version.

    Attributes:
        number: Its place among all of them.
        split: The name of its split.
        shard: What the manifest says of it.
        path: Of its index, on local disk.
        rows: The numbers of its records, over all splits.
    """

    number: int
    split: str
    shard: manifest_pb2.Shard
    path: str
    rows: slice


@contextlib.contextmanager
def opened(directory: Directory, loaded: manifest_pb2.Manifest) -> Iterator[list[Place]]:
    """The shards of a version in storage order, their indexes on local disk in the meantime.

    Raises:
        StorageError: An index cannot be read, or not be copied.
    """
    named = [(split.name, shard) for split in loaded.splits for shard in split.shards]
    with local_indexes(directory, [shard for _, shard in named]) as paths:
        places: list[Place] = []
        begin = 0
        for (split, shard), path in zip(named, paths, strict=True):
            end = begin + shard.records
            places.append(Place(len(places), split, shard, path, slice(begin, end)))
            begin = end
        yield places


def commit_of(parent: str, told: manifest_pb2.Change, effect: bytes) -> str:
    """The commit of an edit: a hash of what it starts from, what it does, and who did it when.

    An edit that is repeated after a kill does not meet what the first left, unless it is told to
    be of the same moment: its files are new ones, and too young to be collected.

    Args:
        parent: The commit of the version that is edited.
        told: How the version comes about.
        effect: What tells one edit of that kind from another.
    """
    plain = [parent, told.operation, told.message, told.author, told.time, told.parent]
    state = hashlib.blake2b(json.dumps(plain).encode(), digest_size=6)
    state.update(effect)
    return state.hexdigest()


def rewrite(
    directory: Directory,
    places: Sequence[Place],
    edit: Callable[[Place, pa.Table], pa.Table | None],
    *,
    commit: str,
    metadata: Mapping[str, str],
    relabels: bool,
    room: Path,
) -> dict[int, Place]:
    """Writes a new index for each of some shards; a few at once.

    Args:
        directory: The dataset's.
        places: The shards that the edit may change.
        edit: Gives the new rows of a shard, none where it shall go; None where nothing changes.
        commit: Part of the new indexes' names.
        metadata: The columns that the rows have besides the index's own.
        relabels: Whether the edit is one of metadata.
        room: A directory for the new indexes; they stay there.

    Returns:
        What changes, by number: shards without a record are those that go.

    Raises:
        CorruptRecordError: An index is damaged.
        StorageError: An index cannot be read or written.
    """

    def apply(place: Place) -> Place | None:
        name = directory.locate(place.shard.index_path)
        table = edit(place, index.read(place.path, name=name, metadata=metadata))
        if table is None:
            return None
        made = manifest_pb2.Shard()
        made.CopyFrom(place.shard)
        stem = place.shard.name or PurePosixPath(place.shard.path).stem
        made.index_path = f"shards/{stem}-{commit}.parquet"
        made.records = table.num_rows
        made.relabelled = place.shard.relabelled or relabels
        path = room / f"{place.number:08d}.parquet"
        if made.records:
            index.write_table(path, table)
            directory.upload(made.index_path, path)
        return dataclasses.replace(place, shard=made, path=str(path))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        changed = [place for place in pool.map(apply, places) if place is not None]
    return {place.number: place for place in changed}


def sum_up(places: Iterable[Place]) -> statistics.Partial:
    """The sums over the records of some shards, from their indexes.

    Raises:
        CorruptRecordError: An index is damaged.
        StorageError: An index cannot be read.
    """

    def sums(place: Place) -> statistics.Partial:
        batches = index.batches(place.path, statistics.COLUMNS, name=place.shard.index_path)
        return statistics.merge(map(statistics.summarize_batch, batches))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return statistics.merge(pool.map(sums, places))

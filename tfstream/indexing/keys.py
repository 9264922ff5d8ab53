"""Keys over all shards: whether any occurs twice, and their replacement by numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfstream.format import index
from tfstream.format.numbered import numbered_key
from tfstream.format.shard_check import key_hash
from tfstream.indexing.scan import Scanned, ScanTask, place_of, put

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["any_repeated", "first_repeated", "renumber"]


def any_repeated(scanned: Sequence[Scanned]) -> bool:
    """Whether two records have one key (or, by chance, one hash of it)."""
    return bool(_repeated(scanned).size)


def first_repeated(tasks: Sequence[ScanTask], scanned: Sequence[Scanned]) -> tuple[str, str, str]:
    """The first key that occurs twice.

    Args:
        tasks: Of all shards.
        scanned: What was found in them.

    Returns:
        The places of two records that have it, and the key.
    """
    hashes = _repeated(scanned)
    first: dict[str, str] = {}
    for task, found in zip(tasks, scanned, strict=True):
        at = np.flatnonzero(np.isin(np.frombuffer(found.key_hashes, np.uint64), hashes))
        if not at.size:
            continue
        rows = _read(task).select(["key", "offset"]).take(at).to_pylist()
        for number, row in zip(at.tolist(), rows, strict=True):
            place = place_of(task, number, row["offset"])
            if row["key"] in first:
                return first[row["key"]], place, row["key"]
            first[row["key"]] = place
    raise RuntimeError("no key occurs twice")


def renumber(
    old: Sequence[ScanTask],
    new: Sequence[ScanTask],
    scanned: Sequence[Scanned],
    column: str | None,
) -> list[Scanned]:
    """Writes the indexes anew, with keys made of file and number; the old ones are deleted.

    Args:
        old: Of all shards, as they were scanned.
        new: The same, with other indexes.
        scanned: What was found.
        column: The metadata column that the old keys become; None: none.

    Returns:
        What is in the new indexes.

    Raises:
        StorageError: An index cannot be read or written.
    """
    import pyarrow as pa

    made = []
    for before, after, found in zip(old, new, scanned, strict=True):
        table = _read(before)
        keys = [numbered_key(after.key, number) for number in range(table.num_rows)]
        place = table.column_names.index("key")
        if column is not None:
            field = index.schema(after.expected.metadata).field(column)
            table = table.append_column(field, table["key"].cast(field.type))
        table = table.set_column(place, table.schema.field("key"), pa.array(keys, pa.string()))
        put(after.directory, after.index_path, table)
        before.directory.delete(before.directory.stat(before.index_path))
        hashes = b"".join(map(key_hash, keys))
        made.append(dataclasses.replace(found, key_hashes=hashes))
    return made


def _repeated(scanned: Sequence[Scanned]) -> npt.NDArray[np.uint64]:
    """The hashes of keys that occur twice."""
    hashes = np.sort(np.frombuffer(b"".join(each.key_hashes for each in scanned), np.uint64))
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _read(task: ScanTask) -> pa.Table:
    source = index.source(task.directory, task.index_path)
    return index.read(source, name=task.directory.locate(task.index_path))

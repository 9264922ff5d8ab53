"""Removing records: a new version with fewer of them, over the same shards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfstream import errors
from tfstream.format import change, manifest, statistics
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.v1 import manifest_pb2
from tfstream.versions.history import VersionInfo, commit_next
from tfstream.versions.rewriting import Place, commit_of, opened, rewrite, sum_up

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["remove"]

# Operators that choose among the records of an answer, or make something of it.
_NOT_OF_RECORDS = ("split", "sample", "limit", "offset", "version", "datapoint_by", "group_by")


def remove(
    dest: Directory | str | os.PathLike[str],
    query: str,
    *,
    message: str,
    author: str | None = None,
    force: bool = False,
) -> VersionInfo:
    """Makes a version without the records that a query selects.

    Nothing is deleted: older versions have the records still, and `rollback` brings them back.

    Args:
        dest: The dataset's directory or URI.
        query: What the records fulfil, such as `label:dog and width < 100`; `key:*` is all.
        message: What for.
        author: Who; None: $TFSTREAM_AUTHOR, or the user's name and the host's.
        force: Let a split become empty; it keeps its name.

    Returns:
        The new version.

    Raises:
        QueryError: The query cannot be understood, or has an operator that is of no use here.
        InvalidArgumentError: It selects no record; or all of a split, without `force`.
        DatasetNotFoundError: There is no dataset.
        DatasetExistsError: Another writer was first; nothing was changed.
        StorageError: The dataset cannot be read or written.
    """
    import pyarrow as pa

    directory = as_directory(dest)
    parent = manifest.load(directory)
    told = change.change("remove", message=message, author=author, parent=parent.version)
    made = manifest_pb2.Manifest()
    made.CopyFrom(parent)
    with opened(directory, parent) as places, tempfile.TemporaryDirectory() as room:
        rows = _select(parent, places, query)
        if not len(rows):
            raise errors.InvalidArgumentError(
                f"No record of version {parent.version} of {directory} fulfils {query!r}: nothing "
                "was removed, and there is no new version."
            )
        gone = np.zeros(places[-1].rows.stop, np.bool_)
        gone[rows] = True
        touched = [place for place in places if gone[place.rows].any()]
        if not force:
            _require_rest(directory, parent, touched, gone)
        made.commit = commit_of(parent.commit, told, rows.tobytes())
        changed = rewrite(
            directory,
            touched,
            lambda place, table: table.filter(pa.array(~gone[place.rows])),
            commit=made.commit,
            metadata=parent.schema.metadata,
            relabels=False,
            room=Path(room),
        )
        for split in made.splits:
            own = [place for place in places if place.split == split.name]
            if not changed.keys().isdisjoint(place.number for place in own):
                own = [changed.get(place.number, place) for place in own]
                left = [place for place in own if place.shard.records]
                del split.shards[:]
                split.shards.extend(place.shard for place in left)
                split.statistics.CopyFrom(statistics.to_proto(sum_up(left)))
    return commit_next(directory, made, parent, told)


def _select(
    parent: manifest_pb2.Manifest, places: Sequence[Place], query: str
) -> npt.NDArray[np.int64]:
    """The numbers of the records that fulfil a query, over all splits."""
    from tfstream import query as language
    from tfstream.query.engine import Engine

    parsed = language.parse(query)
    for operator, column in parsed.places:
        if operator in _NOT_OF_RECORDS:
            raise errors.QueryError(
                f"@{operator} is of no use in removing: say what is true of the records that shall "
                f"go (column {column} of {query!r}).",
                query,
                column,
            )
    if parsed.where is None:
        raise errors.QueryError(
            f"{query!r} says nothing of the records that shall go; key:* means all.", query, 1
        )
    metadata = dict(parent.schema.metadata)
    labels = [label.name for label in parent.labels.labels]
    fields = language.Fields(metadata, labels, [split.name for split in parent.splits])
    condition = language.compile_where(parsed, fields)
    engine = Engine(
        [place.path for place in places],
        [place.shard.records for place in places],
        [place.split for place in places],
        metadata,
    )
    return engine.rows(condition)


def _require_rest(
    directory: Directory,
    parent: manifest_pb2.Manifest,
    touched: Sequence[Place],
    gone: npt.NDArray[np.bool_],
) -> None:
    """Refuses to take the last records of a split."""
    for split in parent.splits:
        lost = sum(int(gone[place.rows].sum()) for place in touched if place.split == split.name)
        if lost and lost == split.statistics.records:
            raise errors.InvalidArgumentError(
                f"That would remove all {lost:,} records of split {split.name!r} of {directory}. "
                "Nothing was changed. If it is meant, say force=True (--force)."
            )

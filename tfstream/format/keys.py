"""Finding a record by its key, and the keys that come near one that is not there."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tfstream import errors
from tfstream.format import index
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory

if TYPE_CHECKING:
    import pyarrow as pa

    from tfstream.v1.manifest_pb2 import Manifest, Shard

__all__ = ["Place", "find", "nearest"]

_THREADS = 8
_REMOTE_THREADS = 32  # an index there costs a round trip
# How many keys are compared letter by letter, which takes some 20 us a key.
_CANDIDATES = 200
_GRAMS = 32


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a record is.

    Attributes:
        split: Its split.
        name: Its shard's, relative to the dataset.
        shard: Its shard's path or URI.
        offset: Byte where its frame begins.
        length: Bytes of the whole frame.
        metadata: The record's, where the index and not the record says what they are; None:
            the record does.
        foreign: Whether tfstream did not write it.
    """

    split: str
    name: str
    shard: str
    offset: int
    length: int
    metadata: Mapping[str, Any] | None = None
    foreign: bool = False


def find(root: Directory | str | os.PathLike[str], loaded: Manifest, key: str) -> Place:
    """Looks a key up in all indexes of a version.

    Args:
        root: The dataset's directory.
        loaded: The version's manifest.
        key: The record's key.

    Raises:
        NoSuchKeyError: No record has that key; names the nearest ones.
        CorruptRecordError: An index is damaged, and the key is in no other.
        StorageError: An index cannot be read, and the key is in no other.
    """
    directory = as_directory(root)
    places = [(split.name, shard) for split in loaded.splits for shard in split.shards]
    columns: list[pa.ChunkedArray] = []
    failure: errors.TfstreamError | None = None
    with ThreadPoolExecutor(_REMOTE_THREADS if directory.path is None else _THREADS) as pool:
        found = pool.map(lambda place: _keys(directory, place[1], loaded), places)
        for (split, shard), column in zip(places, found, strict=True):
            if isinstance(column, errors.TfstreamError):
                failure = failure or column
                continue
            row = column.index(key).as_py()
            if row >= 0:
                pool.shutdown(wait=False, cancel_futures=True)
                (cells,) = _read(directory, shard, None, loaded).slice(row, 1).to_pylist()
                edited = {name: cells[name] for name in sorted(loaded.schema.metadata)}
                return Place(
                    split=split,
                    name=shard.path,
                    shard=directory.locate(shard.path),
                    offset=cells["offset"],
                    length=cells["length"],
                    metadata={n: value for n, value in edited.items() if value is not None}
                    if shard.relabelled
                    else None,
                    foreign=bool(shard.name),
                )
            columns.append(column)
    if failure is not None:
        raise failure
    near = nearest(columns, key)
    hint = f"Nearest: {', '.join(map(repr, near))}." if near else "Nothing comes near it."
    records = sum(map(len, columns))
    raise errors.NoSuchKeyError(
        f"None of the {records} records of {directory} has the key {key!r}. {hint}"
    )


def _keys(
    directory: Directory, shard: Shard, loaded: Manifest
) -> pa.ChunkedArray | errors.TfstreamError:
    try:
        return _read(directory, shard, ["key"], loaded)["key"]
    except errors.TfstreamError as error:
        return error


def _read(
    directory: Directory, shard: Shard, columns: list[str] | None, loaded: Manifest
) -> pa.Table:
    source = index.source(directory, shard.index_path)
    name = directory.locate(shard.index_path)
    return index.read(source, columns, name=name, metadata=loaded.schema.metadata)


def nearest(columns: Iterable[pa.ChunkedArray], wanted: str, *, count: int = 3) -> list[str]:
    """The keys most like one, the most alike first; none where nothing is.

    Args:
        columns: The keys, in parts.
        wanted: What they shall be like.
        count: How many at most.
    """
    grams = _grams(wanted)
    scored: list[tuple[int, str]] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for part in pool.map(lambda column: _candidates(column, grams), columns):
            scored.extend(part)
    # The key as well, so that the outcome does not depend on the shards.
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    keys = dict.fromkeys(key for _, key in scored[:_CANDIDATES])
    return difflib.get_close_matches(wanted, keys, n=count)


def _grams(wanted: str) -> list[str]:
    """Three-letter pieces of a key, evenly over its length."""
    grams = list(dict.fromkeys(wanted[i : i + 3] for i in range(max(len(wanted) - 2, 1))))
    step = -(-len(grams) // _GRAMS)
    # From the end, where keys differ most.
    return grams[::-1][::step]


def _candidates(column: pa.ChunkedArray, grams: list[str]) -> list[tuple[int, str]]:
    """The keys of a shard that share most pieces, with how many they share."""
    import numpy as np
    import pyarrow.compute as pc

    scores = np.zeros(len(column), np.int32)
    for gram in grams:
        scores += pc.match_substring(column, gram).to_numpy()
    best = np.argsort(-scores, kind="stable")[:_CANDIDATES]
    return list(zip(scores[best].tolist(), column.take(best).to_pylist(), strict=True))

"""Merged indexes: the rows of many shards' indexes in one file.

Whoever asks something of all records of a dataset of thousands of shards would spend most of the
time on opening their indexes. So a version that has many shards has a second copy of these rows, in
few files. A merged index is of consecutive shards of one split. Its name says which indexes it was
made of, so a later version that still has these shards has this file as well.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tfstream import errors
from tfstream.format import index
from tfstream.v1 import manifest_pb2

if TYPE_CHECKING:
    import pyarrow as pa

    from tfstream.storage.directory import Directory

__all__ = ["Run", "covered", "difference", "merge", "to_merge"]

# Shards in a row whose indexes are read as they are: to open so many takes some hundredths of a
# second.
_FEW = 64
# Rows of a file, some 20 MB; as many row groups as keep all cores busy.
_ROWS = 1 << 19
_AT_ONCE = 2  # files in the making, of some 100 MB of memory each
_READING = 8  # indexes on their way, for each of them


@dataclasses.dataclass(frozen=True)
class Run:
    """Consecutive shards of a split.

    Attributes:
        path: Of their merged index.
        begin: The place of the first of them in the split.
        end: That behind the last.
    """

    path: str
    begin: int
    end: int


def covered(split: manifest_pb2.Split) -> list[Run]:
    """The shards of a split whose rows are in a merged index as well.

    Merged indexes of other shards than the split has are passed over, as are all that have shards
    in common with one before.

    Returns:
        In the order of the shards.
    """
    paths = [shard.index_path for shard in split.shards]
    places = {path: place for place, path in enumerate(paths)} if split.merged else {}
    found = []
    for each in split.merged:
        begin = places.get(each.first, len(paths))
        run = Run(each.path, begin, begin + each.shards)
        if each.shards and run.path.startswith(_stem(split.name, paths[run.begin : run.end])):
            found.append(run)
    apart: list[Run] = []
    for run in sorted(found, key=lambda run: run.begin):
        if not apart or apart[-1].end <= run.begin:
            apart.append(run)
    return apart


def to_merge(split: manifest_pb2.Split, commit: str) -> list[Run]:
    """The shards of a split whose indexes should be merged, and are not.

    Args:
        split: Of a version that is about to be committed.
        commit: The version's, part of the names of what is written for it.
    """
    paths = [shard.index_path for shard in split.shards]
    runs: list[Run] = []
    begin = 0
    for run in [*covered(split), Run("", len(paths), len(paths))]:
        if run.begin - begin > _FEW:
            rows = [shard.records for shard in split.shards[begin : run.begin]]
            for first, end in _cut(rows):
                first, end = begin + first, begin + end
                path = f"{_stem(split.name, paths[first:end])}{commit}.parquet"
                runs.append(Run(path, first, end))
        begin = run.end
    return runs


def _cut(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of shards with as many rows as a file shall have; none of one shard alone."""
    begin = held = 0
    for place, count in enumerate(rows):
        if held and held + count > _ROWS:
            if place - begin > 1:
                yield begin, place
            begin, held = place, 0
        held += count
    if len(rows) - begin > 1:
        yield begin, len(rows)


def _stem(split: str, indexes: Sequence[str]) -> str:
    """What the name of a merged index of these indexes begins with."""
    state = hashlib.blake2b("\n".join(indexes).encode(), digest_size=6)
    return f"shards/{split}-merged-{state.hexdigest()}-"


def merge(
    directory: Directory,
    made: manifest_pb2.Manifest,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Sees to it that a version with many shards has merged indexes.

    Those of its shards that it has already stay; the manifest forgets those of other shards.

    Args:
        directory: The dataset's.
        made: The manifest of the version, to be committed next; it is changed.
        progress: Called with how many rows were merged.

    Raises:
        CorruptRecordError: An index is damaged, or has not as many rows as the manifest says.
        StorageError: One cannot be read, or a merged one not be written.
    """
    metadata = dict(made.schema.metadata)
    wanted = []
    for split in made.splits:
        known = {run.path for run in covered(split)}
        wanted += [(split, run) for run in to_merge(split, made.commit)]
        kept = [each for each in split.merged if each.path in known]
        del split.merged[:]
        split.merged.extend(kept)

    def write(task: tuple[manifest_pb2.Split, Run]) -> int:
        split, run = task
        table = _rows_of(directory, split.shards[run.begin : run.end], metadata)
        with tempfile.TemporaryDirectory(prefix="tfstream-index-") as room:
            path = Path(room, "index.parquet")
            index.write_table(path, table)
            # A file of that name holds these rows, though another version of pyarrow may have
            # written it when this commit was interrupted.
            with contextlib.suppress(errors.ObjectExistsError):
                directory.upload(run.path, path)
        return int(table.num_rows)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for (split, run), rows in zip(wanted, pool.map(write, wanted), strict=True):
            first = split.shards[run.begin].index_path
            split.merged.add(path=run.path, first=first, shards=run.end - run.begin)
            if progress is not None:
                progress(rows)


def difference(
    directory: Directory, run: Run, split: manifest_pb2.Split, metadata: Mapping[str, str]
) -> str:
    """In what a merged index is not what it should be; "": in nothing.

    Args:
        directory: The dataset's.
        run: The merged index.
        split: Whose it is.
        metadata: The version's metadata columns.

    Raises:
        CorruptRecordError: One of the shards' own indexes is damaged.
        StorageError: One of them cannot be read.
    """
    rows = _rows_of(directory, split.shards[run.begin : run.end], metadata)
    try:
        source = index.source(directory, run.path)
        found = index.read(source, name=directory.locate(run.path), metadata=metadata)
    except (errors.CorruptRecordError, errors.StorageError) as error:
        return str(error)
    if found.num_rows != rows.num_rows:
        return f"it has {found.num_rows} rows, where the shards' own indexes have {rows.num_rows}"
    for name in rows.column_names:
        one, other = found[name], rows[name]
        if one.type != other.type or not _plain(one).equals(_plain(other)):
            return f"column {name!r} is not that of the shards' own indexes"
    return ""


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that can be compared: without a dictionary, and nothing where there is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    return column


def _rows_of(
    directory: Directory, shards: Sequence[manifest_pb2.Shard], metadata: Mapping[str, str]
) -> pa.Table:
    """The rows of some shards' indexes, one behind the other."""
    import pyarrow as pa

    schema = index.schema(metadata)

    def read(shard: manifest_pb2.Shard) -> pa.Table:
        source = index.source(directory, shard.index_path)
        name = directory.locate(shard.index_path)
        table = index.read(source, name=name, metadata=metadata)
        if table.num_rows != shard.records:
            raise errors.CorruptRecordError(
                f"the index {name} holds {table.num_rows} records, and the manifest says "
                f"{shard.records}: `tfstream verify` lists all that is wrong with a dataset"
            )
        try:
            return table.cast(schema)
        except (pa.ArrowException, ValueError) as error:
            raise errors.CorruptRecordError(
                f"the index {name} has a column that is not as the manifest says: {error}"
            ) from error

    with ThreadPoolExecutor(_READING) as pool:
        return pa.concat_tables(pool.map(read, shards)).unify_dictionaries()

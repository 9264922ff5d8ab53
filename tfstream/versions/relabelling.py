"""Relabelling: a new version with other metadata, over the same shards."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream import errors
from tfstream.format import change, index, manifest
from tfstream.packing.columns import Column, Columns
from tfstream.packing.metadata import MetadataFile, prepare
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.v1 import manifest_pb2
from tfstream.versions.history import VersionInfo, commit_next
from tfstream.versions.rewriting import Place, commit_of, opened, rewrite

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    # Of a shard: places among its records, ascending, and the row of the edits for each.
    Matches = dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]

__all__ = ["relabel"]

_TABLE = "The table of edits"
_KEYS_AT_ONCE = 1 << 20  # of the dataset, in memory
_SHOWN = 3  # keys that an error names


def relabel(
    dest: Directory | str | os.PathLike[str],
    edits: str | os.PathLike[str] | pa.Table,
    *,
    message: str,
    author: str | None = None,
) -> VersionInfo:
    """Makes a version in which some records have other metadata.

    Each row of the edits names a record by its key, and gives it a value for each of the other
    columns: one that is empty (null) becomes null. What the edits do not name stays as it is. A
    column that the dataset does not have yet is added, null where nothing is said. What is known
    from the image and its annotation (width, label, ...) is not metadata, and cannot be edited.

    Args:
        dest: The dataset's directory or URI.
        edits: A .csv, .tsv or .parquet file, or an Arrow table, with a column "key" (or "file" or
            "path", of the image: the key with its extension).
        message: What for.
        author: Who; None: $TFSTREAM_AUTHOR, or the user's name and the host's.

    Returns:
        The new version.

    Raises:
        InvalidArgumentError: A key is not in the dataset or is there twice, a value is not of its
            column's type, a column is not metadata, or nothing would change. Nothing was changed.
        DatasetNotFoundError: There is no dataset, or no such file.
        DatasetExistsError: Another writer was first; nothing was changed.
        StorageError: The dataset or the file cannot be read, or the version not be written.
    """
    directory = as_directory(dest)
    parent = manifest.load(directory)
    told = change.change("relabel", message=message, author=author, parent=parent.version)
    origin = f"version {parent.version} of {directory}"
    columns = Columns(
        {name: Column(kind, origin, fixed=True) for name, kind in parent.schema.metadata.items()}
    )
    made = manifest_pb2.Manifest()
    made.CopyFrom(parent)
    with opened(directory, parent) as places, tempfile.TemporaryDirectory() as temporary:
        room = Path(temporary)
        prepared = _prepared(edits, room, columns)
        table = _mapped(prepared)
        if not prepared.kinds:
            raise errors.InvalidArgumentError(f"{prepared.name} has no value for any column.")
        matches = _matches(places, table["key"], prepared.name, directory)
        made.commit = commit_of(parent.commit, told, _digest(prepared.path))
        changed = rewrite(
            directory,
            [places[number] for number in matches],
            lambda place, before: _edited(before, table, *matches[place.number]),
            commit=made.commit,
            metadata=columns.kinds,
            relabels=True,
            room=room,
        )
    if not changed:
        raise errors.InvalidArgumentError(
            f"All that {prepared.name} says is so already in {origin}: there is no new version."
        )
    made.schema.metadata.clear()
    made.schema.metadata.update(columns.kinds)
    number = 0
    for split in made.splits:
        for shard in split.shards:
            if number in changed:
                shard.CopyFrom(changed[number].shard)
            number += 1
    return commit_next(directory, made, parent, told)


def _prepared(
    edits: str | os.PathLike[str] | pa.Table, room: Path, columns: Columns
) -> MetadataFile:
    """The edits sorted by key; their columns are added to those that are known."""
    import dataclasses

    import pyarrow as pa
    import pyarrow.parquet as pq

    def prepare_file(path: Path) -> MetadataFile:
        return prepare(path, room, columns, lambda rows, size: None)

    if isinstance(edits, (str, os.PathLike)):
        return prepare_file(Path(edits))
    if not isinstance(edits, pa.Table):
        raise errors.InvalidArgumentError(
            f"edits={edits!r} must be a file's path, or a pyarrow.Table."
        )
    path = room / "edits.parquet"
    pq.write_table(edits, path)
    try:
        return dataclasses.replace(prepare_file(path), name=_TABLE)
    except errors.InvalidArgumentError as error:
        plain = str(error).replace(f"The metadata file {path}", _TABLE)
        raise errors.InvalidArgumentError(plain.replace(str(path), _TABLE)) from error


def _mapped(prepared: MetadataFile) -> pa.Table:
    """The edits, in no memory of ours."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(prepared.path))).read_all()


def _digest(path: Path) -> bytes:
    state = hashlib.blake2b()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return state.digest()


def _matches(
    places: Sequence[Place], keys: pa.ChunkedArray, name: str, directory: Directory
) -> Matches:
    """Which records the edits are about, by the number of their shard.

    Raises:
        InvalidArgumentError: A key is not in the dataset.
    """
    import pyarrow.compute as pc

    matches: Matches = {}
    known = np.zeros(len(keys), np.bool_)
    for group in _groups(places):
        found = pc.index_in(keys, value_set=_keys_of(group)).combine_chunks()
        rows = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        known[rows] = True
        at = found.drop_null().to_numpy().astype(np.int64)
        order = np.argsort(at)
        rows, at = rows[order], at[order]
        base = group[0].rows.start
        for place in group:
            begin, end = np.searchsorted(at, [place.rows.start - base, place.rows.stop - base])
            if begin < end:
                own = at[begin:end] - (place.rows.start - base)
                matches[place.number] = own, rows[begin:end]
    unknown = np.flatnonzero(~known)
    if unknown.size:
        shown = ", ".join(repr(keys[int(row)].as_py()) for row in unknown[:_SHOWN])
        more = f" and {unknown.size - _SHOWN:,} more" if unknown.size > _SHOWN else ""
        raise errors.InvalidArgumentError(
            f"{name} names records that are not in {directory}: {shown}{more}. Correct these "
            "keys, or leave their rows out; nothing was changed."
        )
    return matches


def _groups(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Runs of shards, each with as many keys as are looked up at once."""
    group: list[Place] = []
    for place in places:
        group.append(place)
        if place.rows.stop - group[0].rows.start >= _KEYS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _keys_of(group: Sequence[Place]) -> pa.Array:
    import pyarrow as pa

    parts: list[Any] = []
    for place in group:
        keys = index.read(place.path, ["key"], name=place.shard.index_path)["key"]
        if len(keys) != place.shard.records:
            raise errors.CorruptRecordError(
                f"Index {place.shard.index_path} has {len(keys)} rows, where the manifest says "
                f"{place.shard.records} records: `tfstream verify` lists all that is wrong."
            )
        parts += keys.chunks
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def _edited(
    before: pa.Table,
    edits: pa.Table,
    places: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
) -> pa.Table | None:
    """A shard's rows with their new metadata; None where they have it already."""
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = np.zeros(before.num_rows, np.bool_)
    mask[places] = True
    chosen = edits.take(pa.array(rows))
    after = before
    for name in edits.column_names[1:]:
        at = before.column_names.index(name)
        field = before.schema.field(at)
        old = _whole(before.column(at), field.type)
        new = _whole(chosen.column(name), field.type)
        after = after.set_column(at, field, pc.replace_with_mask(old, pa.array(mask), new))
    return None if after.equals(before) else after


def _whole(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """A column in one piece."""
    import pyarrow as pa

    return pa.concat_arrays([*column.cast(kind).chunks, pa.array([], kind)])

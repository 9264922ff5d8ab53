"""Saved slices: the numbers of selected records under a name, a Parquet file that never changes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tfstream import errors
from tfstream.format import change
from tfstream.format.names import is_name, nearest, require_name
from tfstream.storage.directory import Directory
from tfstream.storage.reader import open_object
from tfstream.storage.uri import as_directory

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["SavedSlice", "load", "name_of", "names", "save", "versions"]

# Of this file's layout; a reader refuses newer ones.
# 2 is of data points, which who does not know of them would take for records.
_FORMAT_VERSION = 2
_OF_RECORDS = 1
_DIRECTORY = "slices"
_SUFFIX = ".parquet"
_ABOUT = b"tfstream"  # in the file's own metadata


@dataclasses.dataclass(frozen=True, eq=False)
class SavedSlice:
    """Records of one version, selected and in order.

    Attributes:
        name: Of the slice.
        version: That the records are of.
        commit: That version's.
        query: The texts that selected them, first to last; they are told, not used.
        records: int64 [n], numbers of records over all splits of the version; or int64
            [n, members], those of data points, -1 where a member is missing.
        draws: How often hashes of the key have chosen among them.
        parts: Places in `records`, int64 and ascending, by the name of a split that a query
            made; None: the records are of the splits that they are stored in.
        created: When, RFC 3339 in UTC; `save` sets it.
        author: Who; "": whom `save` finds in the environment.
    """

    name: str
    version: int
    commit: str
    query: tuple[str, ...]
    records: npt.NDArray[np.int64]
    parts: Mapping[str, npt.NDArray[np.int64]] | None = None
    created: str = ""
    author: str = ""
    draws: int = 0


def name_of(name: str) -> str:
    """The name of a slice's file within its dataset.

    >>> name_of("night")
    'slices/night.parquet'
    """
    return f"{_DIRECTORY}/{name}{_SUFFIX}"


def names(root: Directory | str | os.PathLike[str]) -> list[str]:
    """The names of a dataset's saved slices, sorted.

    Raises:
        StorageError: The directory cannot be read.
    """
    prefix = f"{_DIRECTORY}/"
    found = (info.name[len(prefix) :] for info in as_directory(root).list(prefix))
    stems = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
    return sorted(filter(is_name, stems))


def save(root: Directory | str | os.PathLike[str], made: SavedSlice) -> str:
    """Writes a slice, unless there is one of its name.

    Args:
        root: The dataset's directory.
        made: The slice.

    Returns:
        Its path or URI.

    Raises:
        InvalidArgumentError: The name is none, or the numbers are not those of records.
        DatasetExistsError: There is another slice of that name; it is left as it was.
        CorruptRecordError: There is one, and it is damaged.
        StorageError: It cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_name(made.name, "slice")
    directory = as_directory(root)
    place = directory.locate(name_of(made.name))
    numbers = _numbers(made.records)
    author, created = change.signature(made.author or None)
    about = {
        "format_version": _OF_RECORDS if numbers.ndim == 1 else _FORMAT_VERSION,
        "name": made.name,
        "version": made.version,
        "commit": made.commit,
        "query": list(made.query),
        "draws": made.draws,
        "created": created,
        "author": author,
    }
    members = 1
    if numbers.ndim > 1:
        about["members"] = members = numbers.shape[1]
    columns: dict[str, pa.Array] = {"record": pa.array(numbers.reshape(-1), pa.int64())}
    if made.parts is not None:
        about["splits"] = list(made.parts)
        columns["split"] = _split_column(made.parts, len(numbers), members)
    table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about)})
    with tempfile.TemporaryDirectory(prefix="tfstream-slice-") as temporary:
        path = Path(temporary, "slice.parquet")
        pq.write_table(table, path, compression="zstd", use_dictionary=["split"])
        try:
            directory.upload(name_of(made.name), path)
        except errors.ObjectExistsError as error:
            if _is_same(load(directory, made.name), made):
                return place
            raise errors.DatasetExistsError(
                f"{place} exists already: a saved slice is never changed. Save this one under "
                f"another name than {made.name!r}."
            ) from error
    return place


def _is_same(one: SavedSlice, other: SavedSlice) -> bool:
    """Whether both are the same records, asked for in the same way; whoever saved them when."""

    def said(each: SavedSlice) -> tuple[object, ...]:
        parts = [(name, places.tobytes()) for name, places in (each.parts or {}).items()]
        asked = each.query, each.draws
        return each.version, each.commit, asked, each.parts is None, parts

    return said(one) == said(other) and np.array_equal(one.records, other.records)


def _numbers(records: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if records.ndim not in (1, 2) or records.dtype != np.int64 or not _are_records(records):
        raise errors.InvalidArgumentError(
            "A slice's records must be their numbers, a vector of int64 from 0 on, or a row a "
            f"data point: got {records.dtype} of shape {records.shape}."
        )
    return records


def _are_records(numbers: npt.NDArray[np.int64]) -> bool:
    """Whether these may be numbers of records, and -1 where a data point lacks a later member."""
    first = numbers if numbers.ndim == 1 else numbers[:, :1]
    return bool((first >= 0).all() and (numbers >= -1).all())


def _split_column(parts: Mapping[str, npt.NDArray[np.int64]], count: int, members: int) -> pa.Array:
    """The parts' names, a row a record, of elements of so many; null for those in no part."""
    import pyarrow as pa

    codes = np.full(count, -1, np.int32)
    for code, places in enumerate(parts.values()):
        codes[places] = code
    codes = np.repeat(codes, members)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=codes < 0), pa.array(list(parts), pa.string())
    )


def load(root: Directory | str | os.PathLike[str], name: str) -> SavedSlice:
    """Reads a slice.

    Args:
        root: The dataset's directory.
        name: Of the slice.

    Raises:
        InvalidArgumentError: The name is none.
        DatasetNotFoundError: There is no such slice; says which there are.
        CorruptRecordError: The file is damaged, or of a newer tfstream.
        StorageError: It cannot be read.
    """
    require_name(name, "slice")
    directory = as_directory(root)
    try:
        with _opened(directory, name) as file:
            about = _about(file)
            return _of_table(name, about, file.read())
    except errors.BucketNotFoundError:
        raise
    except errors.ObjectNotFoundError as error:
        raise errors.DatasetNotFoundError(
            f"The dataset at {directory} has no slice {name!r}. "
            f"{nearest(name, names(directory), 'slices')}"
        ) from error


def versions(root: Directory | str | os.PathLike[str]) -> dict[str, int]:
    """Which version each saved slice is of, by its name; the records are not read.

    Raises:
        CorruptRecordError: A file is damaged, or of a newer tfstream.
        StorageError: One cannot be read.
    """
    directory = as_directory(root)
    found = {}
    for name in names(directory):
        with _opened(directory, name) as file:
            found[name] = _about(file)["version"]
    return found


@contextlib.contextmanager
def _opened(directory: Directory, name: str) -> Iterator[pq.ParquetFile]:
    """Opens a slice; what goes wrong in the body is told as what is wrong with the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = directory.locate(name_of(name))
    source: IO[bytes] = open_object(directory, directory.stat(name_of(name)))
    with source:
        try:
            with pq.ParquetFile(source) as file:
                yield file
        except errors.TfstreamError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise errors.CorruptRecordError(
                f"The slice {place} cannot be read: {error}. Save it again under another name."
            ) from error


def _about(file: pq.ParquetFile) -> dict[str, Any]:
    """What the file says of itself."""
    about = json.loads((file.schema_arrow.metadata or {}).get(_ABOUT, b"null"))
    if not isinstance(about, dict) or not isinstance(about.get("format_version"), int):
        raise ValueError("it does not say that it is a slice")
    if about["format_version"] > _FORMAT_VERSION:
        raise ValueError(
            f"it has format version {about['format_version']}, and this tfstream reads up to "
            f"{_FORMAT_VERSION}: upgrade tfstream"
        )
    numbers = (about["version"], about.get("draws", 0), about.get("members", 1))
    whole = all(isinstance(number, int) for number in numbers) and 0 < numbers[-1] < 1 << 31
    if not whole or not isinstance(about["query"], list):
        raise ValueError("what it says of itself is not of the right types")
    return about


def _of_table(name: str, about: dict[str, Any], table: pa.Table) -> SavedSlice:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table["record"]
    if column.type != pa.int64() or column.null_count:
        raise ValueError(f"its records are {column.type} with {column.null_count} nulls")
    records = column.to_numpy()
    members = about.get("members", 1)
    if "members" in about:
        records = records.reshape(-1, members)
    if not _are_records(records):
        raise ValueError(f"it names a record {records.min()}")
    parts = None
    if "splits" in about:
        splits = [str(split) for split in about["splits"]]
        told = table["split"].cast(pa.string())
        found = pc.index_in(told, value_set=pa.array(splits, pa.string()))
        if found.null_count != told.null_count:
            raise ValueError("it has records of a split that it does not name")
        codes = found.fill_null(-1).to_numpy()[::members]
        parts = {split: np.flatnonzero(codes == code) for code, split in enumerate(splits)}
    return SavedSlice(
        name=name,
        version=about["version"],
        commit=str(about["commit"]),
        query=tuple(map(str, about["query"])),
        records=records,
        parts=parts,
        created=str(about.get("created", "")),
        author=str(about.get("author", "")),
        draws=about.get("draws", 0),
    )

"""A file of metadata, CSV, TSV or Parquet, of which each record finds its row by its key.

The file is sorted by key once, into an Arrow file of the workspace; whoever needs rows maps that
into memory and searches it. So memory does not grow with the file.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfstream.annotations.sidecars import Value
from tfstream.annotations.tree import IMAGE_EXTENSIONS
from tfstream.errors import StorageError
from tfstream.packing.columns import Columns
from tfstream.packing.metadata_source import Source, open_source
from tfstream.packing.text_columns import cast

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MetadataFile", "SortedRows", "open_sorted", "prepare"]

_ROWS = 1 << 16
_MEMORY = "500MB"  # that the sort may take; the rest goes to the workspace's disk


@dataclasses.dataclass(frozen=True)
class MetadataFile:
    """A file of metadata that was made ready.

    Attributes:
        name: The file that the user named.
        path: The Arrow file made of it: rows sorted by key.
        rows: How many there are.
        kinds: Its columns, name to type.
    """

    name: str
    path: Path
    rows: int
    kinds: Mapping[str, str]


def prepare(
    path: Path, drafts: Path, columns: Columns, report: Callable[[int, int], None]
) -> MetadataFile:
    """Sorts a file of metadata by key, and finds out what its columns hold.

    Args:
        path: A .csv, .tsv or .parquet file with a column "key", or else "file" or "path": of the
            image below the images' root, with its file's extension or without.
        drafts: A directory for what is made of it.
        columns: Those that are known; the file's are added.
        report: Is told of (rows, bytes) read.

    Raises:
        DatasetNotFoundError: There is no such file.
        InvalidArgumentError: It cannot be used: names row and column.
        StorageError: It cannot be read, or what is made of it not be written.
    """
    import duckdb

    source = open_source(path, columns.kinds)
    ordered = drafts / "metadata.parquet"
    try:
        with duckdb.connect(str(drafts / "metadata.duckdb")) as database:
            database.execute(f"SET memory_limit='{_MEMORY}'")
            _load(database, source, report)
            database.execute(
                f"COPY (SELECT * FROM loaded ORDER BY key) TO '{_quoted(ordered)}' "
                f"(FORMAT parquet, ROW_GROUP_SIZE {_ROWS})"
            )
    except duckdb.Error as error:
        raise StorageError(
            None, f"The metadata file {path} cannot be sorted in {drafts}: {error}"
        ) from error
    kinds = source.kinds()
    for name, kind in kinds.items():
        if problem := columns.problem(name, kind):
            raise source.error(f"has a column that cannot be: {problem}")
        columns.add(name, kind, str(path))
    kinds = {name: columns.kinds[name] for name in kinds}
    target = drafts / "metadata.arrow"
    rows = _write(ordered, target, source, kinds)
    ordered.unlink()
    (drafts / "metadata.duckdb").unlink()
    return MetadataFile(str(path), target, rows, kinds)


def _load(database: Any, source: Source, report: Callable[[int, int], None]) -> None:
    """Puts a file's rows into the table `loaded`: key, row (from 1), and a column c0, c1 ... each.

    Not the columns' own names: these differ by case alone at times, and the engine is blind to it.
    """
    import pyarrow as pa

    names = ["key", "row", *(f"c{number}" for number in range(len(source.names)))]
    first = 1
    for rows in source.rows():
        if rows.keys.null_count:
            place = rows.keys.is_null().to_pylist().index(True)
            raise source.error(f"has nothing in row {first + place}, column {source.key!r}")
        keys = rows.keys if source.key == "key" else _without_extension(rows.keys)
        numbers = pa.array(range(first, first + len(keys)), pa.int64())
        batch = pa.table([keys, numbers, *rows.values], names)
        database.register("batch", batch)
        verb = "CREATE TABLE loaded AS" if first == 1 else "INSERT INTO loaded"
        database.execute(f"{verb} SELECT * FROM batch")
        database.unregister("batch")
        first += len(keys)
        report(len(keys), batch.nbytes)
    if first == 1:
        raise source.error("has no row")


def _without_extension(files: pa.Array) -> pa.Array:
    """The keys of images of which the paths are given."""
    import pyarrow.compute as pc

    endings = "|".join(extension[1:] for extension in IMAGE_EXTENSIONS)
    bare = pc.replace_substring_regex(files, rf"\.(?i:{endings})$", "")
    return pc.replace_substring_regex(bare, r"^\./", "")


def _write(ordered: Path, target: Path, source: Source, kinds: Mapping[str, str]) -> int:
    """Writes the Arrow file of sorted rows; gives their number."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    places = {name: f"c{source.names.index(name)}" for name in kinds}
    rows = 0
    last: pa.Array | None = None  # the key before the batch, and its row
    writer = None
    with pq.ParquetFile(ordered) as file, open(target, "wb") as sink:
        for batch in file.iter_batches(batch_size=_ROWS):
            keys, numbers = batch.column("key"), batch.column("row")
            if last is not None:
                keys, numbers = (
                    pa.concat_arrays([last[0], keys]),
                    pa.concat_arrays([last[1], numbers]),
                )
            place = pc.index(pc.equal(keys[1:], keys[:-1]), True).as_py()
            if place >= 0:
                raise source.error(
                    f"names the record {keys[place].as_py()!r} in row {numbers[place]} and again "
                    f"in row {numbers[place + 1]}: keep one"
                )
            last = (keys[-1:], numbers[-1:])
            values = [cast(batch.column(places[name]), kind) for name, kind in kinds.items()]
            made = pa.record_batch([batch.column("key"), *values], ["key", *kinds])
            writer = writer or pa.ipc.new_file(sink, made.schema)
            writer.write_batch(made)
            rows += made.num_rows
        if writer is not None:
            writer.close()
    return rows


class SortedRows:
    """The rows of a `MetadataFile`, in memory only as far as they are looked at."""

    def __init__(self, path: Path) -> None:
        """Maps the file."""
        import pyarrow as pa

        file = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        self._first_keys = [batch.column("key")[0].as_py() for batch in self._batches]
        self._first_rows = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The rows of some keys.

        Args:
            keys: Of records.

        Returns:
            [n]: a row each; -1 where there is none.
        """
        found = np.full(len(keys), -1, np.int64)
        for place, key in enumerate(keys):
            number = bisect.bisect_right(self._first_keys, key) - 1
            if number < 0:
                continue
            column = self._batches[number].column("key")
            row = bisect.bisect_left(range(len(column)), key, key=lambda at: column[at].as_py())
            if row < len(column) and column[row].as_py() == key:
                found[place] = self._first_rows[number] + row
        return found

    def values(self, rows: NDArray[np.int64]) -> list[dict[str, Value]]:
        """What some rows say, without their nulls; nothing for row -1."""
        found: list[dict[str, Value]] = [{} for _ in rows]
        numbers = np.searchsorted(self._first_rows, rows, side="right") - 1
        for number in np.unique(numbers[rows >= 0]).tolist():
            places = np.flatnonzero(numbers == number)
            batch = self._batches[number].take(rows[places] - self._first_rows[number])
            for place, row in zip(places.tolist(), batch.to_pylist(), strict=True):
                del row["key"]
                found[place] = {name: value for name, value in row.items() if value is not None}
        return found


def open_sorted(path: Path) -> SortedRows:
    """The rows of a `MetadataFile`, of which a process keeps one."""
    status = os.stat(path)
    return _open_sorted(path, (status.st_ino, status.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _open_sorted(path: Path, _identity: tuple[int, int]) -> SortedRows:
    return SortedRows(path)


def _quoted(path: Path) -> str:
    """A path as it stands between the quotes of an SQL statement."""
    return str(path).replace("'", "''")

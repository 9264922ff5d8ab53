"""In what two versions of a dataset differ, record by record, through bounded memory."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from tfstream import errors
from tfstream.format import index
from tfstream.indexes import local_indexes
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.versions import history
from tfstream.versions.shard_difference import ShardDifference, compare

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from tfstream.v1.manifest_pb2 import Manifest, Shard

    # The name of a split, and a shard of it, where there is one.
    _Part: TypeAlias = tuple[str, Shard | None]

__all__ = ["Changed", "Difference", "diff"]

Kind = Literal["added", "removed", "changed"]

# What is compared of the records that both versions have; the metadata follow.
_OWN = ("split", *(name for name in index.COLUMNS if name not in ("key", "offset", "length")))
_RECORD = "record"  # stands for the record itself, stored anew
_MEMORY = "1GB"  # what does not fit goes to disk
_ROWS = 1 << 14  # at once
_NONE = ("", None)


@dataclasses.dataclass(frozen=True)
class Changed:
    """A record that is not the same in both versions.

    Attributes:
        kind: "added", "removed" or "changed".
        key: Of the record.
        columns: What of it differs, where it was changed: columns of the index, metadata, "split",
            and "record" where the record was stored anew.
    """

    kind: Kind
    key: str
    columns: tuple[str, ...] = ()


class Difference:
    """The records in which two versions differ, in the order of their keys.

    They lie in a temporary file, which goes with this object or at `close`.

    Attributes:
        before: The number of the one version.
        after: That of the other.
        added: How many records only the other has.
        removed: How many only the one has.
        changed: How many both have, but not the same.
    """

    def __init__(self, before: Manifest, after: Manifest, directory: Directory) -> None:
        """Compares two versions; see `diff`."""
        self.before, self.after = before.version, after.version
        kinds = _kinds(before, after)
        self._columns = (_RECORD, *_OWN, *kinds)
        self._room = Path(tempfile.mkdtemp(prefix="tfstream-diff-"))
        self._finish = weakref.finalize(self, shutil.rmtree, self._room, ignore_errors=True)
        self._database = _connect(self._room)
        self._schema = _schema(kinds)
        self._begin()
        parts = _parts(before, after)
        shards = [shard for pair in parts for _, shard in pair if shard is not None]
        with local_indexes(directory, shards) as paths:
            queue = iter(paths)
            for pair in parts:
                tables = [
                    self._schema.empty_table()
                    if shard is None
                    else self._read(directory, next(queue), split, shard, loaded)
                    for (split, shard), loaded in zip(pair, (before, after), strict=True)
                ]
                self._insert(compare(tables[0], tables[1], ("split", *kinds)))
        self._join()
        counts: dict[str, int] = dict(
            self._database.execute("SELECT kind, count(*) FROM found GROUP BY kind").fetchall()
        )
        self.added = counts.get("added", 0)
        self.removed = counts.get("removed", 0)
        self.changed = counts.get("changed", 0)

    def __iter__(self) -> Iterator[Changed]:
        """The records, as they are read from disk."""
        cursor = self._database.cursor()
        cursor.execute("SELECT kind, key, differs FROM found ORDER BY key, kind")
        while rows := cursor.fetchmany(_ROWS):
            for kind, key, differs in rows:
                names = zip(self._columns, differs, strict=True) if kind == "changed" else ()
                yield Changed(kind, key, tuple(name for name, differing in names if differing))

    def keys(self, kind: Kind) -> Iterator[str]:
        """The keys of the records of one kind."""
        return (each.key for each in self if each.kind == kind)

    def close(self) -> None:
        """Removes the temporary file."""
        self._database.close()
        self._finish()

    def _begin(self) -> None:
        """Makes the tables: of records that were changed in place, are removed, are added."""
        self._execute("BEGIN TRANSACTION")
        self._execute("CREATE TABLE changed (key VARCHAR, differs BOOLEAN[])")
        empty = _numbered(self._schema.empty_table())
        for table in ("removed", "added"):
            self._execute(f"CREATE TABLE {table} AS SELECT * FROM part", empty)

    def _read(
        self, directory: Directory, path: str, split: str, shard: Shard, loaded: Manifest
    ) -> pa.Table:
        """A shard's index, with the columns that are compared."""
        import pyarrow as pa

        metadata = loaded.schema.metadata
        read = index.read(path, name=directory.locate(shard.index_path), metadata=metadata)
        read = read.append_column("split", pa.array([split] * len(read), pa.string()))
        columns = [
            read[name] if name in read.column_names else pa.nulls(len(read))
            for name in self._schema.names
        ]
        return pa.table(columns, names=self._schema.names).cast(self._schema)

    def _insert(self, found: ShardDifference) -> None:
        """Puts what became of a shard into the tables."""
        import pyarrow as pa

        for table, rows in (("removed", found.removed), ("added", found.added)):
            if len(rows):
                self._execute(f"INSERT INTO {table} SELECT * FROM part", _numbered(rows))
        if len(found.changed):
            flags = np.zeros((len(found.changed), len(self._columns)), np.bool_)
            flags[:, self._columns.index("split")] = found.differs[:, 0]
            flags[:, 1 + len(_OWN) :] = found.differs[:, 1:]
            offsets = np.arange(0, flags.size + 1, len(self._columns), dtype=np.int32)
            differs = pa.ListArray.from_arrays(offsets, flags.ravel())
            part = pa.table([found.changed, differs], names=["key", "differs"])
            self._execute("INSERT INTO changed SELECT * FROM part", part)

    def _join(self) -> None:
        """Finds the keys that are removed here and added there: these were stored anew."""
        names = _numbered(self._schema.empty_table()).column_names[2:]
        tests = ["true", *(f"b.{name} IS DISTINCT FROM a.{name}" for name in names)]
        self._execute(
            "CREATE TABLE found AS SELECT 'changed' AS kind, key, differs FROM changed UNION ALL "
            "SELECT CASE WHEN b.key IS NULL THEN 'added' WHEN a.key IS NULL THEN 'removed' "
            f"ELSE 'changed' END, coalesce(b.key, a.key), [{', '.join(tests)}] "
            "FROM removed b FULL OUTER JOIN added a ON b.key = a.key"
        )
        for table in ("changed", "removed", "added"):
            self._execute(f"DROP TABLE {table}")
        self._execute("COMMIT")

    def _execute(self, sql: str, part: pa.Table | None = None) -> None:
        """Runs a statement, which may name `part`."""
        import duckdb

        try:
            if part is not None:
                self._database.register("part", part)
            self._database.execute(sql)
        except duckdb.Error as error:
            raise errors.StorageError(
                errno.EIO,
                f"Cannot compare the versions in {self._room}: {error}. If there is no room, "
                "set TMPDIR to a directory with more.",
            ) from error


def diff(
    dest: Directory | str | os.PathLike[str],
    before: int | str | datetime.datetime,
    after: int | str | datetime.datetime | None = None,
) -> Difference:
    """Finds out in which records two versions differ.

    What both have in common, whole shards with their indexes, is not read.

    Args:
        dest: The dataset's directory or URI.
        before: A number, a tag or a time; see `resolve`.
        after: Likewise; None: the newest.

    Returns:
        Counts, and the records one after the other.

    Raises:
        DatasetNotFoundError: There is no such version.
        CorruptRecordError: An index is damaged.
        StorageError: An index cannot be read, or there is no room for temporary files.
    """
    directory = as_directory(dest)
    one, other = (history.load(directory, each) for each in (before, after))
    return Difference(one, other, directory)


def _kinds(before: Manifest, after: Manifest) -> dict[str, str]:
    """The metadata columns of both; text, where they do not agree."""
    kinds = dict(before.schema.metadata)
    for name, kind in after.schema.metadata.items():
        kinds[name] = kind if kinds.get(name, kind) == kind else "string"
    return dict(sorted(kinds.items()))


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type whose values DuckDB takes whatever they are: its maps have each key once."""
    import pyarrow as pa

    if not pa.types.is_map(kind):
        return kind
    return pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))


def _schema(kinds: Mapping[str, str]) -> pa.Schema:
    """The columns that are compared, behind those that tell which record it is."""
    import pyarrow as pa

    types = index.schema(kinds)
    names = ("key", "offset", *_OWN, *kinds)
    own = {"split": pa.string()}
    return pa.schema([(name, own.get(name) or _plain(types.field(name).type)) for name in names])


def _numbered(rows: pa.Table) -> pa.Table:
    """With the places of the columns for names: the user's may differ in case alone."""
    return rows.rename_columns(["key", "offset", *(f"c{n}" for n in range(rows.num_columns - 2))])


def _parts(before: Manifest, after: Manifest) -> list[tuple[_Part, _Part]]:
    """The shards of each version, side by side, but those that both have with the same index."""
    pairs: dict[str, list[_Part]] = {}
    for side, loaded in enumerate((before, after)):
        for split in loaded.splits:
            for shard in split.shards:
                pairs.setdefault(shard.path, [_NONE, _NONE])[side] = (split.name, shard)
    return [
        (one, other)
        for one, other in pairs.values()
        if one[1] is None or other[1] is None or one[1].index_path != other[1].index_path
    ]


def _connect(room: Path) -> duckdb.DuckDBPyConnection:
    """A database on disk, for a moment."""
    try:
        import duckdb
    except ImportError as error:
        raise errors.InvalidArgumentError(
            "Versions are compared by DuckDB, which is not installed: pip install duckdb"
        ) from error
    connection = duckdb.connect(str(room / "found.duckdb"))
    connection.execute("SET memory_limit = ?", [_MEMORY])
    connection.execute("SET temp_directory = ?", [str(room)])
    return connection

"""In what two versions of a dataset differ, record by record, through bounded memory."""

from __future__ import annotations

import dataclasses
import datetime
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfstream import errors
from tfstream.format import index, manifest
from tfstream.indexes import local_indexes
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.versions.history import resolve

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from tfstream.v1.manifest_pb2 import Manifest

__all__ = ["Changed", "Difference", "diff"]

Kind = Literal["added", "removed", "changed"]

# What is compared of the records that both versions have; the metadata follow.
_OWN = ("split", *(name for name in index.COLUMNS if name not in ("key", "offset", "length")))
_RECORD = "record"  # stands for the record itself, stored anew
_MEMORY = "1GB"  # what does not fit goes to disk
_ROWS = 1 << 14  # at once


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
        self._files = tempfile.TemporaryDirectory(prefix="tfstream-diff-")
        self._database = _connect(Path(self._files.name))
        shared = _pairs(before) & _pairs(after)
        for table, loaded in (("before", before), ("after", after)):
            self._fill(table, loaded, kinds, directory, shared)
        self._compare()
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
        self._files.cleanup()

    def _fill(
        self,
        table: str,
        loaded: Manifest,
        kinds: Mapping[str, str],
        directory: Directory,
        shared: set[tuple[str, str]],
    ) -> None:
        """Makes a table of a version's records, without the shards that both versions have."""
        import pyarrow as pa
        import pyarrow.compute as pc

        known = dict(loaded.schema.metadata)
        types = index.schema(kinds)
        names = (*_OWN, *kinds)
        schema = pa.schema(
            # By their places: names of the user's may differ in case alone.
            [("key", pa.string()), ("place", pa.string()), ("c0", pa.string())]
            + [(f"c{n}", types.field(names[n]).type) for n in range(1, len(names))]
        )
        parts = [
            (split.name, shard)
            for split in loaded.splits
            for shard in split.shards
            if (shard.path, shard.index_path) not in shared
        ]
        self._execute(f"CREATE TABLE {table} AS SELECT * FROM part", schema.empty_table())
        with local_indexes(directory, [shard for _, shard in parts]) as paths:
            for (split, shard), path in zip(parts, paths, strict=True):
                read = index.read(path, name=directory.locate(shard.index_path), metadata=known)
                place = pc.binary_join_element_wise(
                    shard.path, read["offset"].cast(pa.string()), "@"
                )
                columns = [read["key"], place, pa.array([split] * len(read), pa.string())]
                for name in names[1:]:
                    there = name in read.column_names
                    columns.append(read[name] if there else pa.nulls(len(read)))
                part = pa.table(columns, names=schema.names).cast(schema)
                self._execute(f"INSERT INTO {table} SELECT * FROM part", part)

    def _compare(self) -> None:
        count = len(self._columns)
        tests = ["b.place <> a.place"]
        tests += [f"b.c{n} IS DISTINCT FROM a.c{n}" for n in range(count - 1)]
        self._database.execute(
            "CREATE TABLE found AS SELECT * FROM (SELECT coalesce(b.key, a.key) AS key, "
            "CASE WHEN b.key IS NULL THEN 'added' WHEN a.key IS NULL THEN 'removed' "
            f"ELSE 'changed' END AS kind, [{', '.join(tests)}] AS differs "
            "FROM before b FULL OUTER JOIN after a ON b.key = a.key) "
            "WHERE kind <> 'changed' OR list_contains(differs, true)"
        )
        for table in ("before", "after"):
            self._database.execute(f"DROP TABLE {table}")

    def _execute(self, sql: str, part: pa.Table) -> None:
        """Runs a statement that names `part`."""
        self._database.register("part", part)
        self._database.execute(sql)
        self._database.unregister("part")


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
    one, other = (manifest.load(directory, resolve(directory, each)) for each in (before, after))
    return Difference(one, other, directory)


def _kinds(before: Manifest, after: Manifest) -> dict[str, str]:
    """The metadata columns of both; text, where they do not agree."""
    kinds = dict(before.schema.metadata)
    for name, kind in after.schema.metadata.items():
        kinds[name] = kind if kinds.get(name, kind) == kind else "string"
    return dict(sorted(kinds.items()))


def _pairs(loaded: Manifest) -> set[tuple[str, str]]:
    return {(shard.path, shard.index_path) for split in loaded.splits for shard in split.shards}


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

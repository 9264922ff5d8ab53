"""DuckDB with the doors locked: it reads the files it was given, and reaches nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Database", "connect"]

_BATCH = 1 << 17  # rows
_PATTERN = {"*", "?", "["}
_MEMORY = "2GB"  # what a query may take before it sorts on disk; most take a tenth of it


def connect(files: Sequence[str], spill: str) -> duckdb.DuckDBPyConnection:
    """An empty database in memory, whose SQL can read the given files and nothing else.

    Not another file, not the network, no extension, no variable of Python; and no
    statement can lift this again.

    Args:
        files: What may be read.
        spill: A directory for what does not fit memory while it is sorted.

    Raises:
        InvalidArgumentError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InvalidArgumentError(
            "queries are answered by DuckDB, which is not installed: pip install 'duckdb>=1.4'"
        ) from error

    connection = duckdb.connect(":memory:")
    for setting, value in {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "memory_limit": _MEMORY,
        "temp_directory": spill,
        "allowed_paths": list(files),
        "enable_external_access": False,
        "lock_configuration": True,
    }.items():
        connection.execute(f"SET {setting} = ?", [value])
    return connection


# Connections of the process that this one was forked from. Their threads are not here: closing one
# would wait for them.
_OF_PARENT: list[Any] = []


class Database:
    """Runs SELECT statements over some files; from any number of threads and forked processes.

    Attributes:
        names: What SQL must call each file, by its path.
    """

    def __init__(self, files: Iterable[str]) -> None:
        """Opens it.

        Args:
            files: The absolute paths of what may be read. Files need not be there yet.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="tfstream-query-")
        self.names = {path: path for path in files}
        for number, path in enumerate(self.names):
            if set(path) & _PATTERN:  # DuckDB would read what else it matches
                self.names[path] = os.path.join(self._directory.name, f"{number}.parquet")
                os.symlink(path, self.names[path])
        self._connect()

    def _connect(self) -> None:
        process = os.getpid()
        spill = os.path.join(self._directory.name, f"spill-{process}")
        self._connection = connect(list(self.names.values()), spill)
        self._process = process

    def fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of the answer."""
        return self._cursor(sql).execute(sql, parameters).fetchall()

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        """The answer a few rows at a time, as it is found."""
        cursor = self._cursor(sql)
        reader: pa.RecordBatchReader
        if not hasattr(cursor, "to_arrow_reader"):  # before DuckDB 1.5
            answer: Any = cursor.execute(sql, parameters)
            reader = answer.fetch_record_batch(_BATCH)
        elif hasattr(cursor, "fetch_record_batch"):  # before DuckDB 2
            reader = cursor.execute(sql, parameters).to_arrow_reader(_BATCH)
        else:  # of `execute`, it would keep the whole answer
            reader = cursor.sql(sql, params=parameters).to_arrow_reader(_BATCH)
        yield from reader

    def _cursor(self, sql: str) -> duckdb.DuckDBPyConnection:
        """A cursor for this statement, which reads and does nothing else."""
        import duckdb

        if self._process != os.getpid():
            _OF_PARENT.append(self._connection)
            self._connect()
        cursor = self._connection.cursor()
        kinds = [statement.type for statement in cursor.extract_statements(sql)]
        if kinds != [duckdb.StatementType.SELECT]:
            raise InvalidArgumentError(f"not one SELECT statement: {sql!r}")
        return cursor

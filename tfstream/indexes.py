"""The indexes of a version as local files, wherever the dataset is."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tfstream.errors import StorageError

if TYPE_CHECKING:
    from tfstream.storage.directory import Directory
    from tfstream.v1.manifest_pb2 import Shard

__all__ = ["IndexFiles", "local_indexes"]

# Indexes whose bytes are in memory at the same time, on their way to a file.
_AT_ONCE = 32


class IndexFiles:
    """Where a dataset's indexes lie on local disk.

    Those of a dataset elsewhere are copied once, when they are first asked for, into a temporary
    directory that goes with this object.

    Args:
        directory: The dataset's.
        read: Whole objects by name; None: the directory reads them.
    """

    def __init__(
        self,
        directory: Directory,
        read: Callable[[list[str]], list[bytes]] | None = None,
    ) -> None:
        self._directory = directory
        self._read = read or self._read_directory
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def paths(self, shards: Sequence[Shard]) -> list[str]:
        """The local index of each of the shards, an absolute path.

        Raises:
            ObjectNotFoundError: There is no such index.
            StorageError: One cannot be read, or not be copied.
        """
        if self._directory.path is not None:
            root = os.path.abspath(self._directory.path)
            # Not by pathlib, which is slow for 20,000 shards.
            return [os.path.join(root, shard.index_path) for shard in shards]
        with self._lock:
            names = [shard.index_path for shard in shards]
            unknown = [name for name in names if name not in self._known]
            for begin in range(0, len(unknown), _AT_ONCE):
                self._copy(unknown[begin : begin + _AT_ONCE])
            return [self._known[name] for name in names]

    def close(self) -> None:
        """Removes the copies."""
        with self._lock:
            self._known.clear()
            if self._copies is not None:
                self._copies.cleanup()
                self._copies = None

    def _copy(self, names: list[str]) -> None:
        try:
            if self._copies is None:
                self._copies = tempfile.TemporaryDirectory(prefix="tfstream-indexes-")
            for name, data in zip(names, self._read(names), strict=True):
                # No part of the object's name, which nobody has vouched for.
                path = Path(self._copies.name, f"{len(self._known):08d}.parquet")
                path.write_bytes(data)
                self._known[name] = str(path)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(
                error.errno,
                f"Cannot keep the indexes of {self._directory} in {tempfile.gettempdir()}: "
                f"{error.strerror}. Set TMPDIR to a directory with more room.",
            ) from error

    def _read_directory(self, names: list[str]) -> list[bytes]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._directory.read, names))


@contextlib.contextmanager
def local_indexes(directory: Directory, shards: Sequence[Shard]) -> Iterator[list[str]]:
    """The local index of each of the shards; copies, where the dataset is elsewhere, go at the end.

    Raises:
        ObjectNotFoundError: There is no such index.
        StorageError: One cannot be read, or not be copied.
    """
    files = IndexFiles(directory)
    try:
        yield files.paths(shards)
    finally:
        files.close()

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

# Indexes whose bytes are in memory at the same time, on their way to a file; merged ones have
# some 20 MB.
_AT_ONCE = 16


class IndexFiles:
    """Where a dataset's indexes lie on local disk.

    Those of a dataset elsewhere are copied once, when they are first brought, into a temporary
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
        self._known: dict[str, str] = {}  # by name, the path
        self._missing: dict[str, str] = {}  # by path, the name
        self._lock = threading.Lock()

    def paths(self, names: Sequence[str]) -> list[str]:
        """Where each of these indexes is, or will be once it was brought: absolute paths."""
        if self._directory.path is not None:
            root = os.path.abspath(self._directory.path)
            # Not by pathlib, which is slow for 20,000 shards.
            return [os.path.join(root, name) for name in names]
        with self._lock:
            for name in names:
                if name not in self._known:
                    # No part of the object's name, which nobody has vouched for.
                    path = os.path.join(self._room(), f"{len(self._known):08d}.parquet")
                    self._known[name] = path
                    self._missing[path] = name
            return [self._known[name] for name in names]

    def bring(self, paths: Sequence[str]) -> None:
        """Copies what is not there yet of what `paths` named.

        Raises:
            ObjectNotFoundError: There is no such index.
            StorageError: One cannot be read, or not be copied.
        """
        with self._lock:
            missing = [path for path in paths if path in self._missing]
            for begin in range(0, len(missing), _AT_ONCE):
                self._copy(missing[begin : begin + _AT_ONCE])

    def close(self) -> None:
        """Removes the copies."""
        with self._lock:
            self._known.clear()
            self._missing.clear()
            if self._copies is not None:
                self._copies.cleanup()
                self._copies = None

    def _room(self) -> str:
        if self._copies is None:
            with self._keeping():
                self._copies = tempfile.TemporaryDirectory(prefix="tfstream-indexes-")
        return self._copies.name

    def _copy(self, paths: list[str]) -> None:
        found = self._read([self._missing[path] for path in paths])
        for path, data in zip(paths, found, strict=True):
            with self._keeping():
                Path(path).write_bytes(data)
            del self._missing[path]

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
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
        paths = files.paths([shard.index_path for shard in shards])
        files.bring(paths)
        yield paths
    finally:
        files.close()

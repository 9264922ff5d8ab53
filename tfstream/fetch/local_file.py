"""A file on local disk, in the place of an object's part of the page cache: all of it is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tfstream.errors import ObjectChangedError, StorageError
from tfstream.storage.directory import ObjectInfo

__all__ = ["LocalFile"]


class LocalFile:
    """Lets records of local files be read the way cached ones are; writes nothing.

    Args:
        path: The file.
        info: What it was when it was looked up.
    """

    def __init__(self, path: Path, info: ObjectInfo) -> None:
        self._path = path
        self._info = info

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """Opens the file; yields its descriptor.

        Raises:
            ObjectChangedError: It is not as long as it was.
            StorageError: It cannot be opened.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(
                error.errno, f"Cannot read {self._path}: {error.strerror}."
            ) from error
        try:
            size = os.fstat(descriptor).st_size
            if size != self._info.size:
                raise ObjectChangedError(
                    f"{self._path} has {size} bytes, and had {self._info.size}: shards are never "
                    "changed. Pack a new version instead."
                )
            yield descriptor
        finally:
            os.close(descriptor)

    def missing(self, begin: int, end: int) -> list[tuple[int, int]]:
        """What of a range would have to be fetched: nothing."""
        return []

    def try_claim(self, begin: int, end: int) -> None:
        """Claims nothing: there is nothing to fetch."""

    def store(self, begin: int, data: memoryview) -> bool:
        """Keeps nothing."""
        return False

    def forget(self, begin: int, end: int) -> None:
        """Does nothing: what is there is all there is, and is read once more."""

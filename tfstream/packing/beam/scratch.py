"""Files that the launching process and the workers of a pack have in common, while it runs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pickle
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tfstream.errors import ObjectExistsError, ObjectNotFoundError
from tfstream.packing.destination import WORKSPACE
from tfstream.storage.directory import Directory
from tfstream.storage.reader import open_object, read_exactly

__all__ = ["Scratch"]

_PIECE = 1 << 20  # bytes
_THREADS = 16  # what hides a bucket's answer times


@dataclasses.dataclass(frozen=True)
class Scratch:
    """Files below the destination, of names that no other pack has.

    What is there is never changed: where a worker's task is done twice, the first one's counts. The
    files are pickles of ours and raw bytes; whoever may write to the destination may write to them.
    Of a scratch that is found, only journals are read, which are JSON.

    Attributes:
        directory: The dataset's.
        prefix: Of the names.
    """

    directory: Directory
    prefix: str

    @classmethod
    def of(cls, directory: Directory, name: str) -> Scratch:
        """The one of a name, below a destination."""
        return cls(directory, f"{WORKSPACE}/{name}")

    def put(self, name: str, data: bytes) -> None:
        """Makes a file, unless there is one.

        Raises:
            StorageError: It cannot be written.
        """
        with contextlib.suppress(ObjectExistsError):
            self.directory.create(f"{self.prefix}/{name}", data)

    def put_value(self, name: str, value: object) -> None:
        """Makes a file of a value, unless there is one."""
        self.put(name, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    def put_file(self, name: str, path: Path) -> None:
        """Makes a file of one on this machine's disk, unless there is one."""
        with contextlib.suppress(ObjectExistsError):
            self.directory.upload(f"{self.prefix}/{name}", path)

    def get(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            ObjectNotFoundError: There is none.
            StorageError: It cannot be read.
        """
        return self.directory.read(f"{self.prefix}/{name}")

    def get_value(self, name: str) -> Any:
        """The value that a file holds."""
        return pickle.loads(self.get(name))

    def find(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""
        try:
            return self.get(name)
        except ObjectNotFoundError:
            return None

    def part(self, name: str, begin: int, end: int) -> bytearray:
        """Some bytes of a file."""
        info = self.directory.stat(f"{self.prefix}/{name}")
        return read_exactly(self.directory, info, begin, end - begin)

    def names(self, beginning: str) -> list[str]:
        """The files whose names begin so, sorted."""
        found = self.directory.list(f"{self.prefix}/{beginning}")
        return [info.name.removeprefix(f"{self.prefix}/") for info in found]

    def each(self, names: list[str]) -> Iterator[bytes | None]:
        """The bytes of some files, one after the other, a few of them read ahead."""
        with ThreadPoolExecutor(_THREADS) as threads:
            for begin in range(0, len(names), _THREADS):
                yield from threads.map(self.find, names[begin : begin + _THREADS])

    def local(self, name: str) -> Path:
        """A file on this machine's disk: a copy, of which a process makes one, where need be."""
        if self.directory.path is not None:
            return self.directory.path / self.prefix / name
        return _copy(self, name)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """A directory for the block: where a file of it can be renamed to its place, if any."""
        place = self.directory.path / self.prefix if self.directory.path else None
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=place) as made:
            yield Path(made)

    def remove(self) -> None:
        """Deletes all files.

        Raises:
            StorageError: They cannot be deleted.
        """
        if self.directory.path is not None:
            shutil.rmtree(self.directory.path / self.prefix, ignore_errors=True)
            return
        with ThreadPoolExecutor(_THREADS) as threads:
            found = self.directory.list(f"{self.prefix}/")
            list(threads.map(self.directory.delete, found))


@functools.lru_cache(maxsize=1)
def _copy(scratch: Scratch, name: str) -> Path:
    path = Path(_kept().name) / secrets.token_hex(8)
    info = scratch.directory.stat(f"{scratch.prefix}/{name}")
    with open_object(scratch.directory, info) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, _PIECE)
    return path


@functools.cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """A directory that goes when this process ends."""
    return tempfile.TemporaryDirectory(prefix="tfstream-")

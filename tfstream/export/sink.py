"""The directory that is written to: new files only, each whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from tfstream.errors import InvalidArgumentError, StorageError

__all__ = ["Sink", "require_empty"]

_PIECE = 1 << 20  # bytes


def require_empty(root: Path) -> None:
    """Checks that a directory is new or empty.

    Raises:
        InvalidArgumentError: It is a file, or holds something.
        StorageError: It cannot be looked at.
    """
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InvalidArgumentError(
            f"{root} is a file: name a directory to export to, a new or an empty one"
        ) from None
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {root}: {error.strerror}.") from error
    if names:
        raise InvalidArgumentError(
            f"{root} is not empty (it holds {min(names)!r}), and nothing is overwritten: name a "
            "new directory to export to"
        )


class Sink:
    """Makes files below a directory.

    Used as a context: where that ends by an error, files that are not whole are removed.

    Args:
        root: The directory, made when it is first needed.

    Attributes:
        bytes: Of all files so far.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[str, IO[bytes]] = {}
        self._spools: list[IO[bytes]] = []
        self.bytes = 0

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in self._spools:
            with contextlib.suppress(OSError):
                spool.close()
        for name, file in self._open.items():
            with contextlib.suppress(OSError):
                file.close()
            (self._root / name).unlink(missing_ok=True)

    def write(self, name: str, *pieces: bytes) -> None:
        """Makes a file of some pieces.

        Args:
            name: Its path below the directory.
            pieces: What it holds.

        Raises:
            StorageError: It cannot be made, or is there already.
        """
        self.stream(name, pieces)

    def stream(self, name: str, pieces: Iterable[bytes]) -> None:
        """Makes a file of pieces that are made meanwhile; see `write`."""
        self.begin(name)
        for piece in pieces:
            self.add(name, piece)
        self.end(name)

    def begin(self, name: str) -> None:
        """Begins a file that `add` lets grow, until `end`."""
        path = self._root / name
        with self._told(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = open(path, "xb")  # noqa: SIM115

    def add(self, name: str, data: bytes) -> None:
        """Adds to a file that was begun."""
        with self._told(name):
            self._open[name].write(data)
        self.bytes += len(data)

    def end(self, name: str) -> None:
        """Ends a file: it is whole."""
        with self._told(name):
            self._open[name].close()
        del self._open[name]

    def spool(self) -> IO[bytes]:
        """A nameless file on the same disk, gone when the context ends."""
        with self._told("a temporary file"):
            self._root.mkdir(parents=True, exist_ok=True)
            spool = tempfile.TemporaryFile(dir=self._root)  # noqa: SIM115
        self._spools.append(spool)
        return spool

    def spooled(self, spool: IO[bytes], data: bytes) -> None:
        """Adds to a spool."""
        with self._told("a temporary file"):
            spool.write(data)

    def pieces(self, spool: IO[bytes]) -> Iterator[bytes]:
        """What a spool holds."""
        with self._told("a temporary file"):
            spool.seek(0)
            while piece := spool.read(_PIECE):
                yield piece

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                error.errno,
                f"Cannot write {self._root / name}: {error.strerror}. What was written stays.",
            ) from error

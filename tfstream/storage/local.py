"""Files on local disk, written so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tfstream import errors
from tfstream.storage.directory import Attempt, Directory, ObjectInfo

__all__ = [
    "TEMPORARY_SUFFIX",
    "LocalDirectory",
    "create_exclusively",
    "flush_directory",
    "write_atomically",
]

# Files being written are named `.NAME.<random>.tmp`: hidden, and never taken for a shard.
TEMPORARY_SUFFIX = ".tmp"

_PIECE = 1 << 20  # bytes read or copied at once

# What file systems without hard links (FUSE mounts, exFAT) answer to link().
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yields a file that appears at `path`, whole and on disk, when the block ends.

    The directory is made where it is missing. When the block raises, nothing
    appears and the temporary file is removed. A regular file at `path` is replaced.

    Args:
        path: Where the file shall be.

    Yields:
        A buffered binary file, open for writing.

    Raises:
        StorageError: The file cannot be written (no space left, no permission ...).
    """
    path = Path(path)
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device, say: replacing it would break it
            raise errors.StorageError(
                errno.EEXIST, f"{path} is not a regular file: it is left as it was."
            )
        with _temporary(path) as temporary:
            with open(temporary, "xb") as file:
                yield file
                _flush(file)
            os.replace(temporary, path)
        flush_directory(path.parent)


def create_exclusively(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to a new file at `path`, whole, unless there is one already.

    Of several writers that race for one path, one wins.

    Args:
        path: Where the file shall be; its directory is made where it is missing.
        data: What it shall hold.

    Raises:
        DatasetExistsError: There is a file at `path`; it is left as it was.
        StorageError: The file cannot be written.
    """
    _create(Path(path), lambda file: file.write(data))


def _create(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """What `create_exclusively` does, with a function that writes the file."""
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            with open(temporary, "xb") as file:
                fill(file)
                _flush(file)
            try:
                _link(temporary, path, fill)
            except FileExistsError as error:
                raise errors.DatasetExistsError(
                    f"{path} exists already: another writer was first. Nothing was changed."
                ) from error
        flush_directory(path.parent)


def _link(temporary: Path, path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Gives the finished file its name, which fails where the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Still exclusive, though a reader might catch the file while it grows.
        with open(path, "xb") as file:
            fill(file)
            _flush(file)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yields a fresh name beside `path`; what is left under it afterwards is removed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except errors.TfstreamError:
        raise
    except OSError as error:
        # An error of the block's own (reading an image, say) names another file.
        if error.filename is not None and not _is_ours(error.filename, path):
            raise
        raise errors.StorageError(
            error.errno, f"Cannot write {path}: {os.strerror(error.errno or errno.EIO)}."
        ) from error


def _is_ours(filename: object, path: Path) -> bool:
    name = os.fsdecode(filename) if isinstance(filename, (str, bytes)) else ""
    return Path(name).parent == path.parent or Path(name) in path.parents


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def flush_directory(directory: Path) -> None:
    """Makes a rename in it last; some file systems cannot, and need not."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LocalDirectory(Directory):
    """A directory on local disk.

    An object's generation is made of its file's inode and time of last change.

    Attributes:
        path: The directory.
    """

    path: Path

    def __init__(self, text: str) -> None:
        """Names a directory.

        Args:
            text: Its path.
        """
        self.path = Path(text)
        self.uri = str(self.path)

    def locate(self, name: str) -> str:
        """The path of one file."""
        return str(self.path / name)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Directory`; files that are being written are left out."""
        top = self.path / prefix.rpartition("/")[0]
        try:
            with _read_errors(top):
                names = sorted(_files_below(top))
        except errors.ObjectNotFoundError:
            return
        for name in names:
            relative = Path(name).relative_to(self.path).as_posix()
            if relative.startswith(prefix):
                # Deleted meanwhile.
                with contextlib.suppress(errors.ObjectNotFoundError):
                    yield self.stat(relative)

    def stat(self, name: str) -> ObjectInfo:
        """See `Directory`."""
        with _read_errors(self.path / name):
            return _info(name, os.stat(self.path / name))

    def read(self, name: str, *, generation: str | None = None) -> bytes:
        """See `Directory`."""
        path = self.path / name
        with _read_errors(path), open(path, "rb") as file:
            if generation is not None:
                _require(_info(name, os.fstat(file.fileno())), generation, path)
            return file.read()

    def read_range(
        self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
    ) -> None:
        """See `Directory`."""
        path = self.path / info.name
        try:
            with _read_errors(path), open(path, "rb", buffering=0) as file:
                _require(_info(info.name, os.fstat(file.fileno())), info.generation, path)
                done = 0
                while done < len(buffer):
                    piece = buffer[done : done + _PIECE]
                    count = os.preadv(file.fileno(), [piece], offset + done)
                    if not count:
                        raise errors.ObjectChangedError(
                            f"{path} ends at byte {offset + done}, and bytes up to "
                            f"{offset + len(buffer)} were wanted."
                        )
                    attempt.advance(count)
                    done += count
        except errors.ObjectNotFoundError as error:
            raise errors.ObjectChangedError(f"{path} was deleted while it was in use.") from error

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See `Directory`."""
        try:
            create_exclusively(self.path / name, data)
        except errors.DatasetExistsError as error:
            raise errors.ObjectExistsError(errno.EEXIST, str(error)) from error
        return self.stat(name)

    def upload(
        self, name: str, source: Path, progress: Callable[[int], object] = lambda count: None
    ) -> ObjectInfo:
        """See `Directory`."""
        path = self.path / name
        with _read_errors(source), open(source, "rb") as file:
            try:
                _create(path, functools.partial(_copy, file, progress=progress))
            except errors.DatasetExistsError as error:
                if not _same_bytes(source, path):
                    raise errors.ObjectExistsError(
                        errno.EEXIST, f"{path} exists already, with other bytes than {source}."
                    ) from error
        return self.stat(name)

    def delete(self, info: ObjectInfo) -> None:
        """See `Directory`."""
        path = self.path / info.name
        try:
            if self.stat(info.name).generation == info.generation:
                path.unlink(missing_ok=True)
        except errors.ObjectNotFoundError:
            return
        except OSError as error:
            if isinstance(error, errors.TfstreamError):
                raise
            raise errors.StorageError(
                error.errno, f"Cannot delete {path}: {error.strerror}."
            ) from error


def _info(name: str, status: os.stat_result) -> ObjectInfo:
    generation = f"{status.st_mtime_ns}-{status.st_ino}"
    return ObjectInfo(name, status.st_size, generation, modified=status.st_mtime)


def _require(found: ObjectInfo, generation: str, path: Path) -> None:
    if found.generation != generation:
        raise errors.ObjectChangedError(
            f"{path} was overwritten while it was in use (generation {generation} was looked up, "
            f"{found.generation} is there now). Shards are never changed: pack a new version "
            "instead."
        )


def _files_below(top: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for directory, _, names in os.walk(top, onerror=fail):
        for name in names:
            if not (name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)):
                yield os.path.join(directory, name)


def _copy(source: BinaryIO, target: BinaryIO, *, progress: Callable[[int], object]) -> None:
    source.seek(0)
    while piece := source.read(_PIECE):
        target.write(piece)
        progress(len(piece))


def _same_bytes(one: Path, other: Path) -> bool:
    with _read_errors(other), open(one, "rb") as left, open(other, "rb") as right:
        while (piece := left.read(_PIECE)) == right.read(_PIECE):
            if not piece:
                return True
    return False


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except errors.TfstreamError:
        raise
    except OSError as error:
        kind = errors.StorageError
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            kind = errors.ObjectNotFoundError
        elif isinstance(error, PermissionError):
            kind = errors.AccessDeniedError
        raise kind(error.errno, f"Cannot read {path}: {error.strerror}.") from error

"""Writing files on local disk so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tfstream import errors

__all__ = ["TEMPORARY_SUFFIX", "create_exclusively", "flush_directory", "write_atomically"]

# Files being written are named `.NAME.<random>.tmp`: hidden, and never taken for a shard.
TEMPORARY_SUFFIX = ".tmp"

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
    path = Path(path)
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            with open(temporary, "xb") as file:
                file.write(data)
                _flush(file)
            try:
                _link(temporary, path, data)
            except FileExistsError as error:
                raise errors.DatasetExistsError(
                    f"{path} exists already: another writer was first. Nothing was changed."
                ) from error
        flush_directory(path.parent)


def _link(temporary: Path, path: Path, data: bytes) -> None:
    """Gives the finished file its name, which fails where the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Still exclusive, though a reader might catch the file while it grows.
        with open(path, "xb") as file:
            file.write(data)
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

"""Whole files that are kept on local disk for all processes of a host, up to a byte limit.

Beside the page cache, for programs that want file names; nothing is stored in both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator

from tfstream import errors
from tfstream.cache.locks import lock_within
from tfstream.cache.space import Space, Stored, evict

__all__ = ["FileCache"]

_ROOT = "tfstream-files"  # all that is ever deleted is below it
_OBJECTS = "objects"
_PATIENCE = 5.0  # seconds for a file that is being evicted
_TRIES = 16
_BLOCK = 4096  # bytes, in which file systems give out space
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class FileCache:
    """Files by name, made when they are first wanted; those used longest ago go first.

    A file that is held stays, whoever wants room. What does not fit is made for the time that it
    is held.

    Args:
        directory: Where; all processes that name it share it. None: nothing is kept.
        limit: Bytes; None: as much as there is.

    Raises:
        CacheError: The directory cannot be used.
    """

    def __init__(self, directory: str | os.PathLike[str] | None, limit: int | None) -> None:
        self._space: Space | None = None
        self._objects = ""
        if directory is None:
            return
        root = os.path.join(os.path.abspath(os.path.expanduser(directory)), _ROOT)
        self._objects = os.path.join(root, _OBJECTS)
        self._space = Space(root, limit, found=_files_below, order=_oldest_first)
        try:
            os.makedirs(self._objects, exist_ok=True)
            self._space.open()
        except OSError as error:
            raise errors.CacheError(
                error.errno,
                f"The cache directory {os.fspath(directory)} cannot be used: {error.strerror}. "
                "Name another cache_directory, or give disable_caching=True.",
            ) from error

    def has(self, name: str, size: int) -> bool:
        """Whether a file is there; it may be gone by the time that it is held."""
        if self._space is None:
            return False
        try:
            return os.stat(os.path.join(self._objects, name)).st_size == size
        except OSError:
            return False

    @contextlib.contextmanager
    def hold(self, name: str, size: int, make: Callable[[], bytes]) -> Iterator[str]:
        """Yields the path of a file, which stays at least until the block ends.

        Args:
            name: A relative path, the same for the same content alone.
            size: Of the file, in bytes.
            make: Gives its content where it is not there.

        Raises:
            StorageError: It cannot be written.
        """
        path = os.path.join(self._objects, name)
        descriptor = None if self._space is None else self._held(path, size)
        if descriptor is None:
            content = make()
            if self._space is not None and self._reserve(self._space, len(content)):
                descriptor = self._store(self._space, path, content)
        if descriptor is None:
            with _passing(name, content) as temporary:
                yield temporary
            return
        try:
            yield path
        finally:
            os.close(descriptor)

    def _held(self, path: str, size: int) -> int | None:
        """An open file with a lock that keeps it; None where it is not there."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        state = None
        with contextlib.suppress(OSError):  # no locks on that file system
            if lock_within(descriptor, fcntl.LOCK_SH, _PATIENCE):
                state = os.fstat(descriptor)
        if state is not None and state.st_nlink and state.st_size == size:
            with contextlib.suppress(OSError):  # another user's
                os.utime(descriptor)
            return descriptor
        os.close(descriptor)
        if state is not None and state.st_nlink:  # what a crash left
            with contextlib.suppress(OSError):
                evict(path)
        return None

    @staticmethod
    def _reserve(space: Space, count: int) -> bool:
        try:
            return space.reserve(-(-count // _BLOCK) * _BLOCK)
        except OSError:  # read-only, or full
            return False

    def _store(self, space: Space, path: str, content: bytes) -> int | None:
        """Makes a file, held from the beginning; None where the disk is full or read-only."""
        for _ in range(_TRIES):
            try:
                descriptor = _create(path, content)
            except FileNotFoundError:  # somebody removed a directory by hand
                continue
            except OSError as error:
                with contextlib.suppress(OSError):
                    if error.errno in _FULL and space.make_room(len(content)):
                        continue
                return None
            if descriptor is None:  # somebody else was faster
                descriptor = self._held(path, len(content))
            if descriptor is not None:
                return descriptor
        return None


def _create(path: str, content: bytes) -> int | None:
    """Makes a file, whole, with a lock that keeps it; None where there is one."""
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    fresh = os.path.join(directory, f".{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(fresh, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        try:
            os.link(fresh, path)
        except FileExistsError:
            os.close(descriptor)
            return None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    finally:
        _remove(fresh)
    return descriptor


@contextlib.contextmanager
def _passing(name: str, content: bytes) -> Iterator[str]:
    """A file for the time of the block."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfstream-"))
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(content)
        except OSError as error:
            raise errors.StorageError(
                error.errno,
                f"Cannot write a file of {len(content)} bytes below {tempfile.gettempdir()}: "
                f"{error.strerror}. Free some space, or set TMPDIR.",
            ) from error
        yield path


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _files_below(objects: str) -> list[Stored]:
    """The files of a cache as they are now, those among them that are being written."""
    found = []
    for directory, _, names in os.walk(objects):
        for name in names:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):  # evicted by another process just now
                state = os.lstat(path)
                found.append(Stored(path, state.st_blocks * 512, state.st_mtime))
    return found


def _oldest_first(stored: Iterable[Stored]) -> list[Stored]:
    return sorted(stored, key=lambda file: file.used_at)

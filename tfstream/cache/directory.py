"""The directory of a cache: whether it is one, and what is in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from tfstream import errors
from tfstream.storage.uri import require_local

__all__ = ["CLAIMS", "OBJECTS", "STREAMS", "check", "default_directory", "place", "prepare"]

OBJECTS = "objects"
STREAMS = "streams"
CLAIMS = "claims"
_MARKER = "tfstream-cache.json"
_FORMAT = 1
# With these the cache cannot be written now, but may be read, or written later.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_NOW = {errno.EROFS, errno.EACCES, errno.EPERM, *_FULL}


def place(given: str | os.PathLike[str] | None = None) -> str:
    """The path of a cache's directory, which may be yet to be made.

    Args:
        given: Its name; None: the default directory.

    Raises:
        InvalidArgumentError: It is a URI.
    """
    path = given or default_directory()
    require_local(path, "a page cache", "name a local directory as its cache_dir")
    return os.path.abspath(os.path.expanduser(path))


def default_directory() -> Path:
    """Where a cache is that has no name.

    `$TFSTREAM_CACHE`, else `tfstream` in `$XDG_CACHE_HOME`, which is `~/.cache` by default.
    """
    if named := os.environ.get("TFSTREAM_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "tfstream"


def prepare(directory: str) -> None:
    """Makes a directory a cache, unless it is one.

    Raises:
        CacheError: It cannot be one.
    """
    try:
        os.makedirs(directory, exist_ok=True)
    except FileExistsError:
        pass  # a file: said by `check`
    except OSError as error:
        if error.errno in _FULL:
            return
        raise errors.CacheError(
            error.errno,
            f"The cache directory {directory} cannot be made: {error.strerror}. "
            "Name another cache_dir.",
        ) from error
    if not check(directory):
        with _later():
            _write_marker(directory)
    for name in (OBJECTS, STREAMS):
        with _later():
            os.makedirs(os.path.join(directory, name), exist_ok=True)


def check(directory: str) -> bool:
    """Whether there is a cache in it.

    Raises:
        CacheError: It cannot be used: a file, not to be read, of a newer format.
    """
    path = Path(directory)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise errors.CacheError(
            errno.ENOTDIR,
            f"The cache directory {directory} is a file. Name a directory; it is made where it "
            "is missing.",
        )
    try:
        text = (path / _MARKER).read_bytes()
        os.scandir(path).close()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise errors.CacheError(
            error.errno,
            f"The cache directory {directory}, which belongs to {_owner(path)}, cannot be read: "
            f"{error.strerror}. Name another cache_dir, or have it opened to this user.",
        ) from error
    try:
        told = json.loads(text)
        number = told["format"] if isinstance(told, dict) else None
    except (ValueError, KeyError):
        number = None
    if type(number) is not int or number < 1:
        raise errors.CacheError(
            errno.EINVAL,
            f"{path / _MARKER} is not what a cache begins with. Name another cache_dir; or, if "
            "nothing else is in this one, remove it.",
        )
    if number > _FORMAT:
        raise errors.CacheError(
            errno.EINVAL,
            f"The cache {directory} was written by a newer tfstream: its format is {number}, this "
            f"one knows {_FORMAT}. Upgrade tfstream, or name another cache_dir.",
        )
    return True


def _write_marker(directory: str) -> None:
    path = os.path.join(directory, _MARKER)
    fresh = f"{path}.{os.getpid()}.tmp"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "what": "the page cache of tfstream"}, file)
        os.replace(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)


def _owner(path: Path) -> str:
    try:
        number = path.stat().st_uid
    except OSError:
        return "another user"
    with contextlib.suppress(KeyError):
        return f"user {pwd.getpwuid(number).pw_name!r}"
    return f"user {number}"


@contextlib.contextmanager
def _later() -> Iterator[None]:
    """Lets faults pass with which a cache works without storing anything."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_NOW:
            raise

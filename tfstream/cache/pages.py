"""The page cache: pages of remote objects on local disk, shared by the processes of a host."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import threading
import warnings
import weakref
from collections.abc import Mapping

from tfstream.cache.cached_object import CachedObject, Claim
from tfstream.cache.directory import CLAIMS, OBJECTS, prepare
from tfstream.cache.layout import About
from tfstream.cache.space import Space
from tfstream.cache.streams import Publisher
from tfstream.storage.directory import ObjectInfo

__all__ = ["CachedObject", "Claim", "PageCache"]

_OPEN_FILES = 256  # at most, of objects that are not in use

_caches: weakref.WeakSet[PageCache] = weakref.WeakSet()


class PageCache:
    """A directory that keeps pages of remote objects, up to a limit.

    It holds nothing that could not be fetched again, and touches no file that it
    did not make. Where nothing can be written (read-only, full), what is stored
    already is read, nothing is added, and a RuntimeWarning says so once.

    Args:
        directory: Made where it is missing.
        limit: Bytes on disk; None: as much as the disk has.

    Raises:
        CacheError: The directory is a file, may not be read, cannot be made, has no file
            locks, or was written by a newer tfstream.
    """

    def __init__(self, directory: str | os.PathLike[str], limit: int | None = None) -> None:
        self.directory = os.path.abspath(os.path.expanduser(directory))
        self.limit = limit
        self.objects = os.path.join(self.directory, OBJECTS)
        self._space = Space(self.directory, limit)
        self._publisher = Publisher(self.directory, limit)
        self._known: dict[tuple[str, str, str, int], CachedObject] = {}
        self._open: collections.OrderedDict[CachedObject, None] = collections.OrderedDict()
        self._mutex = threading.Lock()
        self._claims = -1
        self._warned = False
        prepare(self.directory)
        try:
            self._space.open()
            self._open_claims()
        except OSError as error:
            self.refused(error)
        _caches.add(self)

    def object(self, uri: str, info: ObjectInfo) -> CachedObject:
        """The pages of one object; the same instance each time.

        Args:
            uri: Of the object; it ends with its name.
            info: The object, in one generation.
        """
        key = (uri, info.name, info.generation, info.size)
        found = self._known.get(key)
        if found is None:
            found = self._known.setdefault(key, CachedObject(self, About(*key)))
        return found

    def publish(self, counters: Mapping[str, float]) -> None:
        """Tells `tfstream cache stat` how this process fares: cheap, every 2 s at most."""
        self._publisher.publish(counters)

    def close(self) -> None:
        """Closes the files that are not in use. They are opened again where needed."""
        self._publisher.close()
        self._space.close()
        with self._mutex:
            opened = list(self._open)
            self._open.clear()
        self._close_claims()
        for cached in opened:
            cached.close_if_idle()

    # What objects ask of their cache.

    def reserve(self, count: int) -> bool:
        """Takes space on disk, evicting others where the limit asks for it."""
        try:
            return self._space.reserve(count)
        except OSError as error:
            self.refused(error)
            return False

    def make_room(self, count: int) -> bool:
        """Evicts others, because the disk is full before the limit is reached."""
        try:
            return self._space.make_room(count)
        except OSError:
            return False

    def refused(self, error: OSError) -> None:
        """Says once that what is fetched is not kept, and why."""
        if self._warned:
            return
        self._warned = True
        why = os.strerror(error.errno or errno.EIO)
        warnings.warn(
            f"The cache {self.directory} cannot be written ({why}): what is fetched is not kept. "
            "Streaming goes on; to fetch each byte once, free space or name another cache_dir.",
            RuntimeWarning,
            stacklevel=2,
        )

    def opened(self, cached: CachedObject) -> None:
        """Counts an open file, and closes those that were used longest ago."""
        with self._mutex:
            self._open[cached] = None
            self._open.move_to_end(cached)
            surplus = len(self._open) - _OPEN_FILES
            for old in list(self._open)[:surplus] if surplus > 0 else ():
                if old.close_if_idle():
                    del self._open[old]

    def used(self, cached: CachedObject) -> None:
        """Notes that an open file is still wanted."""
        with self._mutex:
            if cached in self._open:
                self._open.move_to_end(cached)

    def restore(self) -> None:
        """Makes the directories again that somebody removed."""
        prepare(self.directory)
        self._close_claims()

    def claims(self) -> int:
        """The file whose locks are claims; -1 where there is none."""
        if self._claims < 0:
            with contextlib.suppress(OSError):
                self._open_claims()
        return self._claims

    def _open_claims(self) -> None:
        with self._mutex:
            if self._claims < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._claims = os.open(os.path.join(self.directory, CLAIMS), flags, 0o666)

    def _close_claims(self) -> None:
        with self._mutex:
            if self._claims >= 0:
                os.close(self._claims)
                self._claims = -1

    def _forked(self) -> None:
        """In a child: closes what it shares with its parent, whose locks stay as they are."""
        self._mutex = threading.Lock()
        for cached in self._known.values():
            cached.forked()
        self._open.clear()
        self._space.forked()
        self._publisher.forked()
        self._close_claims()


def _after_fork() -> None:
    for cache in list(_caches):
        cache._forked()


os.register_at_fork(after_in_child=_after_fork)

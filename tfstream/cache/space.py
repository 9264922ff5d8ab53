"""The byte limit of a cache: who may write how much, and what has to go for it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from tfstream.cache.layout import OBJECT_NAME
from tfstream.cache.locks import lock_within

__all__ = ["LOW_WATER", "Space", "Stored", "evict", "scan", "victims"]

LOW_WATER = 0.9  # of the limit: evicted down to there, so as not to evict at every store
_PATIENCE = 5.0  # seconds for the ledger's lock: an eviction of others may take that long
_PAUSE = 1.0  # seconds without trying again, after no room could be made
_LONG_PAUSE = 30.0  # and after the lock could not be had
_NO_LIMIT = 2**63 - 1
_USED = struct.Struct("<q")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A file of the cache.

    Attributes:
        path: Where.
        disk: Bytes that it takes up.
        used_at: When it was last used, seconds since the epoch, within a second.
    """

    path: str
    disk: int
    used_at: float


def scan(objects: str) -> list[Stored]:
    """The files of a cache, as they are now; those of other names are left out."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(objects) as entries:
        for entry in entries:
            if OBJECT_NAME.fullmatch(entry.name) is None:
                continue
            with contextlib.suppress(FileNotFoundError):  # evicted by another process just now
                state = entry.stat(follow_symlinks=False)
                found.append(Stored(entry.path, state.st_blocks * 512, state.st_mtime))
    return found


def victims(stored: Iterable[Stored]) -> list[Stored]:
    """In which order files have to go.

    First, of every object, the generations before the one used last; then those
    used longest ago.
    """
    newest_first = sorted(stored, key=lambda file: -file.used_at)
    kept: set[str] = set()
    stale: list[Stored] = []
    current: list[Stored] = []
    for file in newest_first:
        which = os.path.basename(file.path)[:32]
        (stale if which in kept else current).append(file)
        kept.add(which)
    return [*reversed(stale), *reversed(current)]


def evict(path: str) -> bool:
    """Frees a file's space at once, whoever has it open, unless somebody is using it.

    Returns:
        Whether it is gone.

    Raises:
        OSError: It cannot be removed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        if not lock_within(descriptor, fcntl.LOCK_EX, 0):
            return False
        if os.fstat(descriptor).st_nlink == 0:  # another was faster, and it may exist anew
            return True
        # In this order: killed in between, what is left is a file without a mark.
        os.ftruncate(descriptor, 0)
        os.unlink(path)
        return True
    finally:
        os.close(descriptor)


class Space:
    """Counts the bytes of a cache for all its processes, in a file that they share.

    Space is reserved before it is used. The count can only be too high (a process
    died between the two) except for what others are writing while it is taken
    anew from the files themselves, which happens before anything is evicted.

    Args:
        directory: The cache's.
        limit: Bytes; None: as much as there is.
        found: Finds the cache's files in `objects` below the directory.
        order: Puts them in the order in which they have to go.

    Attributes:
        limit: As given.
    """

    def __init__(
        self,
        directory: str,
        limit: int | None,
        *,
        found: Callable[[str], list[Stored]] = scan,
        order: Callable[[Iterable[Stored]], list[Stored]] = victims,
    ) -> None:
        self.limit = limit
        self._found = found
        self._order = order
        self._objects = os.path.join(directory, "objects")
        self._path = os.path.join(directory, "ledger")
        self._descriptor = -1
        self._mutex = threading.Lock()
        self._closed_until = 0.0

    def reserve(self, count: int) -> bool:
        """Takes `count` bytes, making room where needed.

        Returns:
            Whether they may be written.

        Raises:
            OSError: The ledger cannot be written.
        """
        limit = _NO_LIMIT if self.limit is None else self.limit
        if count > limit or time.monotonic() < self._closed_until:
            return False
        with self._ledger() as ledger:
            if not ledger:
                return self._refuse(_LONG_PAUSE)
            used = self._read()
            if used + count > limit:
                used = self._shrink(limit - count, int(LOW_WATER * limit) - count)
            fits = used + count <= limit
            self._write(used + count if fits else used)
        return fits or self._refuse()

    def make_room(self, count: int) -> bool:
        """Evicts something where the disk is full before the limit is reached.

        Returns:
            Whether at least `count` bytes are free that were not.

        Raises:
            OSError: The ledger cannot be written.
        """
        if time.monotonic() < self._closed_until:
            return False
        with self._ledger() as ledger:
            if not ledger:
                return self._refuse(_LONG_PAUSE)
            before = sum(file.disk for file in self._found(self._objects))
            goal = min(int(LOW_WATER * before), before - count)
            after = self._shrink(goal, goal)
            self._write(after)
        return before - after >= count or self._refuse()

    def recount(self) -> None:
        """Takes the count from the files themselves.

        Raises:
            OSError: The ledger cannot be written.
        """
        with self._ledger() as ledger:
            if ledger:
                self._write(sum(file.disk for file in self._found(self._objects)))

    def open(self) -> None:
        """Makes sure that there is a ledger that can be locked.

        Raises:
            OSError: There cannot be.
        """
        with self._mutex:
            self._open()
            lock_within(self._descriptor, fcntl.LOCK_SH, 0)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the ledger; it is opened again where it is needed."""
        with self._mutex:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def forked(self) -> None:
        """In a child: lets go of what is shared with the parent, whose locks stay."""
        self._mutex = threading.Lock()
        self.close()

    def _refuse(self, pause: float = _PAUSE) -> bool:
        self._closed_until = time.monotonic() + pause
        return False

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[bool]:
        """Holds the ledger's lock; yields whether it could be had in time."""
        if not self._mutex.acquire(timeout=_PATIENCE):
            yield False
            return
        try:
            self._open()
            if not lock_within(self._descriptor, fcntl.LOCK_EX, _PATIENCE):
                yield False
                return
            try:
                yield True
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def _open(self) -> None:
        if self._descriptor >= 0:
            if os.fstat(self._descriptor).st_nlink:
                return
            os.close(self._descriptor)  # somebody removed the directory by hand
            self._descriptor = -1
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o666)

    def _read(self) -> int:
        told = os.pread(self._descriptor, _USED.size, 0)
        if len(told) == _USED.size and (used := int(_USED.unpack(told)[0])) >= 0:
            return used
        return sum(file.disk for file in self._found(self._objects))

    def _write(self, used: int) -> None:
        os.pwrite(self._descriptor, _USED.pack(max(used, 0)), 0)

    def _shrink(self, most: int, goal: int) -> int:
        """Evicts down to `goal` bytes, where there are more than `most`.

        Returns:
            How many there are then.
        """
        stored = self._found(self._objects)
        used = sum(file.disk for file in stored)
        if used <= most:
            return used
        for file in self._order(stored):
            if used <= goal:
                break
            with contextlib.suppress(OSError):  # another user's, say
                if evict(file.path):
                    used -= file.disk
        return used

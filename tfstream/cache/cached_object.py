"""One object of remote storage, as far as it lies on local disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from tfstream.cache.layout import MARK, PAGE, About, Layout, missing_runs
from tfstream.cache.locks import lock_within, try_lock_range, unlock, unlock_range

__all__ = ["CachedObject", "Claim", "Owner"]

_PATIENCE = 1.0  # seconds for an object's lock: others hold it while they make or evict the file
_TOUCH = 1.0  # seconds between two notes that an object is in use
_PAUSE = 1.0  # seconds at least without trying again, after a file could not be opened
_PAUSES = 10  # and so many times as long as the trying took
_TRIES = 20  # to open a file that others evict at the same time
# What says that a file may be read but not written.
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_FULL = {errno.ENOSPC, errno.EDQUOT}

_Result = TypeVar("_Result")


class Owner(Protocol):
    """What an object asks of its cache."""

    objects: str

    def reserve(self, count: int) -> bool:
        """Takes space on disk; whether there is any."""

    def make_room(self, count: int) -> bool:
        """Evicts others, because the disk is full; whether that made room."""

    def refused(self, error: OSError) -> None:
        """Is told that something could not be kept."""

    def opened(self, cached: CachedObject) -> None:
        """Is told of an object whose file is open now."""

    def used(self, cached: CachedObject) -> None:
        """Is told now and then of an object in use."""

    def restore(self) -> None:
        """Makes the directories again that somebody removed."""

    def claims(self) -> int:
        """The file whose locks are claims; -1 where there is none."""


class Claim:
    """The right to fetch some pages, which no other process has; a context manager."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Gives it back; nothing the second time."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


class _Use:
    """What `CachedObject.use` gives; holds nothing itself, so one serves all threads."""

    __slots__ = ("_begin", "_end")

    def __init__(self, begin: Callable[[], int], end: Callable[[], None]) -> None:
        self._begin = begin
        self._end = end

    def __enter__(self) -> int:
        return self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


class CachedObject:
    """The pages of one object; made by `PageCache.object`. Safe to use from many threads.

    Attributes:
        size: Of the object, in bytes.
    """

    def __init__(self, owner: Owner, about: About) -> None:
        self.size = about.size
        self._owner = owner
        self._layout = Layout(about)
        self._path = os.path.join(owner.objects, about.file_name)
        # Where claims of this object are in the file of claims: a byte a page, after 2**31
        # others. Two objects of the same number would merely wait for one another.
        self._claims_begin = int(about.file_name[:8], 16) // 2 << 32
        self._use = _Use(self._begin_use, self._end_use)
        self._reset()

    def _reset(self) -> None:
        self._mutex = threading.Lock()  # guards all that follows
        self._descriptor = -1
        self._writable = False
        self._locked = False
        self._users = 0
        self._touched_at = 0.0
        self._closed_until = 0.0

    def forked(self) -> None:
        """In a child: closes what it shares with its parent, whose lock stays."""
        self._close()
        self._reset()

    def use(self) -> _Use:
        """While the block runs, what is stored stays stored.

        Many threads may be within at once. Yields the descriptor of a file that holds
        the present pages at the object's own offsets; -1 where nothing can be stored,
        and then all pages are missing for as long as somebody is within.
        It is valid within the block, and pages stored within appear in it.
        """
        return self._use

    def missing(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The byte ranges that are not stored, of whole pages (the object's last may be shorter).

        Within `use`, what is not missing stays. Without, it is a hint.

        Args:
            begin: Byte of the object.
            end: The first byte after.
        """
        first, count = self._pages(begin, end)
        offset = self._layout.map_begin + first
        with self._mutex:
            present = _read_map(self._descriptor, count, offset)
        if len(present) < count:  # not open now, or evicted
            with self._use as descriptor:
                present = _read_map(descriptor, count, offset)
            present = present.ljust(count, b"\0")
        if 0 not in present:
            return []
        return missing_runs(present, first, self.size)

    def try_claim(self, begin: int, end: int) -> Claim | None:
        """Takes the right to fetch the pages of a range; does not wait.

        Threads of one process do not exclude one another. What another process fetched
        just before is present now: ask `missing` again after this.

        Returns:
            The claim, which ends when released, or when the process dies;
            None: another process holds a part of it.
        """
        first, count = self._pages(begin, end)
        descriptor = self._owner.claims()
        if descriptor < 0 or not count:
            return Claim(lambda: None)
        place = self._claims_begin + first
        if not try_lock_range(descriptor, place, count):
            return None
        return Claim(lambda: unlock_range(self._owner.claims(), place, count))

    def store(self, begin: int, data: memoryview) -> bool:
        """Keeps pages, if there is room or room can be made.

        Args:
            begin: Byte of the object where a page begins.
            data: Whole pages; the object's last may be shorter.

        Returns:
            Whether they are kept. No fault of the disk is raised.

        Raises:
            ValueError: It is not whole pages of the object.
        """
        data = data.cast("B")
        end = begin + len(data)
        if begin % PAGE or (end % PAGE and end != self.size):
            raise ValueError(f"[{begin}, {end}) is not whole pages of an object of {self.size}.")
        first, count = self._pages(begin, end)
        with self._use as descriptor:
            if descriptor < 0 or not self._writable:
                return False
            # One page more: for the map, which is sparse too.
            if not self._owner.reserve((count + 1) * PAGE):
                return False
            try:
                return self._write(descriptor, begin, data, first, count)
            except OSError as error:
                self._owner.refused(error)
                return False

    def forget(self, begin: int, end: int) -> None:
        """Makes all pages of a range missing: what is in them is not what was stored."""
        first, count = self._pages(begin, end)
        with self._use as descriptor, contextlib.suppress(OSError):
            if descriptor >= 0 and self._writable:
                os.pwrite(descriptor, bytes(count), self._layout.map_begin + first)

    def close_if_idle(self) -> bool:
        """Closes its file, unless it is in use; it is opened again where needed."""
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            if self._users:
                return False
            self._close()
            return True
        finally:
            self._mutex.release()

    def _pages(self, begin: int, end: int) -> tuple[int, int]:
        """The first page of a range of bytes, and how many there are."""
        if not 0 <= begin <= end <= self.size:
            raise ValueError(f"[{begin}, {end}) is no part of an object of {self.size} bytes.")
        first = begin // PAGE
        return first, -(-end // PAGE) - first if end > begin else 0

    def _write(self, descriptor: int, begin: int, data: memoryview, first: int, count: int) -> bool:
        self._making_room(lambda: _write_all(descriptor, data, begin), count + 1)
        # After the data: whoever sees a page marked sees its bytes.
        _write_all(descriptor, memoryview(b"\1" * count), self._layout.map_begin + first)
        return True

    def _begin_use(self) -> int:
        with self._mutex:
            if not self._users:
                self._hold()
            self._users += 1
            return self._descriptor

    def _end_use(self) -> None:
        with self._mutex:
            self._users -= 1
            if not self._users and self._locked:
                self._locked = False
                unlock(self._descriptor)

    def _hold(self) -> None:
        """Takes the lock that forbids eviction, on a file that is whole."""
        now = time.monotonic()
        if self._descriptor >= 0:
            if not lock_within(self._descriptor, fcntl.LOCK_SH, _PATIENCE):
                self._give_up(now)
                return
            if _read_map(self._descriptor, len(MARK), self._layout.mark_begin) == MARK and (
                now < self._touched_at + _TOUCH or self._touch(now)
            ):
                self._locked = True
                return
            self._close()  # evicted, or removed by hand
        if now < self._closed_until:
            return
        try:
            self._locked = self._making_room(self._open, 2)
        except OSError as error:
            self._owner.refused(error)
        if self._locked:
            self._owner.opened(self)
        else:
            self._give_up(now)

    def _give_up(self, begun: float) -> None:
        self._close()
        now = time.monotonic()
        self._closed_until = now + max(_PAUSE, _PAUSES * (now - begun))

    def _making_room(self, action: Callable[[], _Result], pages: int) -> _Result:
        """Does what fails where the disk is full before the limit is reached."""
        try:
            return action()
        except OSError as error:
            if error.errno not in _FULL or not self._owner.make_room(pages * PAGE):
                raise
        return action()

    def _touch(self, now: float) -> bool:
        """Notes that it is in use; whether its file still has its name."""
        self._touched_at = now
        self._owner.used(self)
        with contextlib.suppress(OSError):  # not ours, or read-only
            os.utime(self._descriptor)
        return os.fstat(self._descriptor).st_nlink > 0

    def _open(self) -> bool:
        """Opens or makes the file, and locks it; whether it is whole."""
        for _ in range(_TRIES):
            self._close()
            if not self._open_file() or not lock_within(self._descriptor, fcntl.LOCK_SH, _PATIENCE):
                return False
            state = os.fstat(self._descriptor)
            if not state.st_nlink:
                continue
            if self._whole():
                return True
            if not self._writable or not self._make():
                return False
        return False

    def _open_file(self) -> bool:
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        for again in (False, True):
            try:
                self._descriptor = os.open(self._path, flags | os.O_RDWR | os.O_CREAT, 0o666)
                self._writable = True
                return True
            except FileNotFoundError:
                if again:
                    raise
                self._owner.restore()
            except OSError as error:
                if error.errno not in _READ_ONLY:
                    raise
                self._owner.refused(error)
                self._writable = False
                with contextlib.suppress(FileNotFoundError):
                    self._descriptor = os.open(self._path, flags | os.O_RDONLY)
                return self._descriptor >= 0
        return False

    def _whole(self) -> bool:
        layout = self._layout
        footer = os.pread(self._descriptor, len(layout.footer) + 1, layout.footer_begin)
        return footer == layout.footer

    def _make(self) -> bool:
        """Makes the file anew, with no pages in it, unless another is doing so.

        Returns:
            Whether to look at it again.
        """
        unlock(self._descriptor)
        if not lock_within(self._descriptor, fcntl.LOCK_EX, _PATIENCE):
            return False
        if not os.fstat(self._descriptor).st_nlink or self._whole():
            return True
        if not self._owner.reserve(2 * PAGE):
            return False
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, self._layout.footer_begin)
        # Last: a file without its end is made anew.
        _write_all(self._descriptor, memoryview(self._layout.footer), self._layout.footer_begin)
        return True

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        self._locked = False
        if descriptor >= 0:
            os.close(descriptor)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


def _read_map(descriptor: int, count: int, offset: int) -> bytes:
    """Bytes of a page map or mark; none where it is not open, or the disk cannot read it."""
    try:
        return os.pread(descriptor, count, offset) if descriptor >= 0 else b""
    except OSError:
        return b""

"""Locks between processes, on files: all of them go when their process does."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

__all__ = ["lock_within", "try_lock_range", "unlock", "unlock_range"]

# Locks that belong to an open file, not to a process; Python 3.10 has no name for it.
_F_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", 37)
_RANGE = struct.Struct("@hhqqi4x")  # struct flock
_SHORTEST_PAUSE = 50e-6  # seconds
_LONGEST_PAUSE = 5e-3


def lock_within(descriptor: int, operation: int, seconds: float) -> bool:
    """Takes the lock of a whole file.

    A process that was stopped may hold a lock for ever, so nobody waits for ever.

    Args:
        descriptor: Of the file.
        operation: `fcntl.LOCK_SH` or `fcntl.LOCK_EX`.
        seconds: How long to try at most; 0: once.

    Returns:
        Whether it was taken.

    Raises:
        OSError: The file system has no such locks.
    """
    end = None
    pause = _SHORTEST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            now = time.monotonic()
            end = now + seconds if end is None else end
            if now >= end:
                return False
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def unlock(descriptor: int) -> None:
    """Gives the lock of a whole file back."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def try_lock_range(descriptor: int, begin: int, count: int) -> bool:
    """Takes a part of a file for this open file alone; does not wait.

    Where the file system has no such locks, it succeeds.

    Returns:
        Whether nobody else holds some of it.
    """
    try:
        fcntl.fcntl(descriptor, _F_OFD_SETLK, _packed(fcntl.F_WRLCK, begin, count))
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def unlock_range(descriptor: int, begin: int, count: int) -> None:
    """Gives a part of a file back."""
    try:
        fcntl.fcntl(descriptor, _F_OFD_SETLK, _packed(fcntl.F_UNLCK, begin, count))
    except OSError as error:
        if error.errno == errno.EBADF:
            raise


def _packed(kind: int, begin: int, count: int) -> bytes:
    return _RANGE.pack(kind, os.SEEK_SET, begin, count, 0)

"""Reading whole files from local disk, through as few system calls as will do."""

from __future__ import annotations

import os

from tfstream.errors import StorageError

__all__ = ["read_descriptor", "read_file"]


def read_file(path: str) -> bytes:
    """The bytes of a file; it does not wait for one that is a pipe.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return read_descriptor(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def read_descriptor(descriptor: int, size: int) -> bytes:
    """The first `size` bytes of an open file, or fewer where it ends before."""
    data = os.pread(descriptor, size, 0)
    while len(data) < size:  # a signal or a network file system may cut a read short
        more = os.pread(descriptor, size - len(data), len(data))
        if not more:
            break
        data += more
    return data

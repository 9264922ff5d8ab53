"""What is in a cache, and taking things out of it while others use it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

from tfstream.cache.directory import OBJECTS
from tfstream.cache.layout import PAGE, About, Layout, read_about
from tfstream.cache.space import Space, Stored, evict, scan

__all__ = ["Cleared", "Entry", "clear", "entries"]

_CHUNK = 1 << 20  # bytes of a map read at once


@dataclasses.dataclass(frozen=True)
class Entry:
    """One object of a cache.

    Attributes:
        about: Which one; None: its file is not whole, and will be made anew or evicted.
        cached: Bytes of it that are there.
        disk: Bytes that its file takes up.
        used_at: When it was last used, seconds since the epoch.
        path: Of its file.
    """

    about: About | None
    cached: int
    disk: int
    used_at: float
    path: str


@dataclasses.dataclass(frozen=True)
class Cleared:
    """What a clearing did.

    Attributes:
        objects: How many were removed.
        disk: Bytes that this freed.
        in_use: How many were left, because a process is reading them.
    """

    objects: int
    disk: int
    in_use: int


def entries(directory: str | os.PathLike[str]) -> Iterator[Entry]:
    """The objects of a cache, as they are now.

    Args:
        directory: The cache's.
    """
    for stored in scan(os.path.join(directory, OBJECTS)):
        with contextlib.suppress(FileNotFoundError):  # evicted meanwhile
            yield _entry(stored)


def clear(
    directory: str | os.PathLike[str], *, chosen: Callable[[Entry], bool] = lambda entry: True
) -> Cleared:
    """Removes objects that nobody is using; the others stay.

    Args:
        directory: The cache's.
        chosen: Which of them.

    Raises:
        OSError: The cache cannot be written.
    """
    objects = disk = in_use = 0
    for entry in entries(directory):
        if not chosen(entry):
            continue
        if evict(entry.path):
            objects += 1
            disk += entry.disk
        else:
            in_use += 1
    space = Space(os.fspath(directory), None)
    try:
        space.recount()
    finally:
        space.close()
    return Cleared(objects, disk, in_use)


def _entry(stored: Stored) -> Entry:
    descriptor = os.open(stored.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        about = read_about(descriptor)
        cached = 0 if about is None else _cached(descriptor, Layout(about))
    finally:
        os.close(descriptor)
    return Entry(about, cached, stored.disk, stored.used_at, stored.path)


def _cached(descriptor: int, layout: Layout) -> int:
    """Bytes of the pages that are present."""
    pages = 0
    present = b""
    for begin in range(layout.map_begin, layout.footer_begin, _CHUNK):
        present = os.pread(descriptor, min(_CHUNK, layout.footer_begin - begin), begin)
        pages += len(present) - present.count(0)
    if present.endswith(b"\1") and layout.size % PAGE:  # the last is shorter
        return (pages - 1) * PAGE + layout.size % PAGE
    return pages * PAGE

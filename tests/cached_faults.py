"""A page cache on disks with faults: run in a mount namespace by tests/cache/test_disk.py.

`python cached_faults.py FAULT DIRECTORY`: DIRECTORY is a tmpfs of 8 MiB, or a plain directory.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import BinaryIO

import cached
import pytest
from cached import SIZE, check, fill

from tfstream.cache import PAGE, PageCache
from tfstream.cache.space import evict
from tfstream.errors import CacheError

SAID: list[str] = []


def _note(message: object, *_: object, **__: object) -> None:
    SAID.append(str(message))


def _fill_up(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):
        while True:
            file.write(bytes(PAGE))


def full(directory: Path) -> None:
    """The disk is smaller than the limit: what was used longest ago makes room."""
    cache = PageCache(directory / "cache", 1 << 30)
    for number in range(20):
        assert fill(cached.cached(cache, number), number)
        assert check(cached.cached(cache, number), number, 0, SIZE) == SIZE
        os.utime(cached.cached(cache, number)._path)
    for number in range(40, 43):  # there is not even room for an empty object
        with open(directory / f"hog{number}", "wb", buffering=0) as file:
            _fill_up(file)
        assert fill(cached.cached(cache, number), number, 0, PAGE)
    assert not SAID
    for number in range(40, 43):
        (directory / f"hog{number}").unlink()
    # Now others fill it, and what is left is in use.
    assert fill(cached.cached(cache, 30), 30, 0, 50 * PAGE)
    with cached.cached(cache, 30).use():
        for path in (directory / "cache" / "objects").iterdir():
            if str(path) != cached.cached(cache, 30)._path:
                assert evict(str(path))
        hog = directory / "hog"
        with open(hog, "wb", buffering=0) as file:
            _fill_up(file)
        begun = time.thread_time()
        for _ in range(100):
            assert not fill(cached.cached(cache, 30), 30, 50 * PAGE)
            assert not fill(cached.cached(cache, 31), 31)
        assert time.thread_time() - begun < 1
        assert check(cached.cached(cache, 30), 30, 0, SIZE) == 50 * PAGE
        cache.publish({"cache_hits": 1})
        assert len(SAID) == 1, SAID
        assert "No space left on device" in SAID[0]
        PageCache(directory / "cache" / "deeper", 1 << 30)
        hog.unlink()
        cache._space._closed_until = 0.0
        assert fill(cached.cached(cache, 30), 30)
        assert check(cached.cached(cache, 30), 30, 0, SIZE) == SIZE


def no_large_files(directory: Path) -> None:
    """Files may not grow beyond 64 KiB."""
    cache = PageCache(directory / "cache")
    early = cached.cached(cache, 0)
    assert fill(early, 0, 0, 4 * PAGE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
    assert not fill(early, 0, 20 * PAGE)
    assert not fill(cached.cached(cache, 1), 1, 0, 4 * PAGE)
    assert check(early, 0, 0, SIZE) == 4 * PAGE
    assert len(SAID) == 1, SAID
    assert "File too large" in SAID[0]


def read_only(directory: Path) -> None:
    """What is stored is read, nothing is added, and it is said once."""
    cache = PageCache(directory / "cache", 1 << 30)
    fill(cached.cached(cache, 0), 0)
    cache.close()  # no disk becomes read-only under files open for writing
    subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
    for turn in range(2):
        each = cache if turn == 0 else PageCache(directory / "cache", 1 << 30)
        target = cached.cached(each, 0)
        assert check(target, 0, 0, SIZE) == SIZE
        assert not fill(cached.cached(each, 1), 1)
        assert cached.cached(each, 1).missing(0, SIZE) == [(0, SIZE)]
        target.forget(0, PAGE)
        fill(target, 0)
        assert target.try_claim(0, PAGE) is not None
        each.publish({"cache_hits": 1})
        assert len(SAID) == turn + 1, SAID
        assert "Read-only file system" in SAID[-1]
    with pytest.raises(CacheError, match="cannot be made: Read-only file system"):
        PageCache(directory / "other")


def others_readable(directory: Path) -> None:
    """Another user's cache that this one may read."""
    cache = PageCache(directory, 1 << 30)
    assert check(cached.cached(cache, 0), 0, 0, SIZE) == SIZE
    assert not fill(cached.cached(cache, 1), 1)
    assert cached.cached(cache, 0).try_claim(0, PAGE) is not None
    assert len(SAID) == 1, SAID
    assert "cannot be written (Permission denied)" in SAID[0]


def others(directory: Path) -> None:
    """Another user's cache that this one may not even read."""
    words = f"directory {directory}, which belongs to user .*: Permission denied"
    with pytest.raises(CacheError, match=words):
        PageCache(directory)


if __name__ == "__main__":
    warnings.warn = _note  # type: ignore[assignment]
    {
        "full": full,
        "no_large_files": no_large_files,
        "read_only": read_only,
        "others_readable": others_readable,
        "others": others,
    }[sys.argv[1]](Path(sys.argv[2]))

"""Objects whose every page says where it belongs, for the tests of the page cache.

Run as a program, a process that uses a cache: `python cached.py ACTION DIRECTORY ...`.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

from tfstream.cache import PAGE, CachedObject, PageCache
from tfstream.storage.directory import ObjectInfo

OBJECTS = 12
SIZE = 300 * PAGE + 123
LAST_STEPS = 300


def info(number: int, size: int = SIZE, generation: str = "1") -> ObjectInfo:
    return ObjectInfo(f"shards/{number}.tfrecord", size, generation)


def cached(cache: PageCache, number: int, size: int = SIZE, generation: str = "1") -> CachedObject:
    told = info(number, size, generation)
    return cache.object(f"gs://bucket/det/{told.name}", told)


def content(number: int, begin: int, end: int) -> bytes:
    """The bytes of an object; no two pages of any objects are alike, and none is of zeros."""
    first, last = begin // PAGE, -(-end // PAGE)
    pages = b"".join(
        (number << 32 | page | 1 << 62).to_bytes(8, "little") * (PAGE // 8)
        for page in range(first, last)
    )
    return pages[begin - first * PAGE : end - first * PAGE]


def fill(target: CachedObject, number: int, begin: int = 0, end: int | None = None) -> bool:
    end = target.size if end is None else end
    return target.store(begin, memoryview(content(number, begin, end)))


def disk_use(directory: Path) -> int:
    """Bytes that the objects of a cache take up."""
    total = 0
    for path in (directory / "objects").iterdir():
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def check(target: CachedObject, number: int, begin: int, end: int) -> int:
    """Compares what is stored with what it should be; the number of bytes that were there."""
    found = 0
    with target.use() as descriptor:
        holes = [*target.missing(begin, end), (end, end)]
        at = begin
        for hole_begin, hole_end in holes:
            stop = max(hole_begin, at)
            if stop > at:
                got = os.pread(descriptor, stop - at, at)
                if got != content(number, at, stop):
                    raise AssertionError(f"wrong bytes in object {number}, [{at}, {stop})")
                found += stop - at
            at = max(hole_end, at)
    return found


def train(directory: str, limit: str, seed: str) -> None:
    """Trains until a line comes in, and for some more steps: with locks that the dead had."""
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    train_until(told, directory, int(limit), int(seed))


def train_until(told: threading.Event, directory: str, limit: int, seed: int) -> None:
    """Reads parts of objects as a stream would, checking each byte; some steps after the event."""
    rng = random.Random(seed)
    cache = PageCache(directory, limit)
    steps = kept = hits = 0
    left = LAST_STEPS
    while left:
        left -= told.is_set()
        number = rng.randrange(OBJECTS)
        target = cached(cache, number)
        begin = rng.randrange(target.size)
        end = min(begin + rng.randrange(1, 60 * PAGE), target.size)
        with target.use():
            for low, high in target.missing(begin, end):
                claim = target.try_claim(low, high)
                if claim is None:
                    continue
                with claim:
                    kept += fill(target, number, low, high)
            hits += check(target, number, begin, end)
        if rng.random() < 0.02:
            target.forget(begin, end)
        steps += 1
        cache.publish({"cache_hits": hits, "cache_misses": kept})
        if steps % 10 == 1:
            print(steps, flush=True)
    print(f"done {steps} {kept} {hits}", flush=True)


def hold(directory: str, limit: str, number: str) -> None:
    """Uses an object until a line comes in; claims all of it too."""
    cache = PageCache(directory, int(limit))
    target = cached(cache, int(number))
    with target.use():
        claim = target.try_claim(0, target.size)
        cache.publish({"cache_hits": 3, "cache_misses": 1, "bytes_fetched": 1000})
        print("holding", claim is not None, flush=True)
        sys.stdin.readline()
    print("done", flush=True)


if __name__ == "__main__":
    {"train": train, "hold": hold}[sys.argv[1]](*sys.argv[2:])

"""Tests of tfstream/cache/streams.py: what processes tell of themselves."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tfstream.cache import PageCache
from tfstream.cache.streams import running

Start = Callable[..., "subprocess.Popen[str]"]


def test_a_process_tells_its_counters_and_seldom(cache: PageCache) -> None:
    cache.publish({"cache_hits": 1, "cache_misses": 3})
    cache.publish({"cache_hits": 2})
    (told,) = running(cache.directory)
    assert (told.pid, told.limit, told.hit_rate) == (os.getpid(), 1 << 30, 0.25)
    assert told.counters == {"cache_hits": 1, "cache_misses": 3}
    cache._publisher._next = 0.0  # as if two seconds had passed
    cache.publish({})
    (told,) = running(cache.directory)
    assert (told.counters, told.hit_rate) == ({}, None)
    cache.close()
    assert running(cache.directory) == []


def test_publishing_is_cheap(cache: PageCache) -> None:
    counters = {"cache_hits": 1.0}
    begin = time.thread_time()
    for _ in range(10_000):
        cache.publish(counters)
    assert time.thread_time() - begin < 0.2


def test_the_file_of_a_dead_process_is_removed_by_who_looks(
    cache: PageCache, tmp_path: Path, start: Start
) -> None:
    process = start("hold", cache.directory, 1 << 30, 1)
    process.stdout.readline()
    assert [told.pid for told in running(cache.directory)] == [process.pid]
    process.kill()
    process.wait(120)
    assert running(cache.directory) == []
    (left,) = (tmp_path / "cache" / "streams").iterdir()
    then = time.time() - 60  # so that it is not one that is being made
    os.utime(left, (then, then))
    assert running(cache.directory) == []
    assert not left.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"counters": 1}', '{"pid": "x"}', "\0" * 8192])
def test_nonsense_is_no_report(cache: PageCache, text: str) -> None:
    cache.publish({"cache_hits": 1})
    (path,) = Path(cache.directory, "streams").iterdir()
    path.write_text(text)
    assert running(cache.directory) == []


def test_other_files_are_left_alone(cache: PageCache) -> None:
    mine = Path(cache.directory, "streams", "mine.json")
    mine.write_text(json.dumps({"pid": 1}))
    os.utime(mine, (0, 0))
    assert running(cache.directory) == []
    assert mine.exists()

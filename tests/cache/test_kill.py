"""Processes that use a cache are killed at random moments; the others go on, and right."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cached
from cached import OBJECTS, SIZE

from tfstream.cache import PageCache
from tfstream.cache.space import Space

Start = Callable[..., "subprocess.Popen[str]"]


def test_killed_processes_leave_no_lock_no_wrong_byte_and_no_drift(
    tmp_path: Path, start: Start
) -> None:
    limit = 5 * SIZE
    rng = random.Random(3)
    survivors = [start("train", tmp_path, limit, 12, seed) for seed in range(2)]
    for survivor in survivors:
        survivor.stdout.readline()
    begun = time.monotonic()
    killed = 0
    while time.monotonic() - begun < 9:
        victim = start("train", tmp_path, limit, 60, 100 + killed)
        victim.stdout.readline()  # it has stored something
        time.sleep(rng.random() * 0.2)
        victim.kill()
        victim.wait(20)
        killed += 1
    assert killed >= 5
    outputs = [survivor.communicate(timeout=60)[0].splitlines()[-1] for survivor in survivors]
    assert [survivor.returncode for survivor in survivors] == [0, 0]
    assert all(int(output.split()[1]) > 500 for output in outputs), "none of them got stuck"

    cache = PageCache(tmp_path, limit)
    for number in range(OBJECTS):
        target = cached.cached(cache, number)
        cached.check(target, number, 0, SIZE)
        with target.try_claim(0, SIZE) as claim:
            assert claim is not None
    assert cached.disk_use(tmp_path) <= limit + 3 * 62 * 4096
    space = Space(str(tmp_path), limit)
    space.recount()
    for number in range(OBJECTS):
        assert cached.fill(cached.cached(cache, number), number)
        assert cached.disk_use(tmp_path) <= limit
    # All that died are told apart from those that live.
    assert len(list((tmp_path / "streams").iterdir())) <= 1 + killed


def test_a_stopped_process_does_not_stop_the_others(tmp_path: Path, start: Start) -> None:
    holder = start("hold", tmp_path, 3 * SIZE, 0)
    assert holder.stdout.readline() == "holding True\n"
    subprocess.run(["kill", "-STOP", str(holder.pid)], check=True)
    cache = PageCache(tmp_path, 3 * SIZE)
    for number in range(1, 6):
        assert cached.fill(cached.cached(cache, number), number)
    assert cached.cached(cache, 0).try_claim(0, SIZE) is None
    subprocess.run(["kill", "-CONT", str(holder.pid)], check=True)
    assert holder.communicate("\n", timeout=20)[0] == "done\n"

"""Processes that use a cache are killed at random moments; the others go on, and right."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cached
import pytest
from cached import OBJECTS, SIZE

from tfstream.cache import PAGE, PageCache, streams
from tfstream.cache.space import Space

VICTIMS = 4

Start = Callable[..., "subprocess.Popen[str]"]


def test_killed_processes_leave_no_lock_no_wrong_byte_and_no_drift(
    tmp_path: Path, start: Start
) -> None:
    limit = 5 * SIZE
    rng = random.Random(3)
    survivors = [start("train", tmp_path, limit, seed) for seed in range(2)]
    for survivor in survivors:
        survivor.stdout.readline()
    for number in range(VICTIMS):
        victim = start("train", tmp_path, limit, 100 + number)
        victim.stdout.readline()  # it has stored something
        time.sleep(rng.random() * 0.2)
        victim.kill()
        victim.wait(120)
    outputs = [survivor.communicate("\n", timeout=120)[0] for survivor in survivors]
    assert [survivor.returncode for survivor in survivors] == [0, 0]
    assert all(output.splitlines()[-1].startswith("done ") for output in outputs)

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
    # All that died are told apart from those that live; what they told of themselves is removed.
    told = list((tmp_path / "streams").iterdir())
    assert told
    for each in told:
        os.utime(each, (0, 0))  # one that is new may be about to be locked
    assert streams.running(str(tmp_path)) == []
    assert not list((tmp_path / "streams").iterdir())


def test_a_stopped_process_does_not_stop_the_others(tmp_path: Path, start: Start) -> None:
    holder = start("hold", tmp_path, 3 * SIZE, 0)
    assert holder.stdout.readline() == "holding True\n"
    subprocess.run(["kill", "-STOP", str(holder.pid)], check=True)
    cache = PageCache(tmp_path, 3 * SIZE)
    for number in range(1, 6):
        assert cached.fill(cached.cached(cache, number), number)
    assert cached.cached(cache, 0).try_claim(0, SIZE) is None
    subprocess.run(["kill", "-CONT", str(holder.pid)], check=True)
    assert holder.communicate("\n", timeout=120)[0] == "done\n"


_CALLS = ("open", "ftruncate", "pwrite", "unlink", "utime", "close")


def _die_at(call: int, directory: Path, limit: int) -> bool:
    """Stores and evicts in a child that dies at its `call`-th system call; whether it did."""
    child = os.fork()
    if child == 0:
        left = call

        def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments)

            return called

        for name in _CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        fcntl.flock = deadly(fcntl.flock)
        try:
            cache = PageCache(directory, limit)
            for number in (1, 2):
                target = cached.cached(cache, number)
                with target.use(), target.try_claim(0, SIZE):
                    cached.fill(target, number)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_process_may_die_at_any_step(tmp_path: Path) -> None:
    limit = int(2.5 * SIZE)  # the second object of the child drives one out
    for call in range(200):
        directory = tmp_path / str(call)
        cache = PageCache(directory, limit)
        for number in (0, 3):
            assert cached.fill(cached.cached(cache, number), number)
        died = _die_at(call, directory, limit)
        for number in range(4):
            target = cached.cached(cache, number)
            cached.check(target, number, 0, SIZE)
            assert target.try_claim(0, SIZE) is not None
        assert cached.disk_use(directory) <= limit
        for number in range(4):
            assert cached.fill(cached.cached(cache, number), number)
            assert cached.check(cached.cached(cache, number), number, 0, SIZE) == SIZE
            assert cached.disk_use(directory) <= limit
        cache.close()
        shutil.rmtree(directory)
        if not died:
            break
    assert 30 < call < 199, "every step of the child was its last one once"


@pytest.mark.parametrize("what", ["ledger", "object"])
def test_a_lock_that_is_never_given_back_costs_the_cache_and_not_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("tfstream.cache.space._PATIENCE", 0.2)
    monkeypatch.setattr("tfstream.cache.cached_object._PATIENCE", 0.2)
    cache = PageCache(tmp_path, 5 * SIZE)
    target = cached.cached(cache, 0)
    cached.fill(target, 0, 0, 8 * PAGE)
    path = {"ledger": tmp_path / "ledger", "object": Path(target._path)}[what]
    with open(path, "rb") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        begun = time.monotonic()
        for _ in range(200):
            assert not cached.fill(target, 0, 8 * PAGE, 16 * PAGE)
            with target.use() as descriptor:
                assert (descriptor < 0) == (what == "object")
        assert time.monotonic() - begun < 20, "it is not waited for each time"
        assert cached.check(target, 0, 0, SIZE) == (0 if what == "object" else 8 * PAGE)

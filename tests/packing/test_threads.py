"""Threads: in order, at once, given up when nobody waits; and who packs what."""

import threading
import time

import pool_tasks
import pytest
import trees

from tfstream.errors import StorageError
from tfstream.packing import pool
from tfstream.packing.packer import pack
from tfstream.packing.threads import Threads


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count):
    told = []
    with Threads(count) as threads:
        results = list(threads.map(pool_tasks.double, iter(range(20)), lambda *n: told.append(n)))
    assert results == [2 * n for n in range(20)]
    assert sum(count for _, count in told) == sum(range(20))


def test_tasks_are_done_at_once_and_results_come_as_they_are_done():
    both = threading.Barrier(2)

    def meet(task, report):
        both.wait(timeout=60)
        return task

    with Threads(2) as threads:
        assert sorted(threads.as_done(meet, range(6), lambda *_: None)) == list(range(6))


def test_an_error_in_a_thread_is_raised_here():
    with Threads(2) as threads, pytest.raises(StorageError, match="no such luck"):
        list(threads.map(pool_tasks.fail, range(6), lambda *_: None))


def test_a_task_is_given_up_when_nobody_waits_for_it():
    given_up = []
    begun = threading.Event()

    def endless_second(task, report):
        end = time.monotonic() + 60
        begun.set() if task else begun.wait(60)
        while task and time.monotonic() < end:
            try:
                report(1, 0)
            except Exception:
                given_up.append(task)
                raise
            time.sleep(0.001)

    with Threads(2) as threads:
        next(threads.map(endless_second, range(2), lambda *_: None))
    assert given_up == [1]


def _no_process(*_):
    raise RuntimeError("a process was started")


def test_plain_images_are_packed_without_starting_processes(tmp_path, monkeypatch):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=300, val=10)
    monkeypatch.setattr(pool, "_Worker", _no_process)
    result = pack(root, tmp_path / "out", processes=2, shard_bytes="50kB", progress=False)
    assert (result.total, result.shards > 2) == (310, True)


def test_what_python_has_to_read_is_packed_by_processes(tmp_path, monkeypatch):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=300, val=10)
    monkeypatch.setattr(pool, "_Worker", _no_process)
    with pytest.raises(RuntimeError, match="a process was started"):
        pack(root, tmp_path / "out", processes=2, max_side=20, progress=False)

"""Workers: in order, at once, and gone when they are no longer wanted."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pool_tasks
import pytest

from tfstream.errors import PackError, StorageError
from tfstream.packing.pool import Pool


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(processes):
    told = []
    with Pool(processes) as pool:
        results = list(pool.map(pool_tasks.double, iter(range(20)), lambda *n: told.append(n)))
    assert results == [2 * n for n in range(20)]
    assert sum(images for images, _ in told) == 20
    assert sum(count for _, count in told) == sum(range(20))


@pytest.mark.parametrize("way", ["map", "as_done"])
def test_tasks_and_results_may_be_larger_than_what_fits_between_processes(way):
    tasks = [bytes([number]) * 3_000_000 for number in range(12)]
    with Pool(2) as pool:
        results = list(getattr(pool, way)(pool_tasks.echo, tasks, lambda *_: None))
    assert sorted(results) == tasks


def test_a_slow_task_holds_up_no_other_and_not_the_order():
    with Pool(2) as pool:
        results = list(pool.map(pool_tasks.slow_first, range(6), lambda *_: None))
    assert [task for task, _ in results] == list(range(6))
    assert len({pid for _, pid in results}) == 2
    assert os.getpid() not in {pid for _, pid in results}


def test_results_come_as_they_are_done_where_their_order_does_not_matter():
    with Pool(2) as pool:
        results = list(pool.as_done(pool_tasks.slow_first, range(6), lambda *_: None))
    assert sorted(task for task, _ in results) == list(range(6))
    assert results[-1][0] == 0  # the slow one


def test_while_a_result_is_looked_at_a_worker_does_one_more_task_and_no_second(tmp_path):
    tasks = [tmp_path / str(number) for number in range(20)]
    with Pool(2) as pool:
        for done, _ in enumerate(pool.as_done(pool_tasks.touch, tasks, lambda *_: None), 1):
            time.sleep(0.05)
            assert len(list(tmp_path.iterdir())) <= done + 2
    assert done == 20


@pytest.mark.parametrize("count", [0, 1])
def test_for_a_single_task_no_process_is_started(count):
    with Pool(2) as pool:
        results = list(pool.map(pool_tasks.slow_first, range(count), lambda *_: None))
    assert [pid for _, pid in results] == [os.getpid()] * count


def test_a_worker_that_dies_is_reported():
    with Pool(2) as pool, pytest.raises(PackError, match="SIGKILL.*the same command again"):
        list(pool.map(pool_tasks.die, range(6), lambda *_: None))


def test_an_error_in_a_worker_is_raised_here():
    with Pool(2) as pool, pytest.raises(StorageError, match="no such luck") as caught:
        list(pool.map(pool_tasks.fail, range(6), lambda *_: None))
    assert caught.value.errno == 5


def test_a_fault_in_a_worker_is_told_with_its_traceback():
    with Pool(2) as pool, pytest.raises(PackError, match=r"pool_tasks\.py[\s\S]*ZeroDivisionError"):
        list(pool.map(pool_tasks.break_down, range(6), lambda *_: None))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import sys, pathlib, pool_tasks\n"
        "from tfstream.packing.pool import Pool\n"
        f"path = pathlib.Path({str(tmp_path / 'pid')!r})\n"
        "with Pool(2) as pool:\n"
        "    list(pool.map(pool_tasks.wait_for, [(path, 0), (path, 1)], print))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    pids = []
    for number in (0, 1):
        path = tmp_path / f"pid{number}"
        while not (path.exists() and path.read_text()):
            time.sleep(0.01)
        pids.append(int(path.read_text()))
    assert all(map(is_running, pids))
    parent.kill()
    parent.wait()
    patience = time.monotonic() + 60
    while any(map(is_running, pids)) and time.monotonic() < patience:
        time.sleep(0.01)
    assert not any(map(is_running, pids))

"""What workers do in the tests of the pool; found by name, as a worker finds its tasks."""

from __future__ import annotations

import os
import signal
import time

from tfstream.errors import StorageError


def double(task, report):
    report(1, task)
    return 2 * task


def slow_first(task, report):
    time.sleep(0.3 if task == 0 else 0)
    return task, os.getpid()


def touch(task, report):
    task.touch()


def die(task, report):
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def fail(task, report):
    if task == 3:
        raise StorageError(5, "no such luck")
    return task


def break_down(task, report):
    return 1 // (3 - task)


def wait_for(task, report):
    path, number = task
    path.with_name(f"{path.name}{number}").write_text(str(os.getpid()))
    time.sleep(60)


def echo(task, report):
    return task

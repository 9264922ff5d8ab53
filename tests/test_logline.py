"""Tests of tfstream/fetch/logline.py."""

from __future__ import annotations

import itertools
import logging
import math
import subprocess
import sys
import time

import pytest

from tfstream import logline
from tfstream.errors import InvalidArgumentError


def wait_for(records: list[logging.LogRecord], count: int) -> list[str]:
    end = time.monotonic() + 60
    while len(records) < count and time.monotonic() < end:
        time.sleep(0.005)
    return [record.getMessage() for record in records]


def test_a_line_comes_each_interval_until_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    numbers = itertools.count(1)
    lines = logline.start(lambda: {"samples": 1000 * next(numbers)}, every=0.02)
    messages = wait_for(caplog.records, 3)
    lines.stop()
    assert all("samples/s" in message for message in messages)
    assert {(record.name, record.levelname) for record in caplog.records} == {("tfstream", "INFO")}
    time.sleep(0.05)
    count = len(caplog.records)
    time.sleep(0.1)
    assert len(caplog.records) == count


def test_when_nothing_happens_any_more_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    numbers = itertools.chain([0, 500], itertools.repeat(1000))
    seconds = itertools.count()
    lines = logline.start(lambda: {"samples": next(numbers), "seconds": next(seconds)}, every=0.01)
    wait_for(caplog.records, 3)
    time.sleep(0.2)
    lines.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert messages[-1] == "0 samples/s"


def test_the_lines_end_with_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    readings = iter([{"samples": 0}, {"samples": 9}, None])
    lines = logline.start(lambda: next(readings), every=0.01)
    assert len(wait_for(caplog.records, 1)) == 1
    time.sleep(0.05)
    assert len(caplog.records) == 1
    lines.stop()


@pytest.mark.parametrize("every", [0, -1, math.nan])
def test_an_interval_of_no_sense_is_refused(every: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"positive interval in seconds \(got"):
        logline.start(dict, every=every)


def test_a_program_without_logging_sees_the_lines_on_standard_error_and_ends() -> None:
    program = (
        "import itertools, sys, time\n"
        "from tfstream import logline\n"
        "n = itertools.count()\n"
        "logline.start(lambda: {'samples': next(n)}, every=0.05)\n"
        "time.sleep(0.4)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(entry for entry in sys.path if entry)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "tfstream: 20 samples/s" in done.stderr or "samples/s" in done.stderr

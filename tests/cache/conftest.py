"""Processes that use a page cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cached
import pytest

from tfstream.cache import PageCache


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[PageCache]:
    made = PageCache(tmp_path / "cache", 1 << 30)
    yield made
    made.close()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `python tests/cached.py` with the arguments given; ends it with the test."""
    running = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                [sys.executable, cached.__file__, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()

"""Running the command line within the test's own process."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

import pytest

from tfstream.cli import app


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run left: its exit status and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def tfstream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Calls `tfstream` with the arguments given."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["tfstream", *map(str, arguments)])
        status = 0
        try:
            app.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Result(status, *capsys.readouterr())

    return run

"""The memory of a process and of all that it starts, while it runs."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

__all__ = ["peak_while_running"]

_SECONDS = 0.25


def peak_while_running(process: subprocess.Popen[bytes], limit: float) -> int:
    """Waits for a process; gives the most bytes that it and its children held together.

    Pages that several of them share count once (proportional set size), those of the page cache
    that nobody maps not at all.

    Raises:
        subprocess.TimeoutExpired: It took longer than `limit` seconds; it is killed then.
    """
    peak = 0
    begun = time.monotonic()
    while process.poll() is None:
        peak = max(peak, sum(map(_held, _family(process.pid))))
        if time.monotonic() - begun > limit:
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(process.args, limit)
        time.sleep(_SECONDS)
    return peak


def _family(pid: int) -> list[int]:
    """A process, its children, and theirs."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    waiting += map(int, (task / "children").read_text().split())
    return found


def _held(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0

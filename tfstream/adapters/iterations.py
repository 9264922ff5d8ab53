"""Which iteration of a dataset is which epoch, over all processes that share in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing.context
import os
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

__all__ = ["Iterations"]

_KEPT = 64  # newest iterations: workers that join one have begun about when its first one did


class Iterations:
    """Counts iterations in a file, which processes find by its path, however they were started.

    The workers of one iteration each begin it for themselves, and must agree on its epoch.

    Args:
        epoch: Of the first iteration.
        position: In that epoch, in samples over all workers.
    """

    def __init__(self, epoch: int, position: int) -> None:
        self._make({"begin": [epoch, position], "next": [epoch, position], "known": []})

    def _make(self, content: dict[str, Any]) -> None:
        descriptor, self._path = tempfile.mkstemp(prefix="tfstream-", suffix=".iterations")
        with open(descriptor, "w") as file:
            json.dump(content, file)
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())

    def __getstate__(self) -> dict[str, Any]:
        """For a child process, the file that it shares in; any other copy is on its own."""
        with self._open() as content:
            shared = multiprocessing.context.get_spawning_popen() is not None
            return {"path": self._path} if shared else dict(content)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "path" in state:
            self._path = state["path"]
        else:
            self._make(state)

    @contextlib.contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        with open(self._path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            before = file.read()
            content: dict[str, Any] = json.loads(before)
            yield content
            after = json.dumps(content)
            if after != before:
                file.seek(0)
                file.write(after)
                file.truncate()

    def begin_at(self, epoch: int, position: int) -> None:
        """Has the next iteration begin somewhere, and those after it at the next epochs."""
        with self._open() as content:
            content.update(begin=[epoch, position], next=[epoch, position], known=[])

    def begun_at(self) -> tuple[int, int]:
        """The epoch and position where the first iteration began, or will."""
        with self._open() as content:
            epoch, position = content["begin"]
            return epoch, position

    def next(self) -> tuple[int, int]:
        """The epoch and position where the next iteration will begin."""
        with self._open() as content:
            epoch, position = content["next"]
            return epoch, position

    def begin(self, iteration: str | None = None, worker: int = 0) -> tuple[int, int]:
        """Begins an iteration.

        Args:
            iteration: What all workers of one iteration know it by; it need not be
                without repetition. None: it has no other workers.
            worker: Which of them begins.

        Returns:
            Its epoch and position.
        """
        with self._open() as content:
            for entry in reversed(content["known"]):
                if entry["iteration"] == iteration and worker not in entry["workers"]:
                    entry["workers"].append(worker)
                    return entry["epoch"], entry["position"]
            epoch, position = content["next"]
            content["next"] = [epoch + 1, 0]
            if iteration is not None:
                made = {"iteration": iteration, "epoch": epoch, "position": position}
                content["known"] = [*content["known"], {**made, "workers": [worker]}][-_KEPT:]
            return epoch, position

    def resume(self, epoch: int, position: int) -> None:
        """Notes that a worker goes on within an epoch: other iterations are later ones."""
        with self._open() as content:
            content.update(begin=[epoch, position], next=[epoch + 1, 0], known=[])


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            os.unlink(path)

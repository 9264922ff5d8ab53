"""Verbs of the command line that run until they are told to end, each a process of its own.

They are forked from a process that has loaded TensorFlow, which takes seconds, and begun nothing.

    served = Verb("dispatcher", "--port", 0)
    served.line()        # the first one that it prints
    served.end()         # its exit status
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import pathlib
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext

import pytest

import tfstream

_SECONDS = 300  # after which a process that does not end is an error


@functools.cache
def _context() -> ForkServerContext:
    """Starts the process that others are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "tfstream.cli.app", "verbs"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("/")  # elsewhere: the tree's own package may have no kernel
        roots = (pathlib.Path(tfstream.__file__).parents[1], pathlib.Path(__file__).parent)
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, roots)))
        forkserver.ensure_running()
    return context


class Verb:
    """A verb that runs.

    Args:
        arguments: Of the command line.
        errors: The file that it writes its errors to; None: they are shown with the test's.
    """

    def __init__(self, *arguments: object, errors: pathlib.Path | None = None) -> None:
        reading, writing = _context().Pipe(duplex=False)
        self._output = os.fdopen(os.dup(reading.fileno()))
        reading.close()
        self._process = _context().Process(
            target=_run, args=([str(each) for each in arguments], dict(os.environ), writing, errors)
        )
        self._process.start()
        writing.close()

    @property
    def pid(self) -> int:
        """The number of its process."""
        return int(self._process.pid)

    def line(self) -> str:
        """The next line that it prints; waits for it."""
        return self._output.readline()

    def wait(self) -> int:
        """Its exit status, once it has ended; -n: it was ended by signal n."""
        self._process.join(_SECONDS)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            raise TimeoutError(f"a verb has not ended in {_SECONDS} s")
        return status

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends it a signal, if it still runs; its exit status."""
        if self._process.exitcode is None:
            os.kill(self._process.pid, number)
        return self.wait()


def _run(
    arguments: list[str],
    environment: dict[str, str],
    output: Connection,
    errors: pathlib.Path | None,
) -> None:
    """What the process does."""
    from tfstream.cli import app

    os.environ.clear()
    os.environ.update(environment)
    os.dup2(output.fileno(), 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    if errors is not None:
        file = os.open(errors, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
    sys.argv = ["tfstream", *arguments]
    try:
        app.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

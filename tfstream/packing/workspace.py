"""What a pack keeps on local disk while it runs: locked, and enough to go on after a kill."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tfstream.errors import DatasetExistsError, StorageError, TfstreamError
from tfstream.packing.destination import Destination
from tfstream.storage.local import write_atomically

__all__ = ["Workspace"]

_NOTE = "finished.json"
_LISTING = "listing"
# Workers of a packer that was killed end at once; a loaded machine may need a moment for it.
_PATIENCE_SECONDS = 10.0
# And one that was killed a moment ago may still count as running.
_SHORT_PATIENCE_SECONDS = 1.0


class Workspace:
    """A destination's workspace, locked.

    ```
    lock            held by the packer and its workers
    spool           what the scan found
    rejects         draft of the rejects file
    metadata.arrow  the rows of the file of metadata, sorted
    listing/        what the listing of the tree needs meanwhile
    <commit>/       shards on their way, and journals of those that were delivered
    ```

    Leaving the `with` block by an error keeps what a rerun can use, and the directory goes
    where that is nothing.
    """

    def __init__(self, destination: Destination) -> None:
        """Names the workspace of a destination; nothing is touched yet."""
        self.destination = destination
        self.path = destination.workspace
        self.spool = self.path / "spool"
        self.rejects = self.path / "rejects"
        self._lock: int | None = None

    @property
    def lock(self) -> int:
        """The lock's file descriptor, for workers to inherit."""
        if self._lock is None:
            raise RuntimeError("the workspace is not locked")
        return self._lock

    def __enter__(self) -> Workspace:
        """Claims the destination.

        Raises:
            DatasetExistsError: It holds a dataset, or another packer is at work there.
            InvalidArgumentError: It holds other things.
            StorageError: It or the workspace cannot be written.
        """
        self.destination.check(resuming=self.path.exists())
        with self._writing():
            self._acquire()
            self._remove_scratch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.discard()
            else:
                self._give_up()
        finally:
            os.close(self.lock)
            self._lock = None

    def drafts(self, commit: str) -> Path:
        """The directory that a commit's shards are written to."""
        return self.path / commit

    def listing(self) -> Path:
        """A directory, empty, for what the listing of the tree needs.

        Raises:
            StorageError: It cannot be made.
        """
        path = self.path / _LISTING
        with self._writing():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        return path

    def begin_commit(self, commit: str) -> None:
        """Makes that directory; removes what is in it and was not delivered.

        Raises:
            StorageError: It cannot be made.
        """
        with self._writing():
            self.drafts(commit).mkdir(exist_ok=True)
            self._remove_drafts(commit)

    def stems(self, commit: str = "*") -> set[str]:
        """The shards, of one commit or all, that have a journal, even one with nothing in it."""
        return {path.stem for path in self.path.glob(f"{commit}/*-*.json")}

    def note(self, commit: str, what: dict[str, object]) -> None:
        """Writes down what a rerun needs to know once the dataset is visible."""
        with write_atomically(self.drafts(commit) / _NOTE) as file:
            file.write(json.dumps(what).encode())

    def notes(self) -> list[tuple[str, dict[str, Any]]]:
        """What `note` wrote down, with the commit each time."""
        found = []
        for path in self.path.glob(f"*/{_NOTE}"):
            with contextlib.suppress(ValueError):
                found.append((path.parent.name, json.loads(path.read_bytes())))
        return found

    def forget(self, commit: str) -> None:
        """Removes what is known of a commit."""
        shutil.rmtree(self.drafts(commit), ignore_errors=True)

    def discard(self) -> None:
        """Removes the workspace."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, TfstreamError):
                raise
            raise StorageError(
                error.errno,
                f"Cannot write to {self.path}: {error.strerror}. Mend that, or "
                f"{self.destination.elsewhere}.",
            ) from error

    def _acquire(self) -> None:
        """Takes the lock, and writes down who has it."""
        path = self.path / "lock"
        begun = time.monotonic()
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it before may have removed the file that it was on.
                if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
                    self._lock = descriptor
                    return
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(descriptor)
                    raise
                holder = os.pread(descriptor, 256, 0).decode(errors="replace").split()
                alive = _may_be_alive(holder)
                patience = _SHORT_PATIENCE_SECONDS if alive else _PATIENCE_SECONDS
                if time.monotonic() - begun > patience:
                    os.close(descriptor)
                    who = f"process {holder[0]} on {holder[1]}" if len(holder) == 2 else "a process"
                    raise DatasetExistsError(
                        f"{who} is packing to {self.destination} at this moment. Wait for it, end "
                        "it, or pack to another place."
                    ) from None
            os.close(descriptor)
            time.sleep(0.05)

    def _remove_drafts(self, commit: str) -> None:
        for file in self.path.glob(f"{commit}/*"):
            if file.suffix != ".json":
                file.unlink(missing_ok=True)

    def _remove_scratch(self) -> None:
        """Removes what each run makes anew."""
        for path in self.path.iterdir():
            if path.is_file() and path.name != "lock":
                path.unlink()
        for name in ("metadata.duckdb.tmp", _LISTING):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _give_up(self) -> None:
        """Keeps journals; what else there is was of no use."""
        with contextlib.suppress(OSError):
            self._remove_scratch()
            self._remove_drafts("*")
        if not self.stems():
            self.discard()
            self.destination.abandon()


def _may_be_alive(holder: list[str]) -> bool:
    """Whether a lock's holder still runs, as far as can be told from here."""
    if len(holder) != 2 or not holder[0].isdigit():
        return False  # it has the lock and has not yet said who it is
    if holder[1] != socket.gethostname():
        return True
    try:
        # "pid (name) state …": a zombie was killed, and nobody has asked how it ended.
        state = Path(f"/proc/{holder[0]}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

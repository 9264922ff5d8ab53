"""The destination while a pack runs: locked, with what is needed to go on after a kill."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tfstream.errors import DatasetExistsError, InvalidArgumentError, StorageError
from tfstream.format import manifest
from tfstream.packing.write import SHARDS
from tfstream.storage.local import TEMPORARY_SUFFIX, write_atomically

__all__ = ["Workspace", "exists_already"]

_NAME = ".packing"
_NOTE = "finished.json"
# What a new file system holds before anybody puts anything there.
_HARMLESS = {"lost+found"}
# Workers of a packer that was killed end at once; a loaded machine may need a moment for it.
_PATIENCE_SECONDS = 10.0
# And one that was killed a moment ago may still count as running.
_SHORT_PATIENCE_SECONDS = 1.0


class Workspace:
    """DEST/.packing, locked.

    ```
    DEST/.packing/lock            held by the packer and its workers
    DEST/.packing/spool           what the scan found
    DEST/.packing/rejects         draft of the rejects file
    DEST/.packing/<commit>/       drafts and journals of shards
    ```

    Leaving the `with` block by an error keeps what a rerun can use, and the directory goes
    where that is nothing.
    """

    def __init__(self, dest: Path) -> None:
        """Names the workspace of a destination; nothing is touched yet."""
        self.dest = dest
        self.path = dest / _NAME
        self.spool = self.path / "spool"
        self.rejects = self.path / "rejects"
        self._lock: int | None = None
        self._made = False

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
            InvalidArgumentError: It holds other files.
            StorageError: It cannot be written.
        """
        self._refuse_foreign()
        try:
            self._made = not self.dest.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
        except OSError as error:
            if isinstance(error, (StorageError, DatasetExistsError)):
                raise
            raise StorageError(
                error.errno, f"Cannot write to {self.dest}: {error.strerror}."
            ) from error
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

    def begin_commit(self, commit: str) -> None:
        """Makes the directories that a commit's shards are written to; removes drafts in them.

        Raises:
            StorageError: They cannot be made.
        """
        path = self.path / commit
        try:
            path.mkdir(exist_ok=True)
            (self.dest / SHARDS).mkdir(exist_ok=True)
            for draft in path.glob(f"*{TEMPORARY_SUFFIX}"):
                draft.unlink()
        except OSError as error:
            raise StorageError(error.errno, f"Cannot write to {path}: {error.strerror}.") from error

    def note(self, commit: str, what: dict[str, object]) -> None:
        """Writes down what a rerun needs to know once the dataset is visible."""
        with write_atomically(self.path / commit / _NOTE) as file:
            file.write(json.dumps(what).encode())

    def noted(self, commit: str) -> dict[str, Any]:
        """What `note` wrote down; empty where it did not."""
        try:
            noted = json.loads((self.path / commit / _NOTE).read_bytes())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def remove_leftovers(self, commit: str) -> None:
        """Removes shards of packs that were begun here with other options and never finished.

        Args:
            commit: The one that was finished, whose shards stay.
        """
        begun = [entry.name for entry in self.path.iterdir() if entry.is_dir()]
        stale = "|".join(re.escape(each) for each in begun if each != commit)
        ours = re.compile(rf".+-({stale})-\d{{5,}}\.(tfrecord|parquet)")
        if stale:
            for file in (self.dest / SHARDS).iterdir():
                if ours.fullmatch(file.name):
                    file.unlink()
        # Of a manifest that was being written when its writer was killed.
        for draft in (self.dest / "manifests").glob(f".*{TEMPORARY_SUFFIX}"):
            draft.unlink()

    def discard(self) -> None:
        """Removes the workspace."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _refuse_foreign(self) -> None:
        try:
            names = sorted(os.listdir(self.dest))
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise InvalidArgumentError(
                f"{self.dest} is a file: give the directory that the dataset shall be in."
            ) from None
        except OSError as error:
            raise StorageError(
                error.errno, f"Cannot read {self.dest}: {error.strerror}."
            ) from error
        if _NAME in names:
            return
        if versions := manifest.versions(self.dest):
            raise exists_already(self.dest, versions[-1])
        foreign = [name for name in names if not name.startswith(".") and name not in _HARMLESS]
        if foreign:
            raise InvalidArgumentError(
                f"{self.dest} holds files that are no dataset ({foreign[0]!r}, {len(foreign)} in "
                "all): give a new or an empty directory."
            )

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
                        f"{who} is packing to {self.dest} at this moment. Wait for it, end it, or "
                        "pack to another directory."
                    ) from None
            os.close(descriptor)
            time.sleep(0.05)

    def _give_up(self) -> None:
        """Keeps journals and finished shards; what else there is was of no use."""
        for file in (self.spool, self.rejects):
            with contextlib.suppress(OSError):
                file.unlink()
        if any(self.path.glob("*/*.json")):
            return
        self.discard()
        for directory in (self.dest / SHARDS, *([self.dest] if self._made else [])):
            with contextlib.suppress(OSError):
                directory.rmdir()  # fails where something is in it


def exists_already(dest: Path, version: int) -> DatasetExistsError:
    """The error for a destination that holds a dataset."""
    return DatasetExistsError(
        f"{dest} holds a dataset already (version {version}); it is left as it is. Pack to another "
        "directory, or look at what is there with `tfstream info`."
    )


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

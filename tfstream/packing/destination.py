"""Where a dataset is to be made, and how its files get there: renamed into place, or uploaded."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import heapq
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tfstream.errors import (
    DatasetExistsError,
    InvalidArgumentError,
    ObjectExistsError,
    StorageError,
)
from tfstream.format import manifest
from tfstream.packing.write import SHARDS
from tfstream.storage.directory import Access, Directory, ObjectInfo
from tfstream.storage.local import TEMPORARY_SUFFIX, LocalDirectory, flush_directory
from tfstream.storage.uri import open_directory

__all__ = ["WORKSPACE", "Destination", "exists_already", "open_destination"]

WORKSPACE = ".packing"
_OLD_SECONDS = 60.0  # no writer takes that long for a manifest
# What a new file system holds before anybody puts anything there.
_HARMLESS = {"lost+found"}
# What packers put into a dataset: another one may be at work there, or have been.
_PACKED = re.compile(
    rf"{SHARDS}/.+-[0-9a-f]{{12}}-\d{{5,}}\.(tfrecord|parquet)|manifests/\d{{8}}\.json"
)


class Destination(abc.ABC):
    """A dataset that is to be.

    Attributes:
        directory: The dataset's.
        workspace: A directory on local disk, for what a pack needs while it runs.
        rejects: Where the rejects file goes, unless the user says otherwise.
        at_once: How many shards are delivered at once; so many lie in the workspace at most, but
            for those that are being written.
        elsewhere: How to have the workspace on another disk, as an error says it.
        growing: Whether there is a dataset, to be added to.
    """

    growing: bool
    directory: Directory
    workspace: Path
    rejects: Path
    at_once: int
    elsewhere: str

    @property
    def name(self) -> Path | str:
        """What `tfstream.open` takes."""
        return self.directory.path or self.directory.uri

    def __str__(self) -> str:
        return str(self.name)

    def check(self, *, resuming: bool) -> None:
        """Finds out whether a dataset may be made or added to, before there is any work in it.

        Args:
            resuming: Whether a pack to it was begun from here before: a dataset may be its result.

        Raises:
            DatasetExistsError: There is one already, and it is not to be added to.
            DatasetNotFoundError: There is none to be added to.
            InvalidArgumentError: It holds other things.
            StorageError: It cannot be read or written; AccessDeniedError and ObjectNotFoundError
                (of a bucket) are such.
        """
        if self.growing:
            manifest.load(self.directory)
            self.directory.require_writable()
        else:
            self._check_empty(resuming=resuming)

    @abc.abstractmethod
    def _check_empty(self, *, resuming: bool) -> None:
        """What `check` does where there is to be no dataset yet."""

    @abc.abstractmethod
    def deliver(
        self,
        source: Path,
        name: str,
        replaces: ObjectInfo | None,
        progress: Callable[[int], object],
    ) -> ObjectInfo:
        """Brings a file of the workspace to its place.

        Args:
            source: The file; it need not be there afterwards.
            name: Of the object.
            replaces: The object of that name that was delivered from here before, if there is one;
                it is of no use where it has other bytes.
            progress: Is told of bytes that were uploaded.

        Raises:
            ObjectExistsError: There is one with other bytes, and it is not ours.
            StorageError: It cannot be written.
        """

    @abc.abstractmethod
    def space_needed(self, sizes: Sequence[int], processes: int) -> int:
        """Bytes that the workspace's disk must have free.

        Args:
            sizes: Bytes of each shard that is yet to be written.
            processes: That write them.
        """

    def settle(self) -> None:  # noqa: B027 (there need be nothing to do)
        """Makes what was delivered last, before a manifest names it."""

    def abandon(self) -> None:  # noqa: B027 (there need be nothing to do)
        """Removes what was made and holds nothing; the workspace is gone already."""


class _Local(Destination):
    """A directory on local disk, which holds the workspace until all is done."""

    at_once = 4  # of which each waits for the disk
    elsewhere = "pack to another place"

    def __init__(self, path: Path, *, growing: bool) -> None:
        self.growing = growing
        self._path = path
        self._made = False
        self.directory = LocalDirectory(str(path))
        self.workspace = path / WORKSPACE
        self.rejects = Path(f"{path}.rejects.jsonl")

    def _check_empty(self, *, resuming: bool) -> None:
        try:
            names = sorted(os.listdir(self._path))
        except FileNotFoundError:
            self._made = True
            return
        except NotADirectoryError:
            raise InvalidArgumentError(
                f"{self} is a file: give the directory that the dataset shall be in."
            ) from None
        except OSError as error:
            raise StorageError(error.errno, f"Cannot read {self}: {error.strerror}.") from error
        if resuming:
            return
        if versions := manifest.versions(self.directory):
            raise exists_already(self, versions[-1])
        foreign = [name for name in names if not name.startswith(".") and name not in _HARMLESS]
        if foreign:
            raise InvalidArgumentError(
                f"{self} holds files that are no dataset ({foreign[0]!r}, {len(foreign)} in "
                "all): give a new or an empty directory."
            )

    def deliver(
        self,
        source: Path,
        name: str,
        replaces: ObjectInfo | None,
        progress: Callable[[int], object],
    ) -> ObjectInfo:
        target = self._path / name
        try:
            with open(source, "rb") as file:
                os.fsync(file.fileno())
            target.parent.mkdir(exist_ok=True)
            os.replace(source, target)
        except OSError as error:
            raise StorageError(error.errno, f"Cannot write {target}: {error.strerror}.") from error
        return self.directory.stat(name)

    def space_needed(self, sizes: Sequence[int], processes: int) -> int:
        return sum(sizes)

    def settle(self) -> None:
        # After a power cut there is no dataset without its shards.
        flush_directory(self._path / SHARDS)
        # Of a manifest that was being written when its writer was killed; but where there is a
        # dataset, a writer of another kind may be at work.
        for draft in (self._path / "manifests").glob(f".*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                if not self.growing or time.time() - draft.stat().st_mtime > _OLD_SECONDS:
                    draft.unlink()

    def abandon(self) -> None:
        for directory in (self._path / SHARDS, *([self._path] if self._made else [])):
            with contextlib.suppress(OSError):  # something is in it
                directory.rmdir()


class _Remote(Destination):
    """A prefix of a bucket, or the like; the workspace is in a cache directory."""

    at_once = 8  # what it takes to fill a link with single uploads
    elsewhere = "name another directory for it with workspace=… (--workspace)"

    def __init__(self, directory: Directory, workspaces: Path, *, growing: bool) -> None:
        self.growing = growing
        self.directory = directory
        place = hashlib.blake2b(directory.uri.encode(), digest_size=8).hexdigest()
        last = re.sub(r"[^\w.-]", "_", directory.uri.rpartition("/")[2])[:40]
        self.workspace = workspaces / f"{last}-{place}"
        self.rejects = Path.cwd() / f"{last}.rejects.jsonl"

    def _check_empty(self, *, resuming: bool) -> None:
        if not resuming and (versions := manifest.versions(self.directory)):
            raise exists_already(self, versions[-1])
        for info in self.directory.list():
            hidden = any(part.startswith(".") for part in info.name.split("/"))
            if not (hidden or _PACKED.fullmatch(info.name)):
                raise InvalidArgumentError(
                    f"{self} holds objects that are no dataset ({info.name!r} is one): give a new "
                    "or an empty prefix of the bucket."
                )
        self.directory.require_writable()

    def deliver(
        self,
        source: Path,
        name: str,
        replaces: ObjectInfo | None,
        progress: Callable[[int], object],
    ) -> ObjectInfo:
        try:
            return self.directory.upload(name, source, progress)
        except ObjectExistsError as error:
            if replaces is None:
                raise ObjectExistsError(
                    error.errno,
                    f"{self.directory.locate(name)} is there already, with other bytes than those "
                    "packed now. Another packer made it whose images, tfstream or pyarrow differ; "
                    "or one here, killed before they changed. It is left as it is. Pack to another "
                    f"prefix, or delete {self.directory.locate(SHARDS)} when no packer is at work "
                    "there.",
                ) from error
        self.directory.delete(replaces)
        return self.directory.upload(name, source, progress)

    def space_needed(self, sizes: Sequence[int], processes: int) -> int:
        return sum(heapq.nlargest(self.at_once + processes, sizes))


def open_destination(
    dest: str | os.PathLike[str],
    *,
    workspace: str | os.PathLike[str] | None = None,
    project: str | None = None,
    growing: bool = False,
) -> Destination:
    """Names a destination; nothing is looked at yet.

    Args:
        dest: A local path, or a URI.
        workspace: The directory that holds the workspaces of remote destinations; None:
            `packing` in the user's cache directory.
        project: That is billed for requests; None: the bucket's own.
        growing: Whether there is a dataset, to be added to.

    Raises:
        InvalidArgumentError: They cannot be used so.
    """
    text = os.fspath(dest)
    if not text:
        raise InvalidArgumentError("dest='' is no place: give a directory, or gs://bucket/prefix.")
    directory = open_directory(text, Access(project=project))
    if directory.path is None:
        workspaces = Path(os.path.abspath(workspace or _cache() / "packing"))
        return _Remote(directory, workspaces, growing=growing)
    for name, value in (("workspace", workspace), ("project", project)):
        if value is not None:
            raise InvalidArgumentError(
                f"{name}={os.fspath(value)!r} is for a remote destination, and {text!r} is a local "
                "directory: leave it out."
            )
    return _Local(Path(os.path.abspath(text)), growing=growing)


def exists_already(destination: Destination, version: int) -> DatasetExistsError:
    """The error for a destination that holds a dataset."""
    return DatasetExistsError(
        f"{destination} holds a dataset already (version {version}); it is left as it is. Pack to "
        "another place, add to it with `tfstream append`, or look at it with `tfstream info`."
    )


def _cache() -> Path:
    """The user's cache directory for tfstream."""
    if ours := os.environ.get("TFSTREAM_CACHE"):
        return Path(ours)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "tfstream"
    try:
        return Path.home() / ".cache" / "tfstream"
    except RuntimeError as error:
        raise InvalidArgumentError(
            "There is no home directory for shards to wait in until they are uploaded: name a "
            "directory with workspace=… (--workspace)."
        ) from error

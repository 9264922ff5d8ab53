"""A place that holds named objects: a local directory, a prefix of a bucket ..."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tfstream.errors import TransientError

__all__ = ["Access", "Attempt", "Directory", "ObjectInfo"]


@dataclasses.dataclass(frozen=True)
class Access:
    """With what right a remote directory is used.

    Args:
        project: The project billed for requests ("requester pays"); None: the bucket's own.
        anonymous: Use no credentials; None: none where the machine has none.
    """

    project: str | None = None
    anonymous: bool | None = None


@dataclasses.dataclass(frozen=True)
class ObjectInfo:
    """One object, as it was when it was looked up.

    Attributes:
        name: Relative to its directory, with "/" between the parts.
        size: Bytes.
        generation: Changes whenever the object is overwritten.
        crc32c: Of its bytes; None where the storage does not say.
        modified: When it got those bytes, in seconds since 1970; None where the storage does
            not say. Two infos that differ in nothing else are equal.
    """

    name: str
    size: int
    generation: str
    crc32c: int | None = None
    modified: float | None = dataclasses.field(default=None, compare=False)


class Attempt:
    """One try of a request, which another thread may watch and cut short."""

    def __init__(self) -> None:
        self.received = 0  # bytes so far
        self._lock = threading.Lock()
        self._close: Callable[[], object] | None = None
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cut it short."""
        return self._cancelled

    def opened(self, close: Callable[[], object]) -> None:
        """Says how to make a blocked read return.

        Raises:
            TransientError: It was cut short already.
        """
        with self._lock:
            self._close = close
        self.advance(0)

    def advance(self, count: int) -> None:
        """Counts bytes that have come.

        Raises:
            TransientError: It was cut short.
        """
        self.received += count
        if self._cancelled:
            raise TransientError("the request was cut short")

    def cancel(self) -> None:
        """Cuts it short: its thread gets a TransientError soon."""
        with self._lock:
            self._cancelled = True
            close = self._close
        if close is not None:
            with contextlib.suppress(Exception):  # it may be closed already
                close()


class Directory(abc.ABC):
    """Named objects below one URI.

    Reading a range is one try, for a caller that retries; everything else
    retries by itself and raises what is final. Safe to use from many threads.

    Attributes:
        uri: What the user called it, without a "/" at the end.
        path: Where it is on local disk; None where it is not.
    """

    uri: str
    path: Path | None = None

    def __str__(self) -> str:
        return self.uri

    def locate(self, name: str) -> str:
        """The URI or path of one object, as messages name it.

        >>> from tfstream.storage.uri import open_directory
        >>> open_directory("photos").locate("shards/a.tfrecord")
        'photos/shards/a.tfrecord'
        """
        return f"{self.uri}/{name}"

    @abc.abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose names begin with `prefix`, sorted by name; none where nothing is there.

        Raises:
            AccessDeniedError: It may not be listed.
            BucketNotFoundError: The bucket does not exist.
            StorageError: It cannot be read.
        """

    @abc.abstractmethod
    def stat(self, name: str) -> ObjectInfo:
        """Looks an object up.

        Raises:
            ObjectNotFoundError: There is none.
            AccessDeniedError: It may not be read.
            StorageError: It cannot be read.
        """

    @abc.abstractmethod
    def read(self, name: str, *, generation: str | None = None) -> bytes:
        """All bytes of an object.

        Raises:
            ObjectNotFoundError: There is none.
            ObjectChangedError: It is not of that generation any more.
            AccessDeniedError: It may not be read.
            StorageError: It cannot be read.
        """

    @abc.abstractmethod
    def read_range(
        self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
    ) -> None:
        """Fills `buffer` with the bytes from `offset` on. One try.

        Args:
            info: The object; it is read in that generation or not at all.
            offset: Byte of the object.
            buffer: Writable, contiguous bytes; all of it is filled.
            attempt: Is told of the bytes that come, and may cut it short.

        Raises:
            TransientError: It failed, but may not the next time.
            ObjectChangedError: The object was overwritten or deleted.
            AccessDeniedError: It may not be read.
            StorageError: Another fault that is final.
        """

    def require_writable(self) -> None:  # noqa: B027 (not all can tell)
        """Finds out whether objects may be made, where that can be told without making one.

        Raises:
            AccessDeniedError: They may not.
            ObjectNotFoundError: The bucket does not exist.
            StorageError: It cannot be written.
        """

    @abc.abstractmethod
    def create(self, name: str, data: bytes) -> ObjectInfo:
        """Makes a small object, whole, unless there is one. Of several writers one wins.

        Raises:
            ObjectExistsError: There is one; it is left as it was.
            AccessDeniedError: It may not be written.
            StorageError: It cannot be written.
        """

    @abc.abstractmethod
    def upload(
        self, name: str, source: Path, progress: Callable[[int], object] = lambda count: None
    ) -> ObjectInfo:
        """Makes an object of a local file, whole, checked by CRC32C.

        Where there is an object of the same bytes already, that is a success.

        Args:
            name: Of the object.
            source: The file.
            progress: Is told of bytes that have been sent.

        Raises:
            ObjectExistsError: There is one with other bytes; it is left as it was.
            AccessDeniedError: It may not be written.
            StorageError: The file cannot be read, or the object not be written.
        """

    @abc.abstractmethod
    def delete(self, info: ObjectInfo) -> None:
        """Deletes an object of that generation; nothing where it is gone already."""

"""An object as a file that is read forwards, wherever it is, through bounded memory."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from tfstream.errors import StorageError
from tfstream.storage.directory import Attempt, Directory, ObjectInfo
from tfstream.storage.retry import PATIENCE_SECONDS, persist

__all__ = ["open_object", "read_exactly"]

_PIECE = 8 << 20  # bytes a request


def open_object(directory: Directory, info: ObjectInfo) -> BinaryIO:
    """Opens an object for reading, in the generation that was looked up.

    Elsewhere than on local disk it is fetched 8 MiB at a time, and what fails is tried again;
    seeking within those costs nothing.

    Raises:
        StorageError: It cannot be opened; reading raises what `Directory.read_range` does.
    """
    if directory.path is None:
        return cast(BinaryIO, _RemoteFile(directory, info))
    path = directory.path / info.name
    try:
        return open(path, "rb", buffering=1 << 20)
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def read_exactly(
    directory: Directory,
    info: ObjectInfo,
    offset: int,
    length: int,
    *,
    patience: float = PATIENCE_SECONDS,
) -> bytearray:
    """Bytes of an object; what fails is tried again from where it broke off.

    Args:
        directory: Where it is.
        info: The object.
        offset: Of the first byte.
        length: How many bytes.
        patience: Seconds of trying in vain, after which it has failed.

    Raises:
        StorageError: See `Directory.read_range`; patience ran out.
    """
    data = bytearray(length)
    done = 0
    while done < length:

        def fetch(begin: int = done) -> int:
            attempt = Attempt()
            with memoryview(data)[begin:] as rest:
                try:
                    directory.read_range(info, offset + begin, rest, attempt)
                except StorageError:
                    if not attempt.received:
                        raise
            return attempt.received

        # Each byte that comes is a success: patience begins anew.
        done += persist(fetch, patience=patience)
    return data


class _RemoteFile(io.RawIOBase):
    """An object read in pieces, one of them kept."""

    def __init__(self, directory: Directory, info: ObjectInfo) -> None:
        super().__init__()
        self.name = directory.locate(info.name)
        self._directory = directory
        self._info = info
        self._position = 0
        self._begin = 0
        self._piece = bytearray()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._info.size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        parts = []
        while wanted > 0:
            part = self._part(wanted)
            parts.append(part)
            wanted -= len(part)
            self._position += len(part)
        return b"".join(parts)

    def _part(self, wanted: int) -> bytes:
        """Some of the bytes wanted, one at least."""
        place = self._position - self._begin
        if not 0 <= place < len(self._piece):
            count = min(_PIECE, self._info.size - self._position)
            self._piece = read_exactly(self._directory, self._info, self._position, count)
            self._begin, place = self._position, 0
        return bytes(self._piece[place : place + wanted])

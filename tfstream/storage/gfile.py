"""Directories on whatever file systems TensorFlow knows: `s3://`, `hdfs://`, `ram://` ..."""

from __future__ import annotations

import contextlib
import errno
import functools
import posixpath
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from tfstream import errors
from tfstream.storage.directory import Attempt, Directory, ObjectInfo
from tfstream.storage.local import TEMPORARY_SUFFIX

__all__ = ["GfileDirectory"]

_PIECE = 1 << 20  # bytes read or written at once


class GfileDirectory(Directory):
    """A directory reached through `tf.io.gfile`.

    An object's generation is made of its size and time of last change. A request cannot be cut
    short while it waits: a stall is TensorFlow's to notice.
    """

    def __init__(self, uri: str) -> None:
        """Names a directory; TensorFlow is not loaded yet.

        Args:
            uri: With a scheme.

        Raises:
            InvalidArgumentError: Nothing follows the scheme.
        """
        scheme, _, rest = uri.partition("://")
        if not scheme or not rest.strip("/"):
            raise errors.InvalidArgumentError(
                f"{uri!r} names no directory: write {scheme or 'scheme'}://place/directory."
            )
        self.uri = uri.rstrip("/")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Directory`; files that are being written are left out."""
        top = posixpath.join(self.uri, posixpath.dirname(prefix)).rstrip("/")
        names = []
        with _faults(self.uri):
            # Walking would take an unknown scheme for an empty directory.
            if not _gfile().exists(top):
                return
            for directory, _, files in _gfile().walk(top):
                below = str(directory).rstrip("/")[len(self.uri) + 1 :]
                names += [posixpath.join(below, file) for file in files]
        for name in sorted(names):
            if name.startswith(prefix) and not name.endswith(TEMPORARY_SUFFIX):
                # Deleted meanwhile.
                with contextlib.suppress(errors.ObjectNotFoundError):
                    yield self.stat(name)

    def stat(self, name: str) -> ObjectInfo:
        """See `Directory`."""
        with _faults(self.locate(name)):
            found = _gfile().stat(self.locate(name))
        generation = f"{found.mtime_nsec:.0f}-{found.length}"
        modified = found.mtime_nsec / 1e9 or None  # 0: the file system does not know
        return ObjectInfo(name, found.length, generation, modified=modified)

    def read(self, name: str, *, generation: str | None = None) -> bytes:
        """See `Directory`."""
        if generation is not None:
            self._require(name, generation)
        with _faults(self.locate(name)), _gfile().GFile(self.locate(name), "rb") as file:
            return bytes(file.read())

    def read_range(
        self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
    ) -> None:
        """See `Directory`."""
        uri = self.locate(info.name)
        self._require(info.name, info.generation)
        with _faults(uri), _gfile().GFile(uri, "rb") as file:
            file.seek(offset)
            done = 0
            while done < len(buffer):
                piece = file.read(min(_PIECE, len(buffer) - done))
                if not piece:
                    raise errors.ObjectChangedError(
                        f"{uri} ends at byte {offset + done}, where it had {info.size} bytes."
                    )
                buffer[done : done + len(piece)] = piece
                done += len(piece)
                attempt.advance(len(piece))

    def _require(self, name: str, generation: str) -> None:
        try:
            found = self.stat(name)
        except errors.ObjectNotFoundError as error:
            raise errors.ObjectChangedError(
                f"{self.locate(name)} was deleted while it was in use."
            ) from error
        if found.generation != generation:
            raise errors.ObjectChangedError(
                f"{self.locate(name)} was overwritten while it was in use (generation "
                f"{generation} was looked up, {found.generation} is there now). Shards are never "
                "changed: pack a new version instead."
            )

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See `Directory`; where the file system renames without a check, the last writer wins."""
        self._make(name, lambda file: file.write(data))
        return self.stat(name)

    def upload(
        self, name: str, source: Path, progress: Callable[[int], object] = lambda count: None
    ) -> ObjectInfo:
        """See `Directory`; what was written is read again for its checksum."""
        try:
            with open(source, "rb") as file:
                crc = _crc_of(file)
                with contextlib.suppress(errors.ObjectExistsError):
                    self._make(name, functools.partial(_copy, file, progress))
            with _faults(self.locate(name)), _gfile().GFile(self.locate(name), "rb") as made:
                same = _crc_of(made) == crc
        except OSError as error:
            if isinstance(error, errors.TfstreamError):
                raise
            raise errors.StorageError(
                error.errno, f"Cannot read {source}: {error.strerror}."
            ) from error
        if not same:
            raise errors.ObjectExistsError(
                errno.EEXIST,
                f"{self.locate(name)} is there with other bytes than {source}; it is left as it "
                "is.",
            )
        return self.stat(name)

    def _make(self, name: str, fill: Callable[[Any], object]) -> None:
        """Writes a file that appears whole, and only where there is none."""
        uri = self.locate(name)
        directory, base = posixpath.split(uri)
        temporary = f"{directory}/.{base}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}"
        with _faults(uri, writes=True):
            if _gfile().exists(uri):
                raise _exists(uri)
            _gfile().makedirs(directory)
            try:
                with _gfile().GFile(temporary, "wb") as file:
                    fill(file)
                _gfile().rename(temporary, uri, overwrite=False)
            except BaseException:
                with contextlib.suppress(Exception):
                    _gfile().remove(temporary)
                raise

    def delete(self, info: ObjectInfo) -> None:
        """See `Directory`."""
        try:
            if self.stat(info.name).generation == info.generation:
                with _faults(self.locate(info.name), writes=True):
                    _gfile().remove(self.locate(info.name))
        except errors.ObjectNotFoundError:
            return


@functools.cache
def _gfile() -> Any:
    """`tf.io.gfile`, with the file systems of tensorflow-io where it is installed and loads."""
    import tensorflow as tf

    if tf.__version__.startswith(("2.16.", "2.17.")):
        with contextlib.suppress(ImportError):
            import tensorflow_io  # noqa: F401 (registers the file systems)
    return tf.io.gfile


def _copy(source: BinaryIO, progress: Callable[[int], object], target: Any) -> None:
    source.seek(0)
    while piece := source.read(_PIECE):
        target.write(piece)
        progress(len(piece))


def _crc_of(file: Any) -> bytes:
    crc = google_crc32c.Checksum()
    while piece := file.read(_PIECE):
        crc.update(piece)
    return bytes(crc.digest())


def _exists(uri: str) -> errors.ObjectExistsError:
    return errors.ObjectExistsError(
        errno.EEXIST, f"{uri} exists already: another writer was first. Nothing was changed."
    )


@contextlib.contextmanager
def _faults(uri: str, *, writes: bool = False) -> Iterator[None]:
    """Tells TensorFlow's errors as tfstream's."""
    import tensorflow as tf

    verb = "written" if writes else "read"
    try:
        yield
    except tf.errors.NotFoundError as error:
        raise errors.ObjectNotFoundError(errno.ENOENT, f"{uri} does not exist.") from error
    except tf.errors.AlreadyExistsError as error:
        raise _exists(uri) from error
    except (tf.errors.PermissionDeniedError, tf.errors.UnauthenticatedError) as error:
        raise errors.AccessDeniedError(
            errno.EACCES, f"{uri} may not be {verb}: {error.message}."
        ) from error
    except tf.errors.UnimplementedError as error:
        raise errors.InvalidArgumentError(
            f"{uri!r}: TensorFlow {tf.__version__} has no file system of that scheme. "
            "Use a local path or gs://; for s3://, az:// and hdfs:// install tfstream[io], which "
            "brings TensorFlow 2.17 with tensorflow-io."
        ) from error
    except (
        tf.errors.AbortedError,
        tf.errors.DeadlineExceededError,
        tf.errors.ResourceExhaustedError,
        tf.errors.UnavailableError,
    ) as error:
        raise errors.TransientError(f"{uri}: {error.message}") from error
    except tf.errors.OpError as error:
        raise errors.StorageError(errno.EIO, f"{uri} cannot be {verb}: {error.message}.") from error

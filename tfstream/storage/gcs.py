"""Directories of Google Cloud Storage: `gs://bucket/prefix`."""

from __future__ import annotations

import base64
import dataclasses
import errno
import functools
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import google_crc32c
from google.cloud import storage

from tfstream import errors
from tfstream.storage import gcs_errors
from tfstream.storage.directory import Access, Attempt, Directory, ObjectInfo
from tfstream.storage.gcs_client import Connection, connect
from tfstream.storage.gcs_upload import ResumableUpload
from tfstream.storage.retry import PATIENCE_SECONDS, persist

__all__ = ["STALL_SECONDS", "GcsDirectory"]

STALL_SECONDS = 10.0  # without a byte, after which a range's request has failed
_PAGE = 1000  # objects a request lists
_FIELDS = "items(name,size,generation,crc32c,timeCreated),nextPageToken"
_PIECE = 1 << 20  # bytes
# Of trying in vain where no request has succeeded yet: the machine is offline, perhaps.
_FIRST_PATIENCE_SECONDS = 30.0
_PROBE = ".tfstream-probe"  # an object that is never made
# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_NAME_BYTES = 1024

Result = TypeVar("Result")
_Page = tuple[tuple[ObjectInfo, ...], str | None]


class GcsDirectory(Directory):
    """A bucket, or a prefix in one."""

    def __init__(
        self,
        uri: str,
        access: Access = Access(),  # noqa: B008 (frozen)
        *,
        stall: float = STALL_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Names a directory; nothing is read, and no credentials are looked for, yet.

        Args:
            uri: `gs://bucket` or `gs://bucket/prefix`.
            access: With what right.
            stall: Seconds without a byte that end the request of a range.
            patience: Seconds after which anything else that fails is not tried again.

        Raises:
            InvalidArgumentError: It is not such a URI.
        """
        self._bucket, self._prefix = _split(uri)
        self.uri = f"gs://{self._bucket}/{self._prefix}".rstrip("/")
        self._access = access
        self._stall = stall
        self._patience = patience
        self._reached = False

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Directory`."""
        request, connection = self._request(prefix, of_bucket=True)
        token: str | None = None
        while True:
            page, token = self._persist(
                request, functools.partial(self._page, connection, prefix, token)
            )
            yield from page
            if not token:
                return

    def _page(self, connection: Connection, prefix: str, token: str | None) -> _Page:
        found = connection.client.list_blobs(
            self._bucket_of(connection),
            prefix=self._name(prefix),
            fields=_FIELDS,
            page_size=_PAGE,
            page_token=token,
            timeout=self._timeout,
            retry=None,
        )
        page = next(found.pages, ())
        # The console makes an empty object "a/" where somebody makes a folder.
        objects = (self._info(blob) for blob in page if not blob.name.endswith("/"))
        return tuple(sorted(objects, key=lambda info: info.name)), found.next_page_token

    def stat(self, name: str) -> ObjectInfo:
        """See `Directory`."""
        request, connection = self._request(name)
        return self._persist(request, lambda: self._stat(connection, name))

    def _stat(self, connection: Connection, name: str) -> ObjectInfo:
        blob = self._bucket_of(connection).blob(self._name(name))
        blob.reload(timeout=self._timeout, retry=None)
        return self._info(blob)

    def read(self, name: str, *, generation: str | None = None) -> bytes:
        """See `Directory`."""
        request, connection = self._request(name)
        number = None if generation is None else int(generation)
        blob = self._bucket_of(connection).blob(self._name(name), generation=number)
        try:
            return self._persist(
                request,
                lambda: bytes(
                    blob.download_as_bytes(timeout=self._timeout, checksum="crc32c", retry=None)
                ),
            )
        except errors.ObjectNotFoundError as error:
            if generation is None:
                raise
            raise self._gone(request, connection, name, generation) from error

    def read_range(
        self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
    ) -> None:
        """See `Directory`."""
        if not len(buffer):
            return
        request, connection = self._request(info.name)
        try:
            connection.ranges.read(
                request,
                self._name(info.name),
                info,
                offset,
                buffer,
                attempt,
                stall=self._stall,
            )
        except errors.ObjectNotFoundError as error:
            raise self._gone(request, connection, info.name, info.generation) from error

    def _gone(
        self, request: gcs_errors.Request, connection: Connection, name: str, generation: str
    ) -> errors.StorageError:
        """Why there is no object of that generation. One try."""
        try:
            found = self._once(request, lambda: self._stat(connection, name))
        except errors.BucketNotFoundError as error:
            return error
        except errors.ObjectNotFoundError:
            return errors.ObjectChangedError(
                f"{request.uri} was deleted while it was in use (generation {generation})."
            )
        except errors.StorageError as error:
            return error
        if found.generation == generation:
            return errors.TransientError(
                f"{request.uri}: the server could not find it for a moment"
            )
        return errors.ObjectChangedError(
            f"{request.uri} was overwritten while it was in use: generation {generation} was "
            f"looked up, {found.generation} is there now. Shards are never changed: pack a new "
            "version instead."
        )

    def require_writable(self) -> None:
        """See `Directory`."""
        request, connection = self._request("", writes=True, of_bucket=True)
        # An upload that is begun and never sent leaves nothing behind.
        self._persist(request, lambda: self._begin(connection, _PROBE, 1, 0))

    def create(self, name: str, data: bytes) -> ObjectInfo:
        """See `Directory`."""
        request, connection = self._request(name, writes=True, of_bucket=True)
        blob = self._bucket_of(connection).blob(self._name(name))
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        tries = 0

        def send() -> ObjectInfo:
            nonlocal tries
            tries += 1
            blob.upload_from_string(
                data,
                content_type=kind,
                if_generation_match=0,
                checksum="crc32c",
                timeout=self._timeout,
                retry=None,
            )
            return self._info(blob)

        try:
            return self._persist(request, send)
        except errors.ObjectExistsError:
            # Made by a try whose answer was lost, perhaps.
            if tries > 1:
                found = self.stat(name)
                if (found.size, found.crc32c) == (len(data), google_crc32c.value(data)):
                    return found
            raise

    def upload(
        self, name: str, source: Path, progress: Callable[[int], object] = lambda count: None
    ) -> ObjectInfo:
        """See `Directory`."""
        request, connection = self._request(name, writes=True)
        try:
            with open(source, "rb") as file:
                return self._upload(request, connection, name, file, progress)
        except OSError as error:
            if isinstance(error, errors.TfstreamError):
                raise
            raise errors.StorageError(
                error.errno, f"Cannot read {source}: {error.strerror}."
            ) from error

    def _upload(
        self,
        request: gcs_errors.Request,
        connection: Connection,
        name: str,
        file: BinaryIO,
        progress: Callable[[int], object],
    ) -> ObjectInfo:
        crc, size = _crc_of(file), os.fstat(file.fileno()).st_size
        begun = time.monotonic()
        while True:
            there = self._same(name, size, crc)
            if there is not None:
                return there
            try:
                url = self._persist(
                    dataclasses.replace(request, of_bucket=True),
                    lambda: self._begin(connection, name, size, crc),
                )
                upload = ResumableUpload(
                    connection.session,
                    url,
                    file,
                    size,
                    request=request,
                    timeout=self._timeout,
                    progress=progress,
                )
                made = None
                while made is None:
                    made = self._persist(request, upload.step)
            except errors.ObjectExistsError:
                continue  # another writer was first: with the same bytes or with others
            except errors.BucketNotFoundError:
                raise
            except errors.ObjectNotFoundError:
                # The server lost the upload, or finished it and lost the answer.
                if time.monotonic() - begun > self._patience:
                    raise
                continue
            blob = self._bucket_of(connection).blob(self._name(name))
            blob._set_properties(made)
            return self._checked(self._info(blob), file, crc)

    def _begin(self, connection: Connection, name: str, size: int, crc: int) -> str:
        blob = self._bucket_of(connection).blob(self._name(name))
        # With the checksum known beforehand, the server makes no object of other bytes.
        blob.crc32c = base64.b64encode(crc.to_bytes(4, "big")).decode()
        return str(
            blob.create_resumable_upload_session(
                content_type="application/octet-stream",
                size=size,
                timeout=self._timeout,
                if_generation_match=0,
                checksum=None,
                retry=None,
            )
        )

    def _same(self, name: str, size: int, crc: int) -> ObjectInfo | None:
        """The object, if it is there with these bytes; None where there is none."""
        try:
            found = self.stat(name)
        except errors.BucketNotFoundError:
            raise
        except errors.ObjectNotFoundError:
            return None
        if (found.size, found.crc32c) != (size, crc):
            raise errors.ObjectExistsError(
                errno.EEXIST,
                f"{self.locate(name)} exists already with other bytes ({found.size} bytes, "
                f"generation {found.generation}); it is left as it was.",
            )
        return found

    def _checked(self, made: ObjectInfo, file: BinaryIO, crc: int) -> ObjectInfo:
        if made.crc32c not in (crc, None):
            self.delete(made)
            raise errors.StorageError(
                errno.EIO,
                f"{self.locate(made.name)}: what arrived does not match the CRC32C of {file.name}; "
                "the object was deleted again.",
            )
        return made

    def delete(self, info: ObjectInfo) -> None:
        """See `Directory`."""
        request, connection = self._request(info.name, writes=True)
        blob = self._bucket_of(connection).blob(self._name(info.name))
        try:
            self._persist(
                request,
                lambda: blob.delete(
                    if_generation_match=int(info.generation), timeout=self._timeout, retry=None
                ),
            )
        except (errors.ObjectNotFoundError, errors.ObjectExistsError):
            return  # gone, or replaced

    @property
    def _timeout(self) -> tuple[float, float]:
        # An answer may take longer than the next byte of a body: that of a finished upload, say.
        return self._stall, 6 * self._stall

    def _name(self, name: str) -> str:
        """An object's name within the bucket."""
        return f"{self._prefix}/{name}" if self._prefix else name

    def _request(
        self, name: str, *, writes: bool = False, of_bucket: bool = False
    ) -> tuple[gcs_errors.Request, Connection]:
        connection = connect(self._access)
        uri = self.locate(name) if name else self.uri
        asker = connection.asker
        made = gcs_errors.Request(uri, self._bucket, asker, writes=writes, of_bucket=of_bucket)
        return made, connection

    def _bucket_of(self, connection: Connection) -> storage.Bucket:
        return connection.client.bucket(self._bucket, user_project=self._access.project)

    def _info(self, blob: storage.Blob) -> ObjectInfo:
        crc = None if blob.crc32c is None else int.from_bytes(base64.b64decode(blob.crc32c), "big")
        name = blob.name[len(self._prefix) + 1 :] if self._prefix else blob.name
        made = blob.time_created
        modified = None if made is None else made.timestamp()
        return ObjectInfo(name, int(blob.size or 0), str(blob.generation), crc, modified)

    def _once(self, request: gcs_errors.Request, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except Exception as error:
            raise gcs_errors.of_exception(request, error) from error

    def _persist(self, request: gcs_errors.Request, call: Callable[[], Result]) -> Result:
        first = min(self._patience, _FIRST_PATIENCE_SECONDS)
        patience = self._patience if self._reached else first
        result = persist(lambda: self._once(request, call), patience=patience)
        self._reached = True
        return result


def _split(uri: str) -> tuple[str, str]:
    """(bucket, prefix) of a URI."""
    bucket, _, prefix = uri.partition("://")[2].partition("/")
    prefix = prefix.rstrip("/")
    if not bucket:
        raise errors.InvalidArgumentError(
            f"{uri!r} names no bucket: write gs://bucket or gs://bucket/directory."
        )
    if not _BUCKET.fullmatch(bucket):
        raise errors.InvalidArgumentError(
            f"{uri!r} has no valid bucket name: {bucket!r}. Bucket names have 3 letters or more: "
            "a to z, digits, and - _ . between them."
        )
    bad = next((each for each in prefix if ord(each) < 32 or ord(each) == 127), None)
    if bad is not None:
        raise errors.InvalidArgumentError(
            f"{uri!r} has the character {bad!r}, which no object's name should have."
        )
    if prefix and not {".", "..", ""}.isdisjoint(prefix.split("/")):
        raise errors.InvalidArgumentError(
            f"{uri!r} has an empty part, or '.' or '..', which means nothing in a bucket."
        )
    if len(prefix.encode(errors="surrogatepass")) > _NAME_BYTES - 256:
        raise errors.InvalidArgumentError(
            f"{uri[:60]!r}... is too long: an object's name has {_NAME_BYTES} bytes at most."
        )
    return bucket, prefix


def _crc_of(file: BinaryIO) -> int:
    crc = google_crc32c.Checksum()
    while piece := file.read(_PIECE):
        crc.update(piece)
    return int.from_bytes(crc.digest(), "big")

"""Sending a file to Google Cloud Storage in pieces, going on where a piece was lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, BinaryIO

import requests

from tfstream import errors
from tfstream.storage import gcs_errors

__all__ = ["ResumableUpload"]

CHUNK = 8 << 20  # bytes sent at once; the server wants multiples of 256 KiB
_RANGE = re.compile(r"bytes=0-(\d+)")


class ResumableUpload:
    """One upload session (https://cloud.google.com/storage/docs/resumable-uploads).

    Google's library sends such pieces too, but loses its way when a piece arrived in part.
    """

    def __init__(
        self,
        session: requests.Session,
        url: str,
        file: BinaryIO,
        size: int,
        *,
        request: gcs_errors.Request,
        timeout: tuple[float, float],
        progress: Callable[[int], object],
    ) -> None:
        """Takes over a session that was begun.

        Args:
            session: Sends requests, with credentials.
            url: The upload session's.
            file: What is sent.
            size: Its bytes.
            request: What is asked for, for messages.
            timeout: Seconds for connecting, and for an answer.
            progress: Is told of bytes that have arrived.
        """
        self._session = session
        self._url = url
        self._file = file
        self._size = size
        self._request = request
        self._timeout = timeout
        self._progress = progress
        self._position: int | None = 0  # bytes that the server has; None: it must be asked
        self._told = 0

    def step(self) -> dict[str, Any] | None:
        """Sends one piece, or asks what has come of those sent before.

        Returns:
            What the server says of the object, once it is whole; None before.

        Raises:
            TransientError: The piece may be lost; the next call finds out.
            ObjectNotFoundError: The server knows nothing of this upload any more.
            StorageError: It refuses.
        """
        if self._position is None:
            piece, place = b"", f"bytes */{self._size}"
        else:
            self._file.seek(self._position)
            piece = self._file.read(min(CHUNK, self._size - self._position))
            last = self._position + len(piece) - 1
            place = (
                f"bytes {self._position}-{last}/{self._size}" if piece else f"bytes */{last + 1}"
            )
            if len(piece) < min(CHUNK, self._size - self._position):
                raise errors.StorageError(
                    f"{self._file.name} became shorter while it was uploaded."
                )
        self._position = None  # until the server says more
        response = self._session.put(
            self._url,
            data=piece,
            headers={"Content-Range": place},
            timeout=self._timeout,
            allow_redirects=False,
        )
        if response.status_code in (200, 201):
            self._tell(self._size)
            found: dict[str, Any] = response.json()
            return found
        if response.status_code == 308:
            match = _RANGE.fullmatch(response.headers.get("Range", ""))
            self._position = int(match[1]) + 1 if match else 0
            self._tell(self._position)
            return None
        if response.status_code == 410:
            raise errors.ObjectNotFoundError(f"{self._request.uri}: the upload has expired.")
        raise gcs_errors.of_response(
            self._request,
            response.status_code,
            response.content,
            response.headers.get("Retry-After"),
        )

    def _tell(self, position: int) -> None:
        if position > self._told:
            self._progress(position - self._told)
            self._told = position

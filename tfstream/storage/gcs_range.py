"""Reading a part of an object: one HTTP request, straight into the caller's memory."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import select
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import certifi
import google.auth.transport.requests
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials, Credentials

from tfstream import errors
from tfstream.storage import gcs_errors
from tfstream.storage.directory import Attempt, ObjectInfo

__all__ = ["RangeReader"]

_PIECE = 1 << 20  # bytes taken from a socket at once, at most
_ERROR_BYTES = 1 << 16  # of an error's body that are read
_IDLE_SECONDS = 60.0  # after which an unused connection is not trusted any more
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class RangeReader:
    """HTTP connections to one server, kept open between requests; for many threads at once.

    Neither `requests` nor `urllib3`: they copy each byte once or twice, and a read that waits
    cannot be made to return.
    """

    def __init__(self, endpoint: str, credentials: Credentials, *, keep: int, agent: str) -> None:
        """Connects to nothing yet.

        Args:
            endpoint: URL of the server.
            credentials: Sent along, and renewed when they are too old.
            keep: How many unused connections stay open.
            agent: What it calls itself.
        """
        self._endpoint = endpoint.rstrip("/")
        self._parts = urllib.parse.urlsplit(self._endpoint)
        self._credentials = credentials
        self._keep = keep
        self._agent = agent
        self._renewing = threading.Lock()
        self._token_request = google.auth.transport.requests.Request()
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._tls: ssl.SSLContext | None = None
        if self._parts.scheme == "https":
            # As `requests` does, through which everything else goes.
            named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
            trusted = named or certifi.where()
            self._tls = (
                ssl.create_default_context(capath=trusted)
                if os.path.isdir(trusted)
                else ssl.create_default_context(cafile=trusted)
            )

    def read(
        self,
        request: gcs_errors.Request,
        name: str,
        info: ObjectInfo,
        offset: int,
        buffer: memoryview,
        attempt: Attempt,
        *,
        stall: float,
    ) -> None:
        """Fills `buffer` with the bytes of an object from `offset` on. One try.

        Args:
            request: What is asked for, for messages.
            name: Of the object within its bucket.
            info: The object.
            offset: Of the first byte.
            buffer: Is filled.
            attempt: Is told of bytes, and may cut the request short.
            stall: Seconds without a byte that end it.

        Raises:
            TransientError: It failed, but may not the next time.
            ObjectNotFoundError: There is no such object of that generation.
            AccessDeniedError: It may not be read.
            StorageError: Another fault that is final.
        """
        query = {"alt": "media", "generation": info.generation}
        if request.asker.project:
            query["userProject"] = request.asker.project
        path = (
            f"/download/storage/v1/b/{request.bucket}/o/{urllib.parse.quote(name, safe='')}"
            f"?{urllib.parse.urlencode(query)}"
        )
        headers = {
            "Range": f"bytes={offset}-{offset + len(buffer) - 1}",
            # The bytes as they are stored: otherwise a compressed object is sent unpacked, whole.
            "Accept-Encoding": "gzip",
            "User-Agent": self._agent,
        }
        with _faults(request, stall):
            response, connection = self._send(path, headers, attempt, stall)
            try:
                _check_head(request, info, response, offset, len(buffer))
                _fill(response, buffer, attempt)
                reusable = not response.will_close
                response.close()
                # From here on, whoever cuts the attempt short must not meet the socket again.
                attempt.opened(_nothing)
            except BaseException:
                response.close()
                connection.close()
                raise
            self._give_back(connection, reusable)

    def _send(
        self, path: str, headers: dict[str, str], attempt: Attempt, stall: float
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """Sends a request, and reads the head of its answer.

        An old connection that turns out to be closed, and a token that has run out, are no
        failures: the request is sent once more.
        """
        renewed = False
        while True:
            token = getattr(self._credentials, "token", None)
            sent = dict(headers)
            self._credentials.before_request(
                self._token_request, "GET", self._endpoint + path, sent
            )
            connection, used = self._connection(stall)
            try:
                if connection.sock is None:
                    connection.connect()
                attempt.opened(_shutter(connection.sock))
                connection.request("GET", path, headers=sent)
                response = connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if used and not attempt.cancelled:
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            if response.status != 401 or renewed or _is_anonymous(self._credentials):
                return response, connection
            response.close()
            connection.close()
            renewed = True
            with self._renewing:
                if getattr(self._credentials, "token", None) in (token, None):
                    self._credentials.refresh(self._token_request)

    def _connection(self, stall: float) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return self._new(stall), False
            # Something to read, where nothing was asked for, is its end.
            if time.monotonic() - since < _IDLE_SECONDS and not _readable(connection.sock):
                connection.timeout = stall
                connection.sock.settimeout(stall)
                return connection, True
            connection.close()

    def _new(self, stall: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        proxy = None
        if self._tls is not None and not urllib.request.proxy_bypass(host):
            proxy = urllib.request.getproxies().get("https")
        made: http.client.HTTPConnection
        if self._tls is None:
            made = http.client.HTTPConnection(host, port, timeout=stall)
        elif proxy is None:
            made = http.client.HTTPSConnection(host, port, timeout=stall, context=self._tls)
        else:
            through = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            made = http.client.HTTPSConnection(
                through.hostname or "", through.port, timeout=stall, context=self._tls
            )
            made.set_tunnel(host, port)
        return made

    def _give_back(self, connection: http.client.HTTPConnection, reusable: bool) -> None:
        if reusable and connection.sock is not None and len(self._idle) < self._keep:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()


def _is_anonymous(credentials: Credentials) -> bool:
    return isinstance(credentials, AnonymousCredentials)


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _shutter(sock: socket.socket) -> Any:
    """What makes a read of the socket that waits return."""
    # Not the TLS socket's own: that one goes on to hand out bytes as they are, encrypted.
    return lambda: socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _nothing() -> None:
    pass


def _check_head(
    request: gcs_errors.Request,
    info: ObjectInfo,
    response: http.client.HTTPResponse,
    offset: int,
    length: int,
) -> None:
    """Refuses an answer whose body is not the range that was asked for."""
    status = response.status
    if status == 416:
        raise errors.ObjectChangedError(
            f"{request.uri} is shorter than the {info.size} bytes that it had: nothing is at byte "
            f"{offset}."
        )
    if 300 <= status < 400:
        raise errors.StorageError(
            f"{request.uri}: the server sends on to {response.headers.get('Location')!r} "
            f"({status}), which is not followed."
        )
    if status not in (200, 206):
        body = response.read(_ERROR_BYTES)
        raise gcs_errors.of_response(request, status, body, response.headers.get("Retry-After"))
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise errors.StorageError(
            f"{request.uri} is stored compressed (Content-Encoding: "
            f"{response.headers['Content-Encoding']}): parts of it cannot be read. Upload it as it "
            "is."
        )
    if status == 200 and not (offset == 0 and length == info.size):
        raise errors.StorageError(
            f"{request.uri}: the server sent all of it where bytes {offset} to "
            f"{offset + length - 1} were asked for. A proxy between may drop the Range header."
        )
    if status == 206:
        said = response.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(said)
        if match and match[3] not in ("*", str(info.size)):
            raise errors.ObjectChangedError(
                f"{request.uri} has {match[3]} bytes, where it had {info.size}."
            )
        if not match or (int(match[1]), int(match[2])) != (offset, offset + length - 1):
            raise errors.TransientError(
                f"{request.uri}: bytes {offset} to {offset + length - 1} were asked for, and "
                f"{said or 'others'!r} came"
            )


def _fill(response: http.client.HTTPResponse, buffer: memoryview, attempt: Attempt) -> None:
    # What each call of the system brings is counted at once: nothing is lost when the next fails.
    source = response.fp if response.length == len(buffer) else None
    done = 0
    while done < len(buffer):
        piece = buffer[done : done + _PIECE]
        count = source.readinto1(piece) if source is not None else response.readinto(piece)
        if not count:
            raise errors.TransientError(f"the body ended {len(buffer) - done} bytes too early")
        done += count
        attempt.advance(count)


@contextlib.contextmanager
def _faults(request: gcs_errors.Request, stall: float) -> Iterator[None]:
    """Tells what goes wrong on the way as tfstream's errors."""
    try:
        yield
    except errors.TransientError as error:
        if request.uri in str(error):
            raise
        raise errors.TransientError(f"{request.uri}: {error}") from error
    except errors.TfstreamError:
        raise
    except TimeoutError as error:
        fault = errors.TransientError(f"{request.uri}: no byte came for {stall:g} s")
        fault.stalled = stall
        raise fault from error
    except ssl.SSLCertVerificationError as error:
        raise errors.StorageError(
            f"{request.uri}: the server's certificate is not trusted: {error.verify_message}."
        ) from error
    except auth.GoogleAuthError as error:
        raise gcs_errors.of_exception(request, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: of reading a response that was closed under the reader.
        reason = str(error) or type(error).__name__
        raise errors.TransientError(f"{request.uri}: {reason}") from error

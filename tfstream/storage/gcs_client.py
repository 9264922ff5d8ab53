"""The connection to Google Cloud Storage: credentials, and clients that threads share."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import google.auth
import google.auth.exceptions
import google.auth.transport.requests
import requests.adapters
from google.api_core.client_info import ClientInfo
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import storage

import tfstream
from tfstream.errors import AccessDeniedError, InvalidArgumentError
from tfstream.storage.directory import Access
from tfstream.storage.gcs_errors import Asker
from tfstream.storage.gcs_range import RangeReader

__all__ = ["Connection", "connect"]

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_EMULATOR = "STORAGE_EMULATOR_HOST"
_ENDPOINT = "API_ENDPOINT_OVERRIDE"
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_POOL = 64  # connections that are kept open

# How long a machine that does not look like Google's is asked whether it is.
_METADATA_SECONDS = 2.0

_LOGIN = (
    "Run `gcloud auth application-default login`, or let "
    f"{_CREDENTIALS} name a service account's key file."
)


@dataclasses.dataclass(frozen=True)
class Connection:
    """What all requests of one right, in one process, go through.

    Attributes:
        client: Google's.
        session: What it sends requests with, credentials included.
        ranges: Reads parts of objects.
        asker: Who asks, for messages.
    """

    client: storage.Client
    session: google.auth.transport.requests.AuthorizedSession
    ranges: RangeReader
    asker: Asker


_lock = threading.Lock()
_connections: dict[tuple[object, ...], Connection] = {}


def _forget() -> None:
    """A child process must not talk through its parent's sockets."""
    global _lock
    _lock = threading.Lock()
    _connections.clear()


os.register_at_fork(after_in_child=_forget)


def connect(access: Access) -> Connection:
    """The process's connection for a right; made when it is first asked for.

    Raises:
        AccessDeniedError: Credentials were asked for and there are none, or they cannot be used.
    """
    key = (access, *map(os.environ.get, (_EMULATOR, _ENDPOINT, _CREDENTIALS)))
    with _lock:
        if key not in _connections:
            _connections[key] = _open(access)
        return _connections[key]


def _open(access: Access) -> Connection:
    host = os.environ.get(_EMULATOR, "")
    if host and "://" not in host:
        raise InvalidArgumentError(
            f"{_EMULATOR} is {host!r}, which lacks how to speak to it: set it to http://{host}"
        )
    credentials, asker = _credentials(access)
    session = google.auth.transport.requests.AuthorizedSession(credentials)
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_POOL))
    agent = f"tfstream/{tfstream.__version__}"
    client = storage.Client(
        project=None,
        credentials=credentials,
        _http=session,
        client_info=ClientInfo(user_agent=agent),
    )
    # Of use to traces alone; it asks for the bucket's metadata, in a thread, which few may read.
    client._bucket_metadata_cache = None
    ranges = RangeReader(client.api_endpoint, credentials, keep=_POOL, agent=agent)
    return Connection(client, session, ranges, asker)


def _credentials(access: Access) -> tuple[Credentials, Asker]:
    if access.anonymous:
        advice = "Open it with credentials instead of anonymously, unless the bucket is public."
        return AnonymousCredentials(), Asker("nobody (anonymous)", advice, access.project)
    if os.environ.get(_EMULATOR):
        return AnonymousCredentials(), Asker("the emulator's user", "", access.project)
    try:
        with _without_warnings():
            found, _ = google.auth.default(scopes=[_SCOPE], request=_MetadataRequest())
    except google.auth.exceptions.DefaultCredentialsError as error:
        if os.environ.get(_CREDENTIALS):
            raise AccessDeniedError(
                errno.EACCES,
                f"The credentials that {_CREDENTIALS} names "
                f"({os.environ[_CREDENTIALS]}) cannot be used: {error}",
            ) from error
        if access.anonymous is False:
            raise AccessDeniedError(
                errno.EACCES, f"There are no Google credentials on this machine. {_LOGIN}"
            ) from error
        nobody = "nobody (there are no Google credentials on this machine)"
        return AnonymousCredentials(), Asker(nobody, _LOGIN, access.project)
    email = getattr(found, "service_account_email", None)
    name = f"the service account {email}" if email else "the account that is logged in"
    return found, Asker(name, "", access.project)


class _MetadataRequest(google.auth.transport.requests.Request):
    """Asks the metadata server, and takes silence for an answer.

    Google's library would ask three times, with pauses between, and then go by what the machine
    is made by: whoever has no credentials would wait ten seconds for being told so.
    """

    def __call__(self, url: str, *args: Any, **kwargs: Any) -> Any:
        if _is_googles_machine():
            return super().__call__(url, *args, **kwargs)
        kwargs["timeout"] = min(kwargs.get("timeout") or _METADATA_SECONDS, _METADATA_SECONDS)
        try:
            return super().__call__(url, *args, **kwargs)
        except google.auth.exceptions.TransportError:
            return _NoAnswer()


def _is_googles_machine() -> bool:
    with contextlib.suppress(OSError), open("/sys/class/dmi/id/product_name") as file:
        return file.read().startswith("Google")
    return False


class _NoAnswer:
    """What came of a request that nobody answered."""

    status = 0
    data = b""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps the search for credentials from being told on standard error, step by step."""

    def drop(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    names = ("google.auth._default", "google.auth.compute_engine._metadata")
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(drop)

"""What Google Cloud Storage answers, told as tfstream's errors."""

from __future__ import annotations

import dataclasses
import email.utils
import errno
import json
import time

import google.api_core.exceptions
import google.auth.exceptions
import requests
import urllib3.exceptions
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from tfstream import errors

__all__ = [
    "Asker",
    "Request",
    "of_exception",
    "of_response",
    "seconds_to_wait",
]

_LIMITED = {"rateLimitExceeded", "userRateLimitExceeded"}  # a 403 that passes


@dataclasses.dataclass(frozen=True)
class Asker:
    """Who asks, for messages.

    Attributes:
        name: "the service account a@b", "nobody (anonymous)" ...
        advice: What gives more rights than that, a sentence; "" where it is a role alone.
        project: Billed for requests; None: the bucket's own.
    """

    name: str
    advice: str = ""
    project: str | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for, for messages.

    Attributes:
        uri: Of the object or the prefix.
        bucket: Its bucket's name.
        asker: Who asked.
        writes: Whether it was to be made or deleted.
        of_bucket: Whether the request was one to the bucket, so that nothing but the bucket
            can be missing.
    """

    uri: str
    bucket: str
    asker: Asker
    writes: bool = False
    of_bucket: bool = False


def of_response(
    request: Request, status: int, body: bytes, retry_after: str | None = None
) -> errors.StorageError:
    """The error for an answer that is not a success.

    Args:
        request: What was asked for.
        status: HTTP's.
        body: What came with it: JSON or text, or the beginning of it.
        retry_after: The header of that name.
    """
    reason, message = _parse(body)
    said = f" ({status}: {message})" if message else f" ({status})"
    if status in (408, 429) or status >= 500 or (status == 403 and reason in _LIMITED):
        error = errors.TransientError(f"{request.uri}: the server is not able to answer{said}")
        error.retry_after = seconds_to_wait(retry_after)
        return error
    lowered = message.lower()
    if status == 400 and ("requester pays" in lowered or reason == "required"):
        return errors.AccessDeniedError(
            errno.EACCES,
            f"{request.uri}: the bucket's owner has its readers pay{said}. Name the project that "
            "shall be billed (project=, --project).",
        )
    if request.asker.project and status in (400, 403) and _is_of_project(reason, lowered):
        return errors.AccessDeniedError(
            errno.EACCES,
            f"{request.uri}: the project {request.asker.project!r} cannot be billed{said}. Check "
            "its name; whoever reads needs roles/serviceusage.serviceUsageConsumer on it.",
        )
    if status in (401, 403):
        return _denied(request, said)
    if status == 404:
        if request.of_bucket or "bucket does not exist" in lowered:
            return errors.BucketNotFoundError(
                errno.ENOENT,
                f"The bucket gs://{request.bucket} does not exist ({request.uri} was asked for). "
                "Check its name.",
            )
        return errors.ObjectNotFoundError(errno.ENOENT, f"{request.uri} does not exist.")
    if status == 412:
        return errors.ObjectExistsError(
            errno.EEXIST, f"{request.uri} exists already; it is left as it was."
        )
    return errors.StorageError(errno.EIO, f"{request.uri}: the server refused the request{said}.")


def _is_of_project(reason: str, message: str) -> bool:
    return (
        "project" in reason.lower()
        or "serviceusage.services.use" in message
        or "unknown project" in message
        or "user project" in message
    )


def _denied(request: Request, said: str) -> errors.AccessDeniedError:
    role = "roles/storage.objectUser" if request.writes else "roles/storage.objectViewer"
    verb = "written" if request.writes else "read"
    advice = request.asker.advice or f"Grant it {role} on the bucket gs://{request.bucket}."
    if request.asker.advice:
        advice += f" The account needs {role} on the bucket gs://{request.bucket}."
    return errors.AccessDeniedError(
        errno.EACCES,
        f"{request.uri} may not be {verb} by {request.asker.name}{said}. {advice}",
    )


def of_exception(request: Request, error: Exception) -> errors.StorageError:
    """The error for what Google's library, or those that it stands on, raised.

    Raises:
        Exception: `error` itself, where it is none of theirs.
    """
    if isinstance(error, errors.StorageError):
        return error
    if isinstance(error, google.api_core.exceptions.GoogleAPICallError):
        response = error.response
        if isinstance(response, requests.Response):
            return of_response(
                request, response.status_code, response.content, response.headers.get("Retry-After")
            )
        return of_response(request, error.code or 500, str(error).encode())
    if isinstance(error, DataCorruption):
        return errors.TransientError(
            f"{request.uri}: the bytes that came do not match their CRC32C"
        )
    if isinstance(error, InvalidResponse):
        response = error.response
        return of_response(request, response.status_code, response.content)
    if isinstance(error, google.auth.exceptions.InvalidOperation):
        # 401 with no credentials: there are none to renew.
        return _denied(request, " (401)")
    if isinstance(error, google.auth.exceptions.TransportError) or (
        isinstance(error, google.auth.exceptions.GoogleAuthError) and error.retryable
    ):
        return errors.TransientError(f"{request.uri}: no access token could be had: {error}")
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return errors.AccessDeniedError(
            errno.EACCES,
            f"{request.uri}: the credentials cannot be used: {error}. Renew them with `gcloud auth "
            "application-default login`, or check GOOGLE_APPLICATION_CREDENTIALS.",
        )
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY" in str(error):
        return errors.StorageError(
            errno.EIO, f"{request.uri}: the server's certificate is not trusted: {error}."
        )
    if isinstance(
        error, (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError)
    ):
        return errors.TransientError(f"{request.uri}: {_in_words(error)}")
    raise error


def _in_words(error: BaseException) -> str:
    """What is at the bottom of nested exceptions of requests and urllib3."""
    inner = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__ or inner
    text = str(inner) or str(error)
    return text if text and not text.startswith("(") else f"{type(error).__name__}: {text}"


def _parse(body: bytes) -> tuple[str, str]:
    """(reason, message) of an error's body; a plain text is its own message."""
    try:
        error = json.loads(body)["error"]
        reason = str((error.get("errors") or [{}])[0].get("reason", ""))
        return reason, " ".join(str(error.get("message", "")).split())
    except (ValueError, TypeError, KeyError, LookupError, AttributeError):
        text = " ".join(body.decode(errors="replace").split())
        return "", "" if text.startswith("<") else text[:300].rstrip(".")


def seconds_to_wait(header: str | None) -> float | None:
    """What a Retry-After header asks for: seconds, or a date.

    >>> seconds_to_wait("7"), seconds_to_wait("soon"), seconds_to_wait(None)
    (7.0, None, None)
    """
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None

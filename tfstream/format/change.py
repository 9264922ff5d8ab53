"""How a version came about: who made it, when, from which one, and what for."""

from __future__ import annotations

import datetime
import getpass
import os
import socket

from tfstream.errors import InvalidArgumentError
from tfstream.v1 import manifest_pb2

__all__ = ["OPERATIONS", "change", "signature"]

OPERATIONS = ("pack", "index", "append", "remove", "relabel", "rollback")

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST = 10_000  # characters: a message is a note, and each reader of the manifest loads it


def change(
    operation: str, *, message: str = "", author: str | None = None, parent: int
) -> manifest_pb2.Change:
    """What a manifest says of how its version came about, at this moment.

    >>> change("append", message="the night drives", author="ann", parent=1).parent
    1

    Args:
        operation: One of `OPERATIONS`.
        message: What for, in the words of who made it.
        author: Who; None: $TFSTREAM_AUTHOR, or the user's name and the host's.
        parent: The version that this one was made from; 0: none.

    Returns:
        The change. Its time is that of the clock, or $SOURCE_DATE_EPOCH (seconds since 1970) where
        that is set: what is made of equal input then has equal bytes.

    Raises:
        InvalidArgumentError: A text is too long or not UTF-8, or $SOURCE_DATE_EPOCH is no time.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"operation={operation!r} is not one of {OPERATIONS}")
    _require_text("message", message)
    who, when = signature(author)
    return manifest_pb2.Change(
        message=message, author=who, time=when, parent=parent, operation=operation
    )


def signature(author: str | None = None) -> tuple[str, str]:
    """Who does something, and when, as a dataset's files say it.

    >>> signature("ann")
    ('ann', '...-...-...T...:...:...Z')

    Args:
        author: Who; None: $TFSTREAM_AUTHOR, or the user's name and the host's.

    Raises:
        InvalidArgumentError: As of `change`.
    """
    who = author if author is not None else os.environ.get("TFSTREAM_AUTHOR") or _user()
    _require_text("author", who)
    return who, _now().strftime(_TIME)


def _now() -> datetime.datetime:
    """The time to write down, UTC."""
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if not stated:
        return datetime.datetime.now(datetime.timezone.utc)
    try:
        return datetime.datetime.fromtimestamp(int(stated), datetime.timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgumentError(
            f"SOURCE_DATE_EPOCH={stated!r} in the environment is no time: give whole seconds since "
            "1970, or unset it."
        ) from error


def _user() -> str:
    """The user's name and the host's, as far as they are known."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # an unnamed user, as in some containers
        name = f"user {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def _require_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{name}={text!r} must be text.")
    if len(text) > _LONGEST:
        raise InvalidArgumentError(
            f"The {name} has {len(text):,} characters, of {_LONGEST:,} at most: shorten it."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"The {name} {text!r} is not UTF-8: see to the terminal's encoding."
        ) from error

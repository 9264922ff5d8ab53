"""Names that users give: of slices and tags."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from tfstream.errors import InvalidArgumentError

__all__ = ["is_name", "nearest", "require_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_name(text: object) -> bool:
    """Whether it may be the name of a slice or a tag.

    >>> is_name("night-2024.1"), is_name("../x"), is_name("")
    (True, False, False)
    """
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def require_name(name: str, what: str) -> None:
    """Refuses what cannot be a file's name everywhere.

    Args:
        name: That the user gave.
        what: Is to be named: "slice", "tag".

    Raises:
        InvalidArgumentError: It cannot be a name.
    """
    if not is_name(name):
        raise InvalidArgumentError(
            f"{name!r} cannot be the name of a {what}: it must be of letters (a to z), digits, "
            "'.', '_' and '-', 100 of them at most, the first a letter or a digit."
        )


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """The end of a message that says what there is instead.

    >>> nearest("nihgt", ["night", "day"], "slices")
    "Nearest: 'night'."
    >>> nearest("x", [], "slices")
    'It has no slices.'
    """
    listed = list(known)
    near = difflib.get_close_matches(name, listed, n=3)
    if near:
        return f"Nearest: {', '.join(map(repr, near))}."
    if not listed:
        return f"It has no {what}."
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return f"Its {what}: {', '.join(listed[:10])}{more}."

"""How a mistake in a query is shown: the place under a caret, the name that may be meant."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from tfstream.errors import QueryError

__all__ = ["Mistake", "nearest", "query_error"]

_SHOWN = 72  # characters of a long query, around the mistake
_LONG = 60  # characters of a word in a message
_COMPARED = 100  # characters of a name: the comparison's time grows with their product


class Mistake(Exception):
    """What is wrong and where, raised where the query's text is not at hand.

    Attributes:
        message: Sentences.
        column: Of the query's text, from 1.
    """

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


def query_error(message: str, text: str, column: int) -> QueryError:
    r"""The error of a mistake: what it is, and the query with a caret under the place.

    Args:
        message: Sentences.
        text: The query.
        column: Of the mistake, from 1; one past the end where something is missing.

    >>> print(query_error("The width is not a name.", "width > 3 width", 11))
    The width is not a name. (column 11)
      width > 3 width
                ^
    """
    place = min(max(column - 1, 0), len(text))
    start = max(0, place - _SHOWN // 2)
    stop = min(len(text), start + _SHOWN)
    start = max(0, min(start, stop - _SHOWN))
    before = ("…" if start else "") + _plain(text[start:place])
    after = _plain(text[place:stop]) + ("…" if stop < len(text) else "")
    caret = " " * sum(_cells(character) for character in before) + "^"
    message = re.sub(rf"(\S{{{_LONG}}})\S+", r"\1…", message)[: 20 * _LONG]
    return QueryError(
        f"{_plain(message)} (column {column})\n  {before}{after}\n  {caret}", text, column
    )


def _plain(text: str) -> str:
    """The text on one line, with nothing that cannot be printed."""
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in ("Cc", "Cs", "Cf"):
        return "\N{REPLACEMENT CHARACTER}"
    return character


def _cells(character: str) -> int:
    """How many columns of a terminal it takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another, whatever the case; None: none is like it.

    >>> nearest("Widht", ["height", "width"])
    'width'
    """
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold()[:_COMPARED], candidate)
    near = difflib.get_close_matches(name.casefold()[:_COMPARED], folded, n=1)
    return folded[near[0]] if near else None

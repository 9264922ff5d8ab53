"""Values as a query writes them: text, numbers, dates and patterns."""

from __future__ import annotations

import datetime
import math
import re

from tfstream.query.mistakes import Mistake
from tfstream.query.tree import Period

__all__ = ["date", "has_wildcards", "name", "number", "unescape", "unquote", "wildcards"]

_LARGEST = (1 << 63) - 1  # of the integers that a column can hold

_PART = re.compile(r"""\"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:[^"'\\]|\\.)+""", re.DOTALL)

_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def unescape(raw: str) -> str:
    r"""The text of a word: a backslash goes, what is behind it stays.

    >>> unescape(r"traffic\ light")
    'traffic light'
    """
    return re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)


def unquote(raw: str) -> str:
    r"""The text between quotation marks; a backslash frees them, and itself.

    >>> unquote(r'"a \"b\" c:\d"')
    'a "b" c:\\d'
    """
    return re.sub(r"""\\(["'\\])""", r"\1", raw[1:-1])


def name(raw: str) -> str:
    """A field's name, parts of which may be quoted.

    >>> name('labels."traffic light"')
    'labels.traffic light'
    """
    return _PART.sub(
        lambda part: unquote(part[0]) if part[0][0] in "\"'" else unescape(part[0]), raw
    )


def wildcards(raw: str) -> list[str]:
    r"""A word in pieces: the wildcards "*" and "?", and the text between them.

    Text that begins with a wildcard keeps the backslash before it: it is text all the same.

    >>> wildcards(r"front*\?_0?")
    ['front', '*', '\\?_0', '?']
    """
    return [piece for piece in re.findall(r"\*+|\?|(?:[^\\*?]|\\.)+", raw, re.DOTALL) if piece]


def has_wildcards(raw: str) -> bool:
    r"""Whether a word is a pattern.

    >>> has_wildcards("front*"), has_wildcards(r"front\*")
    (True, False)
    """
    return any(piece[0] in "*?" for piece in wildcards(raw))


def number(raw: str, column: int) -> int | float:
    """The number that the digits say.

    Raises:
        Mistake: It is larger than any number can be.
    """
    value = float(raw)
    if math.isinf(value):
        raise Mistake(f"The number {raw} is too large.", column)
    digits = raw.lstrip("+-").lstrip("0") or "0"
    if not digits.isdecimal() or len(digits) > len(str(_LARGEST)):
        return value
    exact = -int(digits) if raw[0] == "-" else int(digits)
    return exact if -_LARGEST <= exact <= _LARGEST else value


def date(raw: str, column: int) -> Period:
    """The day, or the minute, second or microsecond, that a date or time names.

    Without a time zone it is UTC.

    Raises:
        Mistake: There is no such date or time.

    >>> date("2024-01-31", 1).after
    datetime.datetime(2024, 2, 1, 0, 0)
    """
    match = _DATE.fullmatch(raw)
    try:
        if match is None:
            raise ValueError(raw)
        year, month, day, hour, minute, second, fraction, zone = match.groups()
        first = datetime.datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int(((fraction or "") + "000000")[:6]),
        ) - _offset(zone)
        if fraction is not None:
            length = datetime.timedelta(microseconds=1)
        elif second is not None:
            length = datetime.timedelta(seconds=1)
        elif minute is not None:
            length = datetime.timedelta(minutes=1)
        else:
            length = datetime.timedelta(days=1)
        return Period(first, first + length)
    except (ValueError, OverflowError):
        raise Mistake(
            f"There is no date {raw}. Dates are written 2024-01-31 or "
            "2024-01-31T12:30:00Z; where it is meant as text, quote it.",
            column,
        ) from None


def _offset(zone: str | None) -> datetime.timedelta:
    """How far the zone's clocks are ahead of UTC."""
    if zone is None or zone in "Zz":
        return datetime.timedelta()
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 15 or minutes > 59:
        raise ValueError(zone)
    ahead = datetime.timedelta(hours=hours, minutes=minutes)
    return -ahead if zone[0] == "-" else ahead

"""Numbers and tables as people read them on a terminal, and ages as they write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TextIO

from tfstream.errors import InvalidArgumentError

__all__ = ["age", "bar", "count", "harmless", "plural", "shows_blocks", "size", "table"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_AGE = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(s|min|m|h|d|w)\s*")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def size(count: float) -> str:
    """A number of bytes with its decimal unit.

    >>> size(0), size(999), size(1_500), size(128_000_000), size(999_960)
    ('0 B', '999 B', '1.5 kB', '128 MB', '1.0 MB')
    """
    for unit in _UNITS:
        # Rounded before it is compared: never "1000 kB".
        shown = f"{count:.1f}" if unit != "B" and round(count, 1) < 100 else f"{count:.0f}"
        if float(shown) < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{shown} {unit}"


def count(value: int) -> str:
    """A whole number, its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """A number of things.

    >>> plural(1, "record"), plural(2000, "record")
    ('1 record', '2,000 records')
    """
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def age(text: str, option: str) -> float:
    """The seconds that an option's text means.

    >>> age("90min", "--older-than"), age("7d", "--older-than")
    (5400.0, 604800.0)

    Raises:
        InvalidArgumentError: It is no age.
    """
    match = _AGE.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(
            f"{option}={text!r} is not an age: give a number with a unit, such as '90min', "
            "'12h', '7d' or '2w'."
        )
    return float(match[1]) * _SECONDS[match[2]]


def harmless(text: str) -> str:
    r"""A text from a file, without anything that a terminal would obey.

    >>> print(harmless("a\x1b[31m\n"))
    a\x1b[31m\n
    """
    return "".join(_visible(text))


def _visible(text: str) -> Iterator[str]:
    for letter in text:
        yield letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def bar(fraction: float, width: int, *, blocks: bool = True) -> str:
    """A bar that fills a part of `width` characters; something, where the part is not nothing.

    >>> bar(0.5, 4), bar(0.0, 4), bar(0.001, 4), bar(0.5, 4, blocks=False)
    ('██', '', '▏', '##')

    Args:
        fraction: 0 to 1.
        width: Of the whole, in characters.
        blocks: Draw it with block characters; else with "#".
    """
    eighths = round(fraction * width * 8)
    if fraction > 0:
        eighths = max(eighths, 1)
    if not blocks:
        return "#" * -(-eighths // 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + _EIGHTHS[rest].strip()


def shows_blocks(stream: TextIO) -> bool:
    """Whether what is written there may have block characters."""
    try:
        _EIGHTHS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with their columns aligned, the first to the left, the others to the right.

    >>> table([["split", "n"], ["train", "10"]])
    ['split   n', 'train  10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from tfstream.errors import InvalidArgumentError

__all__ = ["parse_size"]

_SIZE = re.compile(r"\s*(\d{1,19}(?:\.\d{1,19})?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def parse_size(size: int | str, name: str = "size") -> int:
    """A number of bytes, given as a number or with a unit: kB, MB, GB, TB, or KiB, MiB, GiB, TiB.

    >>> parse_size("64MB"), parse_size("1.5 GiB"), parse_size(4096)
    (64000000, 1610612736, 4096)

    Args:
        size: What was given.
        name: What to call it in the error.

    Raises:
        InvalidArgumentError: It is not a size, or less than a byte.
    """
    value: int | None = None
    if isinstance(size, int) and not isinstance(size, bool):
        value = size
    elif isinstance(size, str) and (match := _SIZE.fullmatch(size)):
        number, prefix, binary = match.groups()
        step = 1024 if binary else 1000
        value = int(Fraction(number) * step ** ("kmgt".index(prefix.lower()) + 1 if prefix else 0))
    if value is None or not 1 <= value < 2**63:
        raise InvalidArgumentError(
            f"{name}={size!r} is not a size: give bytes as a number above 0, or with a unit such "
            "as '64MB' or '1GiB'."
        )
    return value

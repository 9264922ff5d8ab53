"""Fractions of an image's side as decimals that are read back to the very same fractions."""

from __future__ import annotations

import struct

import numpy as np

__all__ = ["corner", "edge", "middle", "plain", "shortest", "span"]

_MOST_DECIMALS = 9
_FLOAT32 = struct.Struct("<f")


def _float32(value: float) -> float:
    """The nearest float32, which is what records hold."""
    rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    return rounded


def edge(fraction: float, of: int) -> str:
    """The shortest decimal of pixels that gives a fraction back, which is a float32.

    >>> edge(_float32(120 / 500), 500), edge(_float32(1.5 / 37), 37)
    ('120', '1.5')

    Args:
        fraction: Of the side, 0 to 1.
        of: The side in pixels.
    """
    wanted = _float32(fraction)
    for decimals in range(_MOST_DECIMALS):
        shown = f"{fraction * of:.{decimals}f}"
        if _float32(float(shown) / of) == wanted:
            return shown
    return repr(fraction * of)


def corner(fraction: float, of: int) -> str:
    """The same for readers that hold the pixels as float32, too: within one unit in the last place.

    What came from such a reader is given back exactly.
    """
    wanted = _float32(fraction)
    for decimals in range(_MOST_DECIMALS):
        shown = f"{fraction * of:.{decimals}f}"
        if _float32(_float32(float(shown)) / of) == wanted:
            return shown
    return repr(fraction * of)


def span(low: float, high: float, of: int) -> tuple[float, float]:
    """Where an interval begins and how long it is, in pixels, so that both ends are given back.

    >>> span(_float32(473.07 / 640), _float32((473.07 + 38.65) / 640), 640)
    (473.07, 38.65)

    Args:
        low: A float32 fraction of the side.
        high: Another one.
        of: The side in pixels.
    """
    begin, end = edge(low, of), edge(high, of)
    start, size = float(begin), float(end) - float(begin)
    fewest = max(len(text.partition(".")[2]) for text in (begin, end))
    for decimals in range(fewest, 2 * _MOST_DECIMALS):
        short = round(size, decimals)
        if _float32((start + short) / of) == _float32(high):
            return start, short
    return start, size


def middle(low: float, high: float) -> tuple[str, str]:
    """The middle and the length of an interval, such that both ends are given back.

    >>> middle(0.25, 0.75)
    ('0.5', '0.5')

    Args:
        low: A float32 from 0 to 1; one below 1e-8, of which a sum of doubles near 1 has nothing
            left, is given back within 1e-16.
        high: A larger one.
    """
    at, size = (low + high) / 2, high - low
    for decimals in range(1, 2 * _MOST_DECIMALS):
        shown = f"{at:.{decimals}f}", f"{size:.{decimals}f}"
        begin = float(shown[0]) - float(shown[1]) / 2
        end = float(shown[0]) + float(shown[1]) / 2
        if _float32(max(begin, 0)) == _float32(low) and _float32(min(end, 1)) == _float32(high):
            return shown
    return repr(at), repr(size)


def shortest(fraction: float) -> float:
    """The number with the fewest digits whose float32 is the same.

    >>> shortest(_float32(0.1))
    0.1
    """
    return float(str(np.float32(fraction)))


def plain(shown: str) -> int | float:
    """A decimal as JSON writes it shortest.

    >>> plain("120"), plain("1.5")
    (120, 1.5)
    """
    return float(shown) if "." in shown or "e" in shown else int(shown)

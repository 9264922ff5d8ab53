"""Byte ranges, as arithmetic: what to ask for in one request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["GAP", "LARGEST_REQUEST", "Range", "coalesce", "cut", "subtract"]

GAP = 16 << 10  # bytes fetched and not used, rather than sent for in a request of their own
LARGEST_REQUEST = 8 << 20  # bytes; a longer range is fetched in several

Range = tuple[int, int]  # the first byte, and the one after the last


def coalesce(ranges: Iterable[Range], *, gap: int) -> list[Range]:
    """Joins ranges with at most `gap` bytes between them.

    >>> coalesce([(0, 4), (4, 6), (9, 12), (2, 3)], gap=2)
    [(0, 6), (9, 12)]

    Args:
        ranges: In any order; they may overlap.
        gap: Bytes.

    Returns:
        Sorted, without overlap.
    """
    joined: list[Range] = []
    for begin, end in sorted(ranges):
        if joined and begin <= joined[-1][1] + gap:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def cut(ranges: Iterable[Range], *, largest: int) -> list[Range]:
    """Cuts ranges at multiples of `largest` from their beginning.

    >>> cut([(1, 10)], largest=4)
    [(1, 5), (5, 9), (9, 10)]
    """
    return [
        (at, min(at + largest, end)) for begin, end in ranges for at in range(begin, end, largest)
    ]


def subtract(ranges: Iterable[Range], taken: Sequence[Range]) -> list[Range]:
    """What of the ranges none of `taken` covers.

    >>> subtract([(0, 10), (20, 30)], [(8, 22), (25, 26)])
    [(0, 8), (22, 25), (26, 30)]

    Args:
        ranges: Without overlap.
        taken: In any order; they may overlap.
    """
    left = []
    holes = coalesce(taken, gap=0)
    for begin, end in ranges:
        for hole_begin, hole_end in holes:
            if hole_end <= begin or hole_begin >= end:
                continue
            if hole_begin > begin:
                left.append((begin, hole_begin))
            begin = max(begin, hole_end)
        if begin < end:
            left.append((begin, end))
    return left

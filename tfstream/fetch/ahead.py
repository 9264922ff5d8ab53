"""How much of a remote dataset is fetched before it is asked for, as arithmetic."""

from __future__ import annotations

__all__ = ["WINDOWS_AHEAD", "first_windows", "remote_block", "window_records"]

# Windows under way at once: together they are the read-ahead.
WINDOWS_AHEAD = 4
_MOST_RECORDS = 4096
# What part of a window the first one is.
_FIRST_PART = 8
# Bytes of records that stay together in the shuffle, to be fetched at once.
_BLOCK_BYTES = 4 << 20
# But no fewer blocks than these for each lane.
_LEAST_BLOCKS_A_LANE = 8


def first_windows(window: int) -> list[int]:
    """Where the first windows of an epoch begin: an eighth of one, a quarter, a half.

    >>> first_windows(80)
    [0, 10, 30, 70]
    >>> first_windows(1)
    [0]
    """
    begins, size = [0], max(1, window // _FIRST_PART)
    while size < window:
        begins.append(begins[-1] + size)
        size *= 2
    return begins


def window_records(mean_bytes: float, read_ahead: int) -> int:
    """Samples a window, if all windows under way shall have `read_ahead` bytes together.

    >>> window_records(56_000, 64 << 20)
    299
    """
    fitting = read_ahead / WINDOWS_AHEAD / max(mean_bytes, 1)
    return int(min(max(fitting, 1), _MOST_RECORDS))


def remote_block(count: int, mean_bytes: float, lanes: int) -> int:
    """Elements that stay together in the shuffle where the user does not say.

    >>> remote_block(1_000_000, 100_000, lanes=16)
    41
    """
    fitting = int(_BLOCK_BYTES / max(1.0, mean_bytes))
    return max(1, min(fitting, count // (_LEAST_BLOCKS_A_LANE * max(1, lanes))))

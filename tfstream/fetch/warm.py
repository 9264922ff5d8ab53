"""Fetching records into the page cache before anybody asks for them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import CacheError
from tfstream.fetch.window import Window

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.counters import Counters
    from tfstream.fetch.source import RemoteSource

__all__ = ["warm"]

_WINDOW_BYTES = 16 << 20
_WINDOWS_AT_ONCE = 4


def warm(
    source: RemoteSource,
    numbers: npt.NDArray[np.int64],
    mean_bytes: float,
    counters: Counters,
    progress: Callable[[int], object],
) -> None:
    """Sees to it that records are in the page cache.

    Args:
        source: The dataset; it has a cache.
        numbers: int64 [n], the records, in storage order.
        mean_bytes: Of a record.
        counters: What is done is added here.
        progress: Is called with numbers of records that are there.

    Raises:
        CacheError: Something that was fetched could not be kept.
        StorageError: Something cannot be read.
    """

    def bring(some: npt.NDArray[np.int64]) -> int:
        with Window(source, some, counters) as window:
            window.fetch()
        source.files.flush()  # faster than the disk is no use here
        return len(some)

    step = max(1, int(_WINDOW_BYTES / max(1.0, mean_bytes)))
    parts = [numbers[begin : begin + step] for begin in range(0, len(numbers), step)]
    with ThreadPoolExecutor(_WINDOWS_AT_ONCE) as pool:
        running = [pool.submit(bring, part) for part in parts]
        try:
            for each in running:
                progress(each.result())
        finally:
            pool.shutdown(cancel_futures=True)
    if source.files.cache is not None and counters.snapshot().get("uncached"):
        raise CacheError(
            errno.ENOSPC,
            f"The cache {source.files.cache.directory} could not keep all that was fetched: the "
            "disk is full or read-only, or other processes are using what its limit allows. Free "
            "space, or raise the limit, and prefetch again: what is there is not fetched anew.",
        )

"""Memory for bytes that are fetched, used again and again."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

__all__ = ["Buffers"]

_LEAST = 64 << 10  # bytes; what is smaller the C library keeps by itself
_LARGEST = 8 << 20
_KEPT_BYTES = 24 << 20  # idle, of each size


class _Lent(np.ndarray[Any, Any]):
    """An array that goes home when nobody refers to it any more."""

    home: deque[np.ndarray[Any, Any]] | None = None

    def __del__(self) -> None:
        if self.home is not None and isinstance(self.base, np.ndarray):
            self.home.append(self.base)


class Buffers:
    """Lends memory; what is not referred to any more is lent again.

    Fresh memory comes from the system page by page, and each page costs more than
    the bytes that are put into it.
    """

    def __init__(self) -> None:
        # No lock: memory comes home at any moment, in the midst of whatever holds one.
        self._idle: dict[int, deque[np.ndarray[Any, Any]]] = {}
        size = _LEAST
        while size <= _LARGEST:
            self._idle[size] = deque(maxlen=max(1, _KEPT_BYTES // size))
            size *= 2

    def lend(self, length: int) -> memoryview:
        """Writable bytes of any content.

        Args:
            length: How many.
        """
        size = max(_LEAST, 1 << (length - 1).bit_length())
        if length < _LEAST or size > _LARGEST:
            return np.empty(length, np.uint8).data
        home = self._idle[size]
        try:
            memory = home.pop()
        except IndexError:
            memory = np.empty(size, np.uint8)
        lent = memory.view(_Lent)
        lent.home = home
        return lent.data[:length]

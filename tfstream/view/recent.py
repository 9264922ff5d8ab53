"""What was used last, within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps values by key; the least recently used go first. Safe to use from many threads.

    Args:
        limit: Bytes that the values may take together.

    >>> recent = Recent[str, bytes](10)
    >>> recent.put("a", b"1234", 4), recent.put("b", b"123456", 6), recent.get("a")
    (None, None, b'1234')
    >>> recent.put("c", b"123", 3), recent.get("b"), recent.get("a")
    (None, None, b'1234')
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """The value; None where it is not kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keeps a value of so many bytes; one that is larger than the limit is not kept."""
        with self._lock:
            self._bytes -= self._kept.pop(key, (None, 0))[1]
            self._kept[key] = (value, size)
            self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= self._kept.popitem(last=False)[1][1]

"""Records by their keys: a query at first, a table of hashes for whoever goes on asking."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfstream.query.condition import Condition

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.query.engine import Engine

    Integers = npt.NDArray[np.int64]

__all__ = ["KeyLookup"]

# Questions that are queries, and records for each further one. The table takes as long as some of
# them, of a large dataset as many of them, and 16 bytes a record.
_QUERIES = 3
_RECORDS_A_QUERY = 200_000
# 60 bits of the hash of a text.
_DIGITS = 15
_HASH = f"('0x' || md5(\"key\")[1:{_DIGITS}])::UBIGINT"


class KeyLookup:
    """Finds the records that have some keys; from any number of threads.

    Args:
        engine: Of the records.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked = 0
        self._lock = threading.Lock()
        self._table: tuple[npt.NDArray[np.uint64], Integers] | None = None

    def find(self, keys: Sequence[str]) -> tuple[Integers, list[str]]:
        """The records with one of these keys.

        Returns:
            int64 [n], their numbers, ascending; the key of each.

        Raises:
            CorruptRecordError: See `Engine.rows`.
        """
        rows = self._candidates(keys)
        names = self._engine.table(rows, ["key"])["key"].to_pylist()
        wanted = set(keys)
        right = [name in wanted for name in names]  # others have the same hash
        return rows[np.array(right, np.bool_)], [name for name in names if name in wanted]

    def _candidates(self, keys: Sequence[str]) -> Integers:
        with self._lock:
            self._asked += 1
            queries = _QUERIES + len(self._engine) // _RECORDS_A_QUERY
            if self._asked > queries and self._table is None:
                hashes = self._engine.evaluate(None, _HASH, dtype=np.uint64)
                order = np.argsort(hashes)
                self._table = hashes[order], order
        if self._table is None:
            marks = ", ".join("?" * len(keys))
            return self._engine.rows(Condition(f'"key" IN ({marks})', tuple(keys)))
        hashes, order = self._table
        wanted = np.array([_hash(key) for key in set(keys)], np.uint64)
        begins = np.searchsorted(hashes, wanted, side="left")
        ends = np.searchsorted(hashes, wanted, side="right")
        found = [order[begin:end] for begin, end in zip(begins, ends, strict=True)]
        return np.sort(np.concatenate([np.empty(0, np.int64), *found]))


def _hash(key: str) -> int:
    """What `_HASH` is of this key."""
    return int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:_DIGITS], 16)

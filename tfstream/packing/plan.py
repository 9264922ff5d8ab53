"""The plan of a pack, as arithmetic: in which order records lie, and where shards are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["cut", "key_hash", "order", "order_splits", "shard_stem"]

_CONVENTIONAL = ("train", "val", "validation", "test")


def key_hash(key: str, seed: int) -> int:
    """The 64-bit number that a record's place in its split follows from.

    It depends on nothing but the key and the seed: other records come and go without moving it.

    >>> key_hash("train/dog_1", seed=0) == key_hash("train/dog_1", seed=0)
    True
    >>> key_hash("train/dog_1", seed=0) == key_hash("train/dog_1", seed=1)
    False

    Args:
        key: Of the record.
        seed: From 0 to 2**64 - 1.
    """
    keyed = hashlib.blake2b(key.encode(), digest_size=8, key=seed.to_bytes(8, "little"))
    return int.from_bytes(keyed.digest(), "big")


def order(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The positions of records in the order in which they are stored.

    Equal hashes keep the order of the listing.

    Args:
        hashes: [n] of `key_hash`.

    Returns:
        [n]: the i-th stored record is that at position `order(hashes)[i]`.
    """
    return np.argsort(hashes, kind="stable")


def order_splits(names: Iterable[str]) -> list[str]:
    """Split names in the order in which a dataset lists them.

    >>> order_splits({"extra", "val", "train", "test"})
    ['train', 'val', 'test', 'extra']
    """
    return sorted(
        set(names),
        key=lambda name: (
            _CONVENTIONAL.index(name) if name in _CONVENTIONAL else len(_CONVENTIONAL),
            name,
        ),
    )


def cut(sizes: NDArray[np.int64], limit: int) -> list[int]:
    """Cuts a row of records into shards, each as long as the limit allows.

    >>> cut(np.array([40, 40, 40, 150, 10]), limit=100)
    [0, 2, 3, 4, 5]

    Args:
        sizes: [n] bytes of each record's frame, in storage order.
        limit: Bytes of a shard; a single larger record has a shard of its own.

    Returns:
        Where shards begin, and at last n: shard i holds the records from `[i]` up to `[i + 1]`.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    bounds = [0]
    while bounds[-1] < len(sizes):
        begin = bounds[-1]
        before = int(ends[begin - 1]) if begin else 0
        end = int(np.searchsorted(ends, before + limit, side="right"))
        bounds.append(max(end, begin + 1))
    return bounds


def shard_stem(split: str, commit: str, number: int) -> str:
    """A shard's file name, without extension.

    >>> shard_stem("train", "1f3a", 7)
    'train-1f3a-00007'
    """
    return f"{split}-{commit}-{number:05d}"

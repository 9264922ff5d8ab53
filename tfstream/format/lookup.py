"""The key of a record that is damaged: from the index, as the record cannot say it."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from tfstream.errors import CorruptRecordError, StorageError
from tfstream.format import index

__all__ = ["key_at"]


def key_at(shard_path: str | os.PathLike[str], offset: int) -> str | None:
    """The key of the record at a byte of a shard, from the index beside it.

    Args:
        shard_path: The shard; its index has the same name and the suffix `.parquet`, or, of a
            later version, that version's commit before the suffix.
        offset: Byte where the record's frame begins.

    Returns:
        The key; None where there is no index, or no such record in it.
    """
    own = Path(shard_path).with_suffix(".parquet")
    # Those of later versions: the garbage collector may have taken the first one's.
    for path in (own, *sorted(own.parent.glob(f"{glob.escape(own.stem)}-*.parquet"))):
        try:
            table = index.read(path, ["key", "offset"])
            place = table["offset"].to_pylist().index(offset)
        except (CorruptRecordError, StorageError, ValueError):
            continue
        return str(table["key"][place].as_py())
    return None

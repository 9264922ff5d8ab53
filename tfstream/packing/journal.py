"""What is known of a delivered shard, so that an interrupted pack need not write it again."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tfstream.format.statistics import Partial, Spread
from tfstream.packing.rejects import Reject
from tfstream.storage.directory import ObjectInfo
from tfstream.storage.local import write_atomically

__all__ = ["ShardResult", "from_bytes", "load", "save", "to_bytes"]


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """A shard that was written, and perhaps delivered.

    Attributes:
        stem: File name without extension.
        fingerprint: Of the image files that went into it, and of the programs that wrote it.
        bytes: Of the shard; 0 where no record was left for it, and there is no file.
        statistics: Of its records.
        rejects: Records that were found wrong only in writing.
        objects: The shard and its index at the destination, once they are there.
        resumed: Whether an earlier packer wrote it.
    """

    stem: str
    fingerprint: str
    bytes: int
    statistics: Partial
    rejects: tuple[Reject, ...] = ()
    objects: tuple[ObjectInfo, ...] = ()
    resumed: bool = False


def to_bytes(result: ShardResult) -> bytes:
    """A shard's journal, as a file holds it."""
    plain = {
        "stem": result.stem,
        "fingerprint": result.fingerprint,
        "bytes": result.bytes,
        "statistics": {
            field.name: _plain(getattr(result.statistics, field.name))
            for field in dataclasses.fields(Partial)
        },
        "rejects": [dataclasses.asdict(reject) for reject in result.rejects],
        "objects": [dataclasses.asdict(info) for info in result.objects],
    }
    return json.dumps(plain).encode()


def from_bytes(data: bytes) -> ShardResult | None:
    """What a journal says, resumed; None where it cannot be used."""
    try:
        plain = json.loads(data)
        sums = plain["statistics"]
        return ShardResult(
            stem=plain["stem"],
            fingerprint=plain["fingerprint"],
            bytes=plain["bytes"],
            statistics=Partial(**{name: _value(value) for name, value in sums.items()}),
            rejects=tuple(Reject(**reject) for reject in plain["rejects"]),
            objects=tuple(ObjectInfo(**info) for info in plain["objects"]),
            resumed=True,
        )
    except (ValueError, KeyError, TypeError):
        return None  # written by another tfstream, or damaged: the shard is written again


def save(path: Path, result: ShardResult) -> None:
    """Writes a shard's journal file."""
    with write_atomically(path) as file:
        file.write(to_bytes(result))


def load(path: Path) -> ShardResult | None:
    """Reads a shard's journal file; None where there is none that can be used."""
    try:
        return from_bytes(path.read_bytes())
    except OSError:
        return None


def _plain(value: int | Counter[str] | Spread) -> Any:
    return [value.low, value.total, value.high] if isinstance(value, Spread) else value


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return Spread(*value)
    return Counter(value) if isinstance(value, dict) else value

"""What a pack is asked to do, checked once at the edge."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tfstream.errors import InvalidArgumentError

__all__ = [
    "DEFAULT_QUALITY",
    "DEFAULT_SHARD_BYTES",
    "ON_INVALID",
    "Options",
    "process_count",
]

DEFAULT_SHARD_BYTES = 128_000_000
# Of re-encoded images, where only their size was asked for.
DEFAULT_QUALITY = 90
ON_INVALID = ("error", "skip", "clip")

_JPEG_SIDE = 65_500  # pixels: what libjpeg can write


@dataclass(frozen=True)
class Options:
    """How to pack; equal options on equal input give equal bytes.

    Attributes:
        format: The annotation format, by its own name (not "auto").
        seed: Of the shuffle.
        shard_bytes: No shard is larger, unless a single record is.
        on_invalid: "error", "skip" or "clip".
        max_side: Images with a longer side are made smaller; None: none are.
        quality: JPEG quality to re-encode all images with; None: they stay as they are,
            unless `max_side` makes them smaller.
    """

    format: str
    seed: int = 0
    shard_bytes: int = DEFAULT_SHARD_BYTES
    on_invalid: str = "error"
    max_side: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        _require_int("seed", self.seed, 0, 2**64 - 1)
        _require_int("shard_bytes", self.shard_bytes, 1, 2**63 - 1)
        if self.on_invalid not in ON_INVALID:
            known = ", ".join(map(repr, ON_INVALID))
            raise InvalidArgumentError(f"on_invalid={self.on_invalid!r} is not one of {known}.")
        if self.max_side is not None:
            _require_int("max_side", self.max_side, 1, _JPEG_SIDE)
        if self.quality is not None:
            _require_int("quality", self.quality, 1, 100)

    @property
    def reencodes(self) -> bool:
        """Whether any image may be stored as other bytes than its file's."""
        return self.max_side is not None or self.quality is not None

    @property
    def stored_quality(self) -> int:
        """The JPEG quality of re-encoded images; 0 where none are."""
        return (self.quality or DEFAULT_QUALITY) if self.reencodes else 0


def process_count(processes: int | None) -> int:
    """How many processes to use: those asked for, or one a core that this process may run on.

    Raises:
        InvalidArgumentError: The number is out of range.
    """
    if processes is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    _require_int("processes", processes, 1, 1024)
    return processes


def _require_int(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgumentError(f"{name}={value!r} must be a whole number from {low} to {high}.")

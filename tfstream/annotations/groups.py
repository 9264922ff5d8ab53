"""Brings together what a large file says of each image, through files on disk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Groups"]

_PART = 16 << 20  # bytes of the input a part: one part at a time is in memory
_HELD = 32 << 20  # bytes that wait in memory to be written
_HEADER = struct.Struct("<II")


class Groups:
    """Values by name.

    Small inputs never touch the disk, and keep the order of first mention.
    """

    def __init__(self, scratch: Path, size: int) -> None:
        """Begins with nothing.

        Args:
            scratch: A directory for files.
            size: Bytes that will be added, about.
        """
        self._parts: list[list[bytes]] = [[] for _ in range(min(4096, size // _PART + 1))]
        self._scratch = scratch
        self._held = 0

    def add(self, name: str, value: bytes) -> None:
        """Adds a value behind the others of its name.

        Raises:
            OSError: It cannot be written.
        """
        key = name.encode("utf-8", "surrogateescape")
        part = self._parts[zlib.crc32(key) % len(self._parts)]
        part += _HEADER.pack(len(key), len(value)), key, value
        self._held += len(key) + len(value) + 150  # what objects weigh
        if self._held > _HELD and len(self._parts) > 1:
            self._write()

    def all(self) -> Iterator[tuple[str, list[bytes]]]:
        """Every name with its values, once; nothing is left then."""
        for number, part in enumerate(self._parts):
            path = self._path(number)
            data = b"".join(part)
            part.clear()
            if path.exists():
                data = path.read_bytes() + data
                path.unlink()
            found: dict[bytes, list[bytes]] = {}
            at = 0
            while at < len(data):
                key_size, size = _HEADER.unpack_from(data, at)
                begin = at + _HEADER.size
                at = begin + key_size + size
                found.setdefault(data[begin : begin + key_size], []).append(
                    data[begin + key_size : at]
                )
            del data
            for key, values in found.items():
                yield key.decode("utf-8", "surrogateescape"), values

    def _write(self) -> None:
        for number, part in enumerate(self._parts):
            if part:
                with open(self._path(number), "ab") as file:
                    file.write(b"".join(part))
                part.clear()
        self._held = 0

    def _path(self, number: int) -> Path:
        return self._scratch / f"group-{number}"

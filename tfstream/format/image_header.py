"""What the first bytes of an image file say it is: no more of it is looked at."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["ImageHeader", "read_header"]

_PNG = b"\x89PNG\r\n\x1a\n"
# Markers that begin a frame, and so state its size; C4, C8 and CC are something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length


class ImageHeader(NamedTuple):
    """An image file's format ("jpeg", "png", "bmp", "gif", "webp"), and its size in pixels.

    The size is that of the stored pixels: an EXIF orientation is not applied.
    """

    format: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader | None:
    """The format and size of an image file.

    Args:
        data: The file, or as much of its beginning as holds its header.

    Returns:
        None where the bytes are no image of a known format, or end before its size.

    >>> read_header(b"GIF89a" + bytes([3, 0, 2, 0]))
    ImageHeader(format='gif', width=3, height=2)
    """
    try:
        found = _read(data)
    except (struct.error, IndexError):
        return None
    return found if found is not None and found.width > 0 and found.height > 0 else None


def _read(data: bytes) -> ImageHeader | None:
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:8] == _PNG:
        return ImageHeader("png", *struct.unpack_from(">II", data, 16))
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return ImageHeader("gif", *struct.unpack_from("<HH", data, 6))
    if data[:2] == b"BM":
        width, height = struct.unpack_from("<ii", data, 18)
        return ImageHeader("bmp", width, abs(height))  # negative: its rows run downwards
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _jpeg(data: bytes) -> ImageHeader | None:
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return ImageHeader("jpeg", width, height)
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            if length < 2:
                return None
            at += 2 + length


def _webp(data: bytes) -> ImageHeader | None:
    kind = data[12:16]
    if kind == b"VP8X":
        size = data[24:30]
        width, height = int.from_bytes(size[:3], "little"), int.from_bytes(size[3:], "little")
        return ImageHeader("webp", width + 1, height + 1) if len(size) == 6 else None
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader("webp", (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("webp", width & 0x3FFF, height & 0x3FFF)
    return None

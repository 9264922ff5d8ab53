"""Masks of objects: PNGs of one channel, 1 where the object is; and COCO's run lengths."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfstream.errors import AnnotationError

__all__ = [
    "box",
    "decode",
    "encode",
    "from_runs",
    "resized",
    "runs",
    "runs_of",
    "size",
    "text_of",
    "turned",
]

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS = 1 << 28


def encode(mask: NDArray[Any]) -> bytes:
    """A mask as a PNG.

    Args:
        mask: [height, width]; what is not zero is the object.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((mask != 0).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def decode(mask: bytes, expected: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """The pixels of a mask: [height, width].

    Args:
        mask: A PNG.
        expected: (width, height) that it should have, if known.

    Raises:
        AnnotationError: It cannot be decoded, or has another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(mask), formats=["PNG"]) as picture:
            if expected not in (None, picture.size):  # before memory is taken for its pixels
                raise AnnotationError(
                    f"the mask has {picture.size} pixels, and the picture {expected}"
                )
            return np.asarray(picture.convert("L")) != 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"the mask cannot be decoded: {error}") from error


def size(mask: bytes) -> tuple[int, int]:
    """(width, height) of a mask, by its header.

    Raises:
        AnnotationError: It is not a PNG.
    """
    if not mask.startswith(_PNG) or len(mask) < 24:
        raise AnnotationError(f"the mask is not a PNG: it begins with {mask[:8]!r}")
    width, height = struct.unpack_from(">II", mask, 16)
    return width, height


def turned(mask: bytes, orientation: int) -> bytes:
    """A mask of stored pixels as EXIF's orientation displays them."""
    from PIL import Image

    way = {
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]
    with Image.open(io.BytesIO(mask)) as picture:
        return encode(np.asarray(picture.transpose(way)))


def resized(mask: bytes, new: tuple[int, int]) -> bytes:
    """A mask at another size (width, height), each pixel that of the nearest."""
    from PIL import Image

    with Image.open(io.BytesIO(mask)) as picture:
        return encode(np.asarray(picture.resize(new, Image.Resampling.NEAREST)))


def box(mask: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """(xmin, ymin, xmax, ymax) around a mask [height, width]; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def runs_of(text: str) -> list[int]:
    """The run lengths that COCO writes as text: six bits a character, and differences.

    >>> runs_of("24")
    [2, 4]

    Raises:
        AnnotationError: It is no such text.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise AnnotationError(f"its run lengths hold {letter!r}, which stands for none")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise AnnotationError("its run lengths are cut short")
    return runs


def from_runs(runs: list[int], width: int, height: int) -> NDArray[np.uint8]:
    """The mask [height, width] of run lengths down the columns: outside, inside, outside ...

    Raises:
        AnnotationError: They are not as many pixels as there are.
    """
    if not 0 < width * height <= _MOST_PIXELS:
        raise AnnotationError(f"its mask has {width} x {height} pixels")
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise AnnotationError(
            f"its run lengths are {sum(runs):,} pixels, and the mask of {width} x {height} has "
            f"{width * height:,}"
        )
    inside = np.arange(len(runs), dtype=np.uint8) & 1
    return np.repeat(inside, runs).reshape(width, height).T


def runs(mask: NDArray[Any]) -> list[int]:
    """The run lengths of a mask [height, width]; what `from_runs` takes.

    >>> runs(np.array([[0, 1], [1, 1]]))
    [1, 3]
    """
    flat = np.concatenate([[False], (mask != 0).T.ravel(), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    lengths: list[int] = np.diff(changes, prepend=0, append=mask.size).tolist()
    return lengths if lengths[-1] else lengths[:-1]


def text_of(runs: list[int]) -> str:
    """Run lengths as COCO writes them as text; what `runs_of` reads.

    >>> text_of([2, 4])
    '24'
    """
    letters: list[int] = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            letters.append(48 + (bits | 0x20 if more else bits))
    return bytes(letters).decode()

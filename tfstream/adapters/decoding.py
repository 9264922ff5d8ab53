"""Pictures decoded without TensorFlow: by simplejpeg where it is installed and can, or by Pillow.

Both decode JPEGs with libjpeg-turbo, set alike (accurate DCT, smooth upsampling), so their pixels
are equal as long as its versions compute alike. Pillow has the last word: whatever simplejpeg
objects to, Pillow decodes or says what is wrong.
"""

from __future__ import annotations

import functools
import io
import math
import types
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import PIL.Image

    Pixels = npt.NDArray[np.uint8]

__all__ = ["decode", "pixels"]

_LARGEST = 89_478_485  # pixels: of larger pictures Pillow warns, and refuses those of twice as many

_TRANSPOSED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def decode(
    encoded: bytes | memoryview, orientation: int, *, ratio: int = 1
) -> tuple[PIL.Image.Image, float]:
    """Decodes a picture as it is displayed, in RGB, with Pillow.

    Args:
        encoded: The file's bytes.
        orientation: Exif's, 1 to 8; others count as 1.
        ratio: 1, 2, 4 or 8: a JPEG may be decoded that many times smaller.

    Returns:
        The picture, and how many times smaller it is.

    Raises:
        Exception: It cannot be decoded; Pillow raises many kinds.
    """
    import PIL.Image

    image: PIL.Image.Image = PIL.Image.open(io.BytesIO(encoded))
    smaller = 1.0
    if ratio > 1 and image.format == "JPEG":
        width, height = image.size
        drafted = image.draft(image.mode, (max(1, width // ratio), max(1, height // ratio)))
        if drafted is not None:
            smaller = width / drafted[1][2]
    if image.mode != "RGB":
        image = image.convert("RGB")
    if orientation in _TRANSPOSED:
        image = image.transpose(PIL.Image.Transpose[_TRANSPOSED[orientation]])
    return image, smaller


def pixels(
    encoded: bytes | memoryview,
    height: int,
    width: int,
    *,
    ratio: int = 1,
    stated: tuple[int, int] | None = None,
) -> tuple[Pixels, float]:
    """Decodes a picture as it is stored, not turned as it is displayed.

    Args:
        encoded: The file's bytes.
        height: That it should have, as stored, in pixels.
        width: See there.
        ratio: As for `decode`.
        stated: Height and width that the header states, where it has been read.

    Returns:
        uint8 [rows, columns, 3], and how many times smaller it is. The size may be another than was
        told.

    Raises:
        Exception: As `decode`.
    """
    fast = _simplejpeg()
    if fast is not None and encoded[:2] == b"\xff\xd8" and height * width <= _LARGEST:
        size = (math.ceil(height / ratio), math.ceil(width / ratio))
        try:
            # Before a picture is decoded that is larger than the record says.
            if (stated or fast.decode_jpeg_header(encoded)[:2]) == (height, width):
                made = fast.decode_jpeg(encoded, min_height=size[0], min_width=size[1])
                if made.shape[:2] == size:
                    return made, float(ratio)
        except ValueError:  # damaged, or of a kind that it does not know
            pass
    picture, smaller = decode(encoded, 1, ratio=ratio)
    return np.asarray(picture), smaller


@functools.cache
def _simplejpeg() -> types.ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg

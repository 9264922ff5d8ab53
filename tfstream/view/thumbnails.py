"""Small pictures of large ones."""

from __future__ import annotations

import io

from tfstream.adapters import decoding
from tfstream.errors import CorruptRecordError
from tfstream.v1.annotated_image_pb2 import AnnotatedImage

__all__ = ["SIDES", "thumbnail"]

SIDES = (160, 320, 640, 1600)  # pixels of the longer side; others are not made
_QUALITY = 82


def thumbnail(image: AnnotatedImage, side: int) -> bytes:
    """A record's picture as displayed, made smaller, as a JPEG.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where that is enough.

    Args:
        image: The record.
        side: The most pixels of the longer side; smaller pictures keep their size.

    Raises:
        CorruptRecordError: The picture cannot be decoded.
    """
    import PIL.Image

    longer = max(image.width, image.height)
    ratio = next((ratio for ratio in (8, 4, 2) if longer >= ratio * side), 1)
    try:
        picture, _ = decoding.decode(image.encoded, image.orientation, ratio=ratio)
        picture.thumbnail((side, side), PIL.Image.Resampling.BILINEAR)
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=_QUALITY)
    except Exception as error:  # Pillow raises many kinds for damaged images
        raise CorruptRecordError(
            f"the image of record {image.key!r} cannot be decoded: {error}"
        ) from error
    return data.getvalue()

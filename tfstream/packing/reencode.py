"""Makes images smaller, where that was asked for."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from tfstream.annotations import masks
from tfstream.errors import AnnotationError
from tfstream.packing.images import ImageFacts
from tfstream.packing.options import Options
from tfstream.v1 import annotated_image_pb2

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["encode", "plan", "target_size"]

# Of a JPEG at quality 90 or so, for the plan of the shards only.
_BYTES_A_PIXEL = 0.35


def target_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """The size, in pixels, of an image whose longer side shall not pass `max_side`.

    >>> target_size(500, 375, 100), target_size(50, 20, 100), target_size(1000, 1, 10)
    ((100, 75), (50, 20), (10, 1))
    """
    longer = max(width, height)
    if max_side is None or longer <= max_side:
        return width, height
    return (
        max(1, round(width * max_side / longer)),
        max(1, round(height * max_side / longer)),
    )


def plan(
    image: annotated_image_pb2.AnnotatedImage, facts: ImageFacts, options: Options
) -> int | None:
    """Decides whether an image is re-encoded, and how many bytes it will take then.

    If so, the annotation is brought to the new size, format and orientation. The number of bytes is
    a guess from the header alone, so that a plan needs no decoding and is always the same.

    Args:
        image: Checked, with its size as displayed; changed in place.
        facts: Of its image file.
        options: How to pack.

    Returns:
        The guess; None where the image stays as it is.
    """
    old = (image.width, image.height)
    new = target_size(*old, options.max_side)
    if options.quality is None and new == old:
        return None
    for item in image.objects:
        if not item.box.normalized:
            _rescale(item, old, new)
        if item.mask and new != old:
            item.mask = masks.resized(item.mask, new)
    if image.void and new != old:
        image.void = masks.resized(image.void, new)
    image.width, image.height = new
    image.format = "jpeg"
    image.orientation = 1
    return min(facts.bytes, 1024 + int(_BYTES_A_PIXEL * new[0] * new[1]))


def _rescale(item: annotated_image_pb2.Object, old: tuple[int, int], new: tuple[int, int]) -> None:
    """Takes pixels of the old size to pixels of the new one; fractions of either are equal."""
    if item.HasField("box"):
        box = item.box
        box.xmin, box.xmax = box.xmin / old[0] * new[0], box.xmax / old[0] * new[0]
        box.ymin, box.ymax = box.ymin / old[1] * new[1], box.ymax / old[1] * new[1]
    for polygon in item.polygons:
        polygon.x[:] = [x / old[0] * new[0] for x in polygon.x]
        polygon.y[:] = [y / old[1] * new[1] for y in polygon.y]
    for point in item.keypoints:
        point.x, point.y = point.x / old[0] * new[0], point.y / old[1] * new[1]


def encode(data: bytes, image: annotated_image_pb2.AnnotatedImage, options: Options) -> bytes:
    """The image upright, at its planned size, as a JPEG file.

    Transparency is dropped, as decoding to three channels would; so are EXIF and colour profile.

    Args:
        data: The image file.
        image: As `plan` left it.
        options: How to pack.

    Raises:
        AnnotationError: The image cannot be decoded.
    """
    from PIL import Image, ImageOps

    size = (image.width, image.height)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as file:
                # Lets libjpeg leave out what a much smaller picture will not show.
                file.draft(None, (2 * max(size), 2 * max(size)))
                picture = _plain(ImageOps.exif_transpose(file))
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"{image.image_path} cannot be decoded: {error}.") from error
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=options.stored_quality)
    return buffer.getvalue()


def _plain(picture: Image.Image) -> Image.Image:
    """Grey or RGB, eight bits a channel."""
    if picture.mode in ("L", "RGB"):
        return picture
    if picture.mode in ("1", "LA", "La"):
        return picture.convert("L")
    if picture.mode.startswith("I"):  # 16 bits: Pillow's conversion would cut off, not scale
        import numpy as np
        from PIL import Image

        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
    return picture.convert("RGB")

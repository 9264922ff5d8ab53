"""Images made with Pillow as an `ImageSpec` says: the views of `tfstream.images`, one at a time.

Which window a sample shows is the same as in the graph, to the pixel; the pixels differ by what
decoders and resamplers round differently.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfstream.images import CROP_ASPECT

if TYPE_CHECKING:
    import numpy.typing as npt
    import PIL.Image

    from tfstream.images import ImageSpec

__all__ = ["Window", "decode", "follow", "plan", "render"]


class Window(NamedTuple):
    """What a sample shows of its picture, in pixels of the picture as displayed.

    Attributes:
        top: With "crop_or_pad" the window may reach past the picture, and is black there.
        left: See there.
        height: Of the window.
        width: Of the window.
        flip: What the window shows is mirrored left to right.
    """

    top: int
    left: int
    height: int
    width: int
    flip: bool


def plan(spec: ImageSpec, height: int, width: int, draws: npt.NDArray[np.float32]) -> Window:
    """`tfstream.images.plan` of one sample.

    Args:
        spec: How images are made.
        height: Of the picture as displayed, in pixels.
        width: Of the picture.
        draws: float32 [spec.draws], uniform in [0, 1).
    """
    rows, columns = height, width
    flip = bool(spec.flip and draws[-1] < 0.5)
    if spec.mode == "random_crop":
        rows, columns = _random_extent(spec, height, width, float(draws[0]), float(draws[1]))
        top = min(int((height - rows + 1) * float(draws[2])), height - rows)
        left = min(int((width - columns + 1) * float(draws[3])), width - columns)
        return Window(top, left, rows, columns, flip)
    if spec.mode == "crop_or_pad":
        rows, columns = spec.size
    elif spec.mode == "center_crop":
        aspect = spec.size[0] / spec.size[1]
        rows = max(1, round(min(height, width * aspect)))
        columns = max(1, round(min(width, height / aspect)))
    # int() rounds towards zero, on both sides.
    return Window(int((height - rows) / 2), int((width - columns) / 2), rows, columns, flip)


def _random_extent(
    spec: ImageSpec, height: int, width: int, area_draw: float, aspect_draw: float
) -> tuple[int, int]:
    """Height and width of a random window; see `tfstream.images`."""
    narrowest, widest = (math.log(aspect) for aspect in CROP_ASPECT)
    shape = math.log(width / height)
    most = min(spec.area[1], math.exp(min(widest - shape, shape - narrowest, 0.0)))
    least = min(spec.area[0], most)
    share = least + (most - least) * area_draw
    low = max(narrowest, shape + math.log(share))
    high = min(widest, shape - math.log(share))
    aspect = math.exp(low + (high - low) * aspect_draw)
    area = share * height * width
    rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
    return min(max(rows, 1), height), min(max(columns, 1), width)


def follow(
    boxes: npt.NDArray[np.float32], window: Window, height: int, width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Where a picture's boxes lie in the image that is made of it.

    Args:
        boxes: float32 [n, 4], ymin xmin ymax xmax as fractions of the picture as displayed.
        window: What the image shows.
        height: Of the picture as displayed, in pixels.
        width: Of the picture.

    Returns:
        Boxes as fractions of the image, cut at its edges, float32 [n, 4], and whether anything is
        left of each, bool [n].
    """
    sides = np.array([height, width, height, width], np.float32)
    place = np.array([window.top, window.left] * 2, np.float32)
    extent = np.array([window.height, window.width] * 2, np.float32)
    out = np.clip((boxes * sides - place) / extent, 0.0, 1.0).astype(np.float32)
    if window.flip:
        out = np.stack([out[:, 0], 1 - out[:, 3], out[:, 2], 1 - out[:, 1]], axis=-1)
    return out, (out[:, 2] > out[:, 0]) & (out[:, 3] > out[:, 1])


def decode(encoded: bytes, orientation: int, *, ratio: int = 1) -> tuple[PIL.Image.Image, float]:
    """Decodes a picture as it is displayed, in RGB.

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


_TRANSPOSED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def render(
    spec: ImageSpec, encoded: bytes, window: Window, *, height: int, width: int, orientation: int
) -> npt.NDArray[Any]:
    """Makes one sample's image.

    Args:
        spec: How; "bfloat16" gives float32.
        encoded: The stored picture.
        window: What the image shows of it.
        height: Of the picture as displayed, in pixels.
        width: Of the picture.
        orientation: Exif's, 1 to 8.

    Returns:
        [*spec.size, 3].

    Raises:
        ValueError: The picture has another size than is told.
        Exception: It cannot be decoded; Pillow raises many kinds.
    """
    import PIL.Image

    reduction = min(window.height / spec.size[0], window.width / spec.size[1])
    ratio = 1
    if spec.antialias is not False and spec.mode != "crop_or_pad":
        ratio = next((r for r in (8, 4, 2) if reduction >= r), 1)
    picture, smaller = decode(encoded, orientation, ratio=ratio)
    if picture.size != (math.ceil(width / smaller), math.ceil(height / smaller)):
        raise ValueError(
            f"the record says {width} x {height} pixels, and the picture has "
            f"{picture.size[0]} x {picture.size[1]}, {smaller:g} times reduced"
        )
    image = _draw(spec, picture, window, smaller)
    if window.flip:
        image = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.array(image)
    if spec.dtype == "uint8":
        return pixels
    if spec.normalize == "standardize":
        out = pixels.astype(np.float32)
        out = (out - out.mean()) / max(float(out.std()), 1 / math.sqrt(out.size))
    else:
        # By rows: numpy is slow where the last axis has three elements.
        scale, offset = (
            np.tile(np.array(e, np.float32), spec.size[1]) for e in spec.scale_and_offset
        )
        out = np.multiply(pixels.reshape(spec.size[0], -1), scale, dtype=np.float32)
        out = np.add(out, offset, out=out).reshape(pixels.shape)
    return out.astype(np.float16) if spec.dtype == "float16" else out


def _draw(
    spec: ImageSpec, picture: PIL.Image.Image, window: Window, smaller: float
) -> PIL.Image.Image:
    """The window of a picture that was decoded so many times smaller, at the image's size."""
    import PIL.Image

    left, top = window.left / smaller, window.top / smaller
    right, bottom = left + window.width / smaller, top + window.height / smaller
    cut = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    if cut != (0, 0, *picture.size):
        picture = picture.crop(cut)
    size = (spec.size[1], spec.size[0])
    if picture.size == size and smaller == 1:
        return picture
    place = (left - cut[0], top - cut[1], right - cut[0], bottom - cut[1])
    place = (*place[:2], min(place[2], picture.size[0]), min(place[3], picture.size[1]))
    averaged = window.height * window.width >= 4.0 * spec.size[0] * spec.size[1]
    bilinear = PIL.Image.Resampling.BILINEAR
    if spec.antialias or (spec.antialias is None and averaged):
        return picture.resize(size, bilinear, box=place)
    return picture.transform(size, PIL.Image.Transform.EXTENT, place, bilinear)

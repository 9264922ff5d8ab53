"""Images made as an `ImageSpec` says, one at a time, without TensorFlow.

Pictures are resampled as in the graph, in native code; where that was not built, by Pillow, whose
pixels differ by some grey levels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream import native
from tfstream.adapters import decoding, resampling

if TYPE_CHECKING:
    import numpy.typing as npt
    import PIL.Image

    from tfstream.adapters.views import Window
    from tfstream.images import ImageSpec

__all__ = ["render"]


def render(
    spec: ImageSpec,
    encoded: bytes | memoryview,
    window: Window,
    *,
    height: int,
    width: int,
    orientation: int,
    planes: bool = False,
    stated: tuple[int, int] | None = None,
) -> npt.NDArray[Any]:
    """Makes one sample's image.

    Args:
        spec: How; "bfloat16" gives float32.
        encoded: The stored picture.
        window: What the image shows of it.
        height: Of the picture as displayed, in pixels.
        width: Of the picture.
        orientation: Exif's, 1 to 8.
        planes: Whether the channels come first.
        stated: As for `decoding.pixels`.

    Returns:
        [*spec.size, 3]; with planes, [3, *spec.size].

    Raises:
        ValueError: The picture has another size than is told.
        Exception: It cannot be decoded; Pillow raises many kinds.
    """
    reduction = min(window.height / spec.size[0], window.width / spec.size[1])
    ratio = 1
    if spec.antialias is not False and spec.mode != "crop_or_pad":
        ratio = next((r for r in (8, 4, 2) if reduction >= r), 1)
    if native.samples() is not None:
        turned = 5 <= orientation <= 8
        stored = (width, height) if turned else (height, width)
        pixels, smaller = decoding.pixels(encoded, *stored, ratio=ratio, stated=stated)
        _check_size((pixels.shape[1], pixels.shape[0]), stored[::-1], smaller)
        ratio = int(smaller)
        out = resampling.resample(spec, pixels, window, stored, ratio, orientation, planes=planes)
    else:
        picture, smaller = decoding.decode(encoded, orientation, ratio=ratio)
        _check_size(picture.size, (width, height), smaller)
        out = _with_pillow(spec, picture, window, smaller)
        out = np.ascontiguousarray(np.moveaxis(out, -1, 0)) if planes else out
    return out.astype(np.float16) if spec.dtype == "float16" else out


def _check_size(size: tuple[int, int], told: tuple[int, int], smaller: float) -> None:
    """Compares widths and heights."""
    if size != (math.ceil(told[0] / smaller), math.ceil(told[1] / smaller)):
        raise ValueError(
            f"the record says {told[0]} x {told[1]} pixels, and the picture has "
            f"{size[0]} x {size[1]}, {smaller:g} times reduced"
        )


def _with_pillow(
    spec: ImageSpec, picture: PIL.Image.Image, window: Window, smaller: float
) -> npt.NDArray[Any]:
    """What `resampling.resample` makes, of a picture as displayed."""
    import PIL.Image

    image = _draw(spec, picture, window, smaller)
    if window.flip:
        image = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.array(image)
    if spec.dtype == "uint8":
        return pixels
    if spec.normalize == "standardize":
        out = pixels.astype(np.float32)
        return (out - out.mean()) / max(float(out.std()), 1 / math.sqrt(out.size))
    # By rows: numpy is slow where the last axis has three elements.
    scale, offset = (np.tile(np.array(e, np.float32), spec.size[1]) for e in spec.scale_and_offset)
    out = np.multiply(pixels.reshape(spec.size[0], -1), scale, dtype=np.float32)
    return np.add(out, offset, out=out).reshape(pixels.shape)


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

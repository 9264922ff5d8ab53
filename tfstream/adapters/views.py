"""What samples show of their pictures, one at a time: the views of `tfstream.images`.

Which window a sample shows is the same as in the graph, to the pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfstream.images import CROP_ASPECT

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.images import ImageSpec

__all__ = ["Window", "follow", "plan"]


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
        draws: float32 [at least spec.draws], uniform in [0, 1).
    """
    rows, columns = height, width
    flip = bool(spec.flip and draws[spec.draws - 1] < 0.5)
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

"""An annotation as the page draws it: fractions of the picture, as plain values for JSON."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfstream.annotations import masks
from tfstream.errors import AnnotationError
from tfstream.format.label_map import LabelMap
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Object

__all__ = ["annotation", "mask", "plain", "runs"]

_FLAGS = ("difficult", "truncated", "occluded", "crowd")
_MOST_MASK_PIXELS = 1 << 26
_MOST_CORNERS = 2048  # of a polygon; of more, some are left out
_EXACT = 1 << 53  # larger whole numbers are others in JavaScript


def annotation(
    image: AnnotatedImage, labels: LabelMap, *, side: int, most: int
) -> list[dict[str, Any]]:
    """The objects of a record.

    Args:
        image: The record, decoded.
        labels: The dataset's label map.
        side: The most pixels of a mask's longer side.
        most: Objects, of more the first ones.

    Returns:
        For each object: `label`, `class` (its index, -1 where the map has none), `flags`, and what
        there is of `box` (ymin, xmin, ymax, xmax), `polygons` (x, y, x, y ...), `keypoints`
        (x, y, visibility, name) and `mask` (`width`, `height`, `runs`: see there). Coordinates are
        fractions of the picture.
    """
    return [_object(item, labels, side) for item in image.objects[:most]]


def _object(item: Object, labels: LabelMap, side: int) -> dict[str, Any]:
    out: dict[str, Any] = {
        "label": item.label,
        "class": labels.id.get(item.label, -1),
        "flags": [flag for flag in _FLAGS if getattr(item, flag)],
    }
    if item.HasField("box"):
        box = item.box
        out["box"] = _fractions((box.ymin, box.xmin, box.ymax, box.xmax))
    if item.polygons:
        out["polygons"] = [_corners(polygon.x, polygon.y) for polygon in item.polygons]
    if item.keypoints:
        out["keypoints"] = [
            [*_fractions((point.x, point.y)), point.visibility, point.name]
            for point in item.keypoints
        ]
    if item.mask:
        out["mask"] = mask(item.mask, side)
    return out


def _fractions(values: Iterable[float]) -> list[float]:
    """Finite numbers near the picture, whatever a record holds."""
    return [
        round(min(max(value, -1.0), 2.0), 5) if math.isfinite(value) else 0.0 for value in values
    ]


def _corners(xs: Iterable[float], ys: Iterable[float]) -> list[float]:
    points = list(zip(xs, ys, strict=False))
    step = -(-len(points) // _MOST_CORNERS) or 1
    return [value for point in points[::step] for value in _fractions(point)]


def mask(png: bytes, side: int) -> dict[str, Any] | None:
    """A mask, made smaller; None where there is none, or it is damaged, or too large to look at.

    Args:
        png: As an object's `mask` or an image's `void`.
        side: The most pixels of its longer side.

    Returns:
        `width`, `height` and `runs` (see there).
    """
    import PIL.Image

    try:
        width, height = masks.size(png)
        if not 0 < width * height <= _MOST_MASK_PIXELS:
            return None
        with PIL.Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            scale = min(1.0, side / max(width, height))
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = picture.resize(size, PIL.Image.Resampling.NEAREST)
            pixels = np.asarray(small).reshape(size[1], size[0], -1)[..., 0] != 0
    except (AnnotationError, OSError, ValueError, SyntaxError):
        return None
    return {"width": size[0], "height": size[1], "runs": runs(pixels.reshape(-1))}


def runs(bits: np.ndarray[Any, np.dtype[np.bool_]]) -> list[int]:
    """The lengths of runs of equal values, in turn; the first one is of False, and may be 0.

    Args:
        bits: bool [n].

    >>> runs(np.array([True, True, False, True]))
    [0, 2, 1, 1]
    """
    changes = np.flatnonzero(np.diff(bits, prepend=False))
    lengths: list[int] = np.diff(changes, prepend=0, append=len(bits)).tolist()
    return lengths


def plain(value: object) -> object:
    """A value of the metadata as JSON and JavaScript can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        return str(value)
    return value

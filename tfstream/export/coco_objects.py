"""One object as COCO's annotation of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfstream.annotations import masks
from tfstream.annotations.coco_objects import FLAGS
from tfstream.export.numbers import corner, edge, plain, span

if TYPE_CHECKING:
    from tfstream.v1.annotated_image_pb2 import Object

__all__ = ["told"]


def told(item: Object, width: int, height: int) -> dict[str, Any]:
    """The fields of an annotation, but for the identities.

    Args:
        item: Boxes, outlines and keypoints are fractions.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
    """
    found: dict[str, Any] = {"iscrowd": int(item.crowd)}
    area = None
    if item.polygons:
        outlines = [
            [
                plain(corner(fraction, side))
                for x, y in zip(polygon.x, polygon.y, strict=True)
                for fraction, side in ((x, width), (y, height))
            ]
            for polygon in item.polygons
        ]
        found["segmentation"] = outlines
        area = sum(map(_area, outlines))
    elif item.mask:
        pixels = masks.decode(item.mask)
        found["segmentation"] = {
            "size": [pixels.shape[0], pixels.shape[1]],
            "counts": masks.text_of(masks.runs(pixels)),
        }
        area = int(pixels.sum())
    if item.HasField("box"):
        x, across = span(item.box.xmin, item.box.xmax, width)
        y, down = span(item.box.ymin, item.box.ymax, height)
        found["bbox"] = [_short(value) for value in (x, y, across, down)]
        area = round(across * down, 4) if area is None else area
    found["area"] = 0 if area is None else _short(area)
    if item.keypoints:
        found["keypoints"] = [
            value
            for point in item.keypoints
            for value in (
                plain(edge(point.x, width)),
                plain(edge(point.y, height)),
                point.visibility,
            )
        ]
        found["num_keypoints"] = sum(point.visibility > 0 for point in item.keypoints)
    found |= {flag: 1 for flag in FLAGS if getattr(item, flag)}
    return found


def _area(outline: Sequence[float]) -> float:
    """Of a polygon x, y, x, y …, in square pixels."""
    xs, ys = outline[::2], outline[1::2]
    twice = sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))
    return round(abs(twice) / 2, 4)


def _short(value: float) -> int | float:
    return int(value) if value == int(value) else value

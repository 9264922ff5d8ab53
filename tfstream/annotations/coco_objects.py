"""Makes objects of COCO's annotations of one image."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfstream.annotations import masks
from tfstream.errors import AnnotationError
from tfstream.v1 import annotated_image_pb2

__all__ = ["FLAGS", "read_mask", "read_objects"]

# Of no COCO but what is exported: 1 where they are set.
FLAGS = ("difficult", "truncated", "occluded")

# Two decimals are usual: an edge may be so much outside by rounding alone. Pixels.
_ROUNDING = 0.02
_IMAGE_FIELDS = ("file_name", "width", "height")


def read_objects(
    plain: dict[str, Any], path: str, image: annotated_image_pb2.AnnotatedImage
) -> None:
    """Fills in size, metadata and objects of an image.

    Args:
        plain: "image", as in the file; "categories", by the JSON text of their identities;
            "annotations", a list of [file, list of [place in the file, annotation]].
        path: Of the file that names the image.
        image: To be filled.

    Raises:
        AnnotationError: Something is not as it should be; names its place in the file.
    """
    told = plain["image"]
    for side in ("width", "height"):
        value = told.get(side) or 0
        if not isinstance(value, int) or not 0 <= value < 2**31:
            raise AnnotationError(
                f"{path}: image {told.get('id')}: its {side} is no number of pixels: {value!r}"
            )
        setattr(image, side, value)
    for name, value in told.items():
        if name not in _IMAGE_FIELDS and isinstance(value, (str, int, float, bool)):
            _put(image.metadata[f"coco.{name}"], value)
    merged: dict[object, tuple[str, dict[str, Any]]] = {}
    for file, some in plain["annotations"]:
        for position, annotation in some:
            where = f"{file}: annotations[{position}]"
            own = annotation.get("id")
            # What another file says of the same annotation, as of its keypoints, is added.
            name = json.dumps(own) if own is not None else where
            merged[name] = where, {**(merged[name][1] if name in merged else {}), **annotation}
    for where, annotation in merged.values():
        try:
            _object(annotation, plain["categories"], image)
        except AnnotationError as error:
            raise AnnotationError(
                f"{where} (id {annotation.get('id')}) of image {told.get('id')}: {error}"
            ) from error


def _put(target: annotated_image_pb2.Value, value: str | int | float | bool) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        target.int_value = value
    elif isinstance(value, str):
        target.string_value = value
    else:
        target.float_value = value


def _object(
    annotation: dict[str, Any],
    categories: dict[str, dict[str, Any]],
    image: annotated_image_pb2.AnnotatedImage,
) -> None:
    category = categories.get(json.dumps(annotation.get("category_id")))
    if category is None:
        raise AnnotationError(
            f"there is no category of its category_id {annotation.get('category_id')!r}"
        )
    item = image.objects.add(label=category["name"], crowd=bool(annotation.get("iscrowd")))
    for flag in FLAGS:
        if flag in annotation and annotation[flag] in (1, True):
            setattr(item, flag, True)
    inside = _segmentation(annotation.get("segmentation"), item, image)
    if box := annotation.get("bbox"):
        x, y, width, height = _numbers("bbox", box, 4)
        item.box.xmin, item.box.xmax = _edges(x, width, image.width)
        item.box.ymin, item.box.ymax = _edges(y, height, image.height)
    elif inside:
        item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax = inside
    if points := annotation.get("keypoints"):
        _keypoints(points, category.get("keypoints", ()), item)


def _numbers(name: str, values: object, count: int | None = None) -> list[float]:
    if not isinstance(values, list) or not (count is None or len(values) == count):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise AnnotationError(f"its {name} is not a list of {wanted}: {json.dumps(values)[:80]}")
    for value in values:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise AnnotationError(f"its {name} holds what is not a number: {value!r}")
    return values


def _edges(low: float, size: float, most: int) -> tuple[float, float]:
    return _snapped(low, most), _snapped(low + size, most)


def _snapped(value: float, most: int) -> float:
    """The value, or the edge of the image that it is beyond by rounding."""
    if -_ROUNDING <= value < 0:
        return 0.0
    return float(most) if most and most < value <= most + _ROUNDING else value


def _segmentation(
    told: Any, item: annotated_image_pb2.Object, image: annotated_image_pb2.AnnotatedImage
) -> tuple[float, float, float, float] | None:
    """Takes in polygons or run lengths; gives the box around them."""
    if not told:
        return None
    if isinstance(told, dict):
        mask = read_mask(told)
        item.mask = masks.encode(mask)
        return masks.box(mask)
    if not isinstance(told, list):
        raise AnnotationError(f"its segmentation is neither a list nor an object: {told!r:.80}")
    if told and isinstance(told[0], (int, float)):
        told = [told]  # some writers leave the outer list out
    for corners in told:
        values = _numbers("segmentation", corners)
        if len(values) % 2:
            raise AnnotationError(f"its polygon has {len(values)} numbers, which are no pairs")
        item.polygons.add(
            x=[_snapped(x, image.width) for x in values[::2]],
            y=[_snapped(y, image.height) for y in values[1::2]],
        )
    xs = [x for polygon in item.polygons for x in polygon.x]
    ys = [y for polygon in item.polygons for y in polygon.y]
    return (min(xs), min(ys), max(xs), max(ys)) if xs else None


def read_mask(told: dict[str, Any]) -> NDArray[np.uint8]:
    """The mask [height, width] of run lengths, as numbers or as text.

    Raises:
        AnnotationError: They are none.
    """
    height, width = map(int, _numbers("size", told.get("size"), 2))
    runs = told.get("counts")
    if isinstance(runs, str):
        runs = masks.runs_of(runs)
    return masks.from_runs([int(run) for run in _numbers("counts", runs)], width, height)


def _keypoints(told: Any, names: Any, item: annotated_image_pb2.Object) -> None:
    values = _numbers("keypoints", told)
    if len(values) % 3 or (names and len(values) != 3 * len(names)):
        wanted = f"3 for each of {len(names)} names" if names else "three a point"
        raise AnnotationError(f"its keypoints are {len(values)} numbers, where {wanted} belong")
    for number in range(len(values) // 3):
        x, y, seen = values[3 * number : 3 * number + 3]
        if seen not in (0, 1, 2):
            raise AnnotationError(f"its keypoint {number} has the visibility {seen}, not 0, 1 or 2")
        name = str(names[number]) if names else ""
        item.keypoints.add(x=x, y=y, visibility=int(seen), name=name)

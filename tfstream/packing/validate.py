"""Checks an annotation against its image, and mends what may be mended.

Works on pixels of the image as displayed, and leaves the annotation in them.
"""

from __future__ import annotations

import dataclasses
import math

from tfstream.annotations import masks
from tfstream.errors import AnnotationError, UnknownLabelError
from tfstream.format.label_map import LabelMap
from tfstream.packing.images import ImageFacts
from tfstream.packing.rejects import Action, Kind, Reject
from tfstream.v1 import annotated_image_pb2

__all__ = ["check"]

# What is wrong where it is in one of these fields.
_KINDS: dict[str, Kind] = {"polygons": "polygon", "keypoints": "keypoint", "mask": "mask"}


def check(
    image: annotated_image_pb2.AnnotatedImage,
    facts: ImageFacts,
    *,
    labels: LabelMap | None,
    on_invalid: str,
) -> tuple[bool, list[Reject]]:
    """Checks one annotation; fills in format, orientation and the size as displayed.

    Where the annotation's size is that of the stored pixels and these are on their side, boxes and
    polygons are turned along with them.

    Args:
        image: As an annotation reader gave it; changed in place.
        facts: Of its image file.
        labels: The labels that there may be; None: any.
        on_invalid: With "clip", boxes and polygons are cut to the image, and objects of which
            nothing remains are taken out. Otherwise nothing is mended.

    Returns:
        Whether the record can be packed, and what was found.
    """
    mend = on_invalid == "clip"
    fatal: Action = "not packed" if on_invalid == "error" else "record left out"
    image.format = facts.format
    image.orientation = facts.orientation
    problem = _settle_size(image, facts)
    if problem:
        return False, [_reject(image, "size", problem, action=fatal)]
    keep = True
    rejects = []
    spent = []
    width, height = image.width, image.height
    for place, item in enumerate(image.objects):
        if labels is not None and item.label not in labels.id:
            keep = False
            why = _unknown(labels, item.label)
            rejects.append(_reject(image, "label", why, place, item.label, fatal))
        found = _object_problem(item, width, height)
        if found is None:
            continue
        kind, why = found
        if not mend:
            keep = False
            rejects.append(_reject(image, kind, why, place, item.label, fatal))
            continue
        _clip(item, width, height)
        action: Action = "object clipped"
        after = _object_problem(item, width, height)
        if after and after[0] == "box":
            spent.append(place)
            action = "object left out"
        elif after:  # an outline or points of no use, beside a box that is good
            _drop_broken(item, width, height)
        rejects.append(_reject(image, kind, why, place, item.label, action))
    for place in reversed(spent):
        del image.objects[place]
    if image.void and (problem := _mask_problem("void", image.void, width, height)):
        keep = keep and mend
        image.ClearField("void")
        rejects.append(_reject(image, "mask", problem, action="void left out" if mend else fatal))
    if not keep:
        # The record goes, whatever else was mended in it.
        rejects = [dataclasses.replace(reject, action=fatal) for reject in rejects]
    return keep, rejects


def _reject(
    image: annotated_image_pb2.AnnotatedImage,
    kind: Kind,
    reason: str,
    place: int | None = None,
    name: str | None = None,
    action: Action = "not packed",
) -> Reject:
    return Reject(
        file=image.annotation_path or image.image_path,
        key=image.key,
        split=image.split,
        kind=kind,
        reason=reason,
        object=place,
        name=name,
        action=action,
    )


def _unknown(labels: LabelMap, label: str) -> str:
    try:
        labels.index(label)
    except UnknownLabelError as error:
        way = f" Add it to {labels.file}, or leave --labels (labels=) out." if labels.file else ""
        return f"{error}{way}"
    return ""


def _settle_size(image: annotated_image_pb2.AnnotatedImage, facts: ImageFacts) -> str | None:
    """Sets the size as displayed, and turns the annotation where need be; what is wrong, if so."""
    stated = (image.width, image.height)
    stored = (facts.width, facts.height)
    displayed = facts.displayed
    if 0 not in stated and stated != displayed:
        if stated != stored:
            turned = (
                ""
                if displayed == stored
                else f" ({displayed[0]} x {displayed[1]} as EXIF orientation {facts.orientation} "
                "displays it)"
            )
            return (
                f"the annotation says {stated[0]} x {stated[1]} pixels, and the image "
                f"{image.image_path} has {stored[0]} x {stored[1]}{turned}"
            )
        _turn(image, facts)
    image.width, image.height = displayed
    return None


def _turn(image: annotated_image_pb2.AnnotatedImage, facts: ImageFacts) -> None:
    """Takes boxes and polygons from stored pixels that lie on their side to displayed ones."""
    # 5 transposes, 6 turns clockwise, 7 transposes along the other diagonal, 8 turns anticlockwise.
    flip_x = facts.orientation in (6, 7)
    flip_y = facts.orientation in (7, 8)
    for item in image.objects:
        unit = item.box.normalized
        width, height = (1.0, 1.0) if unit else (float(facts.width), float(facts.height))

        def point(x: float, y: float, w: float = width, h: float = height) -> tuple[float, float]:
            return (h - y if flip_x else y), (w - x if flip_y else x)

        if item.HasField("box"):
            box = item.box
            left, top = point(box.xmin, box.ymin)
            right, bottom = point(box.xmax, box.ymax)
            # An inverted box stays inverted, to be found out later.
            box.xmin, box.xmax = (right, left) if flip_x else (left, right)
            box.ymin, box.ymax = (bottom, top) if flip_y else (top, bottom)
        for polygon in item.polygons:
            corners = [point(x, y) for x, y in zip(polygon.x, polygon.y, strict=True)]
            polygon.x[:] = [x for x, _ in corners]
            polygon.y[:] = [y for _, y in corners]
        for keypoint in item.keypoints:
            if keypoint.visibility:
                keypoint.x, keypoint.y = point(keypoint.x, keypoint.y)
        if item.mask:
            item.mask = masks.turned(item.mask, facts.orientation)
    if image.void:
        image.void = masks.turned(image.void, facts.orientation)


def _object_problem(
    item: annotated_image_pb2.Object, width: int, height: int
) -> tuple[Kind, str] | None:
    """The first thing that is wrong with an object's box or polygons, if anything."""
    if item.HasField("box"):
        box = item.box
        xmin, ymin, xmax, ymax = box.xmin, box.ymin, box.xmax, box.ymax
        right, bottom = (1, 1) if box.normalized else (width, height)
        # One comparison of everything first: nearly all boxes are good.
        if not 0 <= xmin < xmax <= right or not 0 <= ymin < ymax <= bottom:
            return "box", _box_problem(xmin, ymin, xmax, ymax, right, bottom)
    for polygon in item.polygons:
        right, bottom = (1, 1) if item.box.normalized else (width, height)
        if len(polygon.x) != len(polygon.y) or len(polygon.x) < 3:
            return (
                "polygon",
                f"its polygon has {len(polygon.x)} x and {len(polygon.y)} y, of 3 or more",
            )
        for x, y in zip(polygon.x, polygon.y, strict=True):
            if not (0 <= x <= right and 0 <= y <= bottom):
                return "polygon", (
                    f"its polygon leaves the image of {right} x {bottom}: x={x:g}, y={y:g}"
                )
    for point in item.keypoints:
        right, bottom = (1, 1) if item.box.normalized else (width, height)
        if point.visibility and not (0 <= point.x <= right and 0 <= point.y <= bottom):
            return "keypoint", (
                f"its keypoint {point.name!r} leaves the image of {right} x {bottom}: "
                f"x={point.x:g}, y={point.y:g}"
            )
    if item.mask and (problem := _mask_problem("mask", item.mask, width, height)):
        return "mask", problem
    return None


def _mask_problem(name: str, mask: bytes, width: int, height: int) -> str | None:
    try:
        found = masks.size(mask)
    except AnnotationError as error:
        return str(error)
    if found != (width, height):
        return f"its {name} has {found[0]} x {found[1]} pixels, and the image {width} x {height}"
    return None


def _drop_broken(item: annotated_image_pb2.Object, width: int, height: int) -> None:
    """Takes out polygons, keypoints or mask, whichever cannot be mended."""
    for field in ("polygons", "keypoints", "mask"):
        found = _object_problem(item, width, height)
        if found and found[0] == _KINDS[field]:
            item.ClearField(field)


def _box_problem(
    xmin: float, ymin: float, xmax: float, ymax: float, right: int, bottom: int
) -> str:
    values = f"xmin={xmin:g}, ymin={ymin:g}, xmax={xmax:g}, ymax={ymax:g}"
    if any(math.isnan(edge) for edge in (xmin, ymin, xmax, ymax)):
        return f"its box is not a number: {values}"
    if xmax < xmin or ymax < ymin:
        return f"its box is inverted: {values}"
    if xmax == xmin or ymax == ymin:
        return f"its box is empty: {values}"
    return f"its box leaves the image of {right} x {bottom}: {values}"


def _clip(item: annotated_image_pb2.Object, width: int, height: int) -> None:
    """Cuts box and polygons to the image; what is not a number stays so."""
    right, bottom = (1, 1) if item.box.normalized else (width, height)
    if item.HasField("box"):
        box = item.box
        box.xmin, box.xmax = min(max(box.xmin, 0), right), min(max(box.xmax, 0), right)
        box.ymin, box.ymax = min(max(box.ymin, 0), bottom), min(max(box.ymax, 0), bottom)
    for polygon in item.polygons:
        polygon.x[:] = [min(max(x, 0), right) for x in polygon.x]
        polygon.y[:] = [min(max(y, 0), bottom) for y in polygon.y]
    for keypoint in item.keypoints:
        keypoint.x = min(max(keypoint.x, 0), right)
        keypoint.y = min(max(keypoint.y, 0), bottom)

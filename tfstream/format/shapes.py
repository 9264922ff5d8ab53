"""Masks, polygons and keypoints of an image's objects, as features of its record and back."""

from __future__ import annotations

from itertools import islice
from typing import Any

from tfstream import errors
from tfstream.format import features
from tfstream.v1 import annotated_image_pb2

__all__ = [
    "KEYPOINT_COUNT",
    "KEYPOINT_NAME",
    "KEYPOINT_VISIBILITY",
    "KEYPOINT_X",
    "KEYPOINT_Y",
    "MASK",
    "POLYGON_OBJECT",
    "POLYGON_POINTS",
    "POLYGON_X",
    "POLYGON_Y",
    "VOID",
    "decode",
    "encode",
    "scale",
]

# All corners of all polygons, 0..1; absent without polygons.
POLYGON_X = "image/object/polygon/x"
POLYGON_Y = "image/object/polygon/y"
# One value a polygon: how many corners it has, and which object it belongs to.
POLYGON_POINTS = "image/object/polygon/points"
POLYGON_OBJECT = "image/object/polygon/object"

# All keypoints of all objects, 0..1; absent without keypoints.
KEYPOINT_X = "image/object/keypoint/x"
KEYPOINT_Y = "image/object/keypoint/y"
KEYPOINT_VISIBILITY = "image/object/keypoint/visibility"
KEYPOINT_NAME = "image/object/keypoint/text"
# One value an object: how many of them are its own.
KEYPOINT_COUNT = "image/object/keypoint/num"

# One PNG an object, empty for those without; absent where no object has one.
MASK = "image/object/mask"
# A PNG, 1 where nobody says what the image shows; absent where there is no such place.
VOID = "image/void"


def encode(feature: Any, image: annotated_image_pb2.AnnotatedImage) -> None:
    """Puts the shapes that an image's objects have into its record's features.

    Raises:
        AnnotationError: One is in pixels, and the image's size is not known.
    """
    if any(item.polygons for item in image.objects):
        _encode_polygons(feature, image)
    if any(item.keypoints for item in image.objects):
        _encode_keypoints(feature, image)
    if any(item.mask for item in image.objects):
        features.put_bytes(feature[MASK], [item.mask for item in image.objects])
    if image.void:
        features.put_bytes(feature[VOID], [image.void])


def scale(
    item: annotated_image_pb2.Object, image: annotated_image_pb2.AnnotatedImage
) -> tuple[float, float]:
    """What the object's coordinates are divided by, down and across."""
    if item.box.normalized:
        return 1.0, 1.0
    if not (image.width and image.height):
        raise errors.AnnotationError(
            f"The boxes of {image.key!r} are in pixels, and its size is not known "
            f"({image.width} x {image.height}): set width and height."
        )
    return float(image.height), float(image.width)


def _encode_polygons(feature: Any, image: annotated_image_pb2.AnnotatedImage) -> None:
    xs: list[float] = []
    ys: list[float] = []
    points: list[int] = []
    owners: list[int] = []
    for place, item in enumerate(image.objects):
        for polygon in item.polygons:
            height, width = scale(item, image)
            xs.extend(x / width for x in polygon.x)
            ys.extend(y / height for y in polygon.y)
            points.append(len(polygon.x))
            owners.append(place)
    features.put_floats(feature[POLYGON_X], xs)
    features.put_floats(feature[POLYGON_Y], ys)
    features.put_ints(feature[POLYGON_POINTS], points)
    features.put_ints(feature[POLYGON_OBJECT], owners)


def _encode_keypoints(feature: Any, image: annotated_image_pb2.AnnotatedImage) -> None:
    xs: list[float] = []
    ys: list[float] = []
    points = [point for item in image.objects for point in item.keypoints]
    for item in image.objects:
        if item.keypoints:
            height, width = scale(item, image)
            xs.extend(point.x / width for point in item.keypoints)
            ys.extend(point.y / height for point in item.keypoints)
    features.put_floats(feature[KEYPOINT_X], xs)
    features.put_floats(feature[KEYPOINT_Y], ys)
    features.put_ints(feature[KEYPOINT_VISIBILITY], [point.visibility for point in points])
    features.put_bytes(feature[KEYPOINT_NAME], [point.name.encode() for point in points])
    features.put_ints(feature[KEYPOINT_COUNT], [len(item.keypoints) for item in image.objects])


def decode(found: features.Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    """Puts the shapes in a record's features into its image's objects, which are there already.

    Raises:
        ValueError: The features contradict each other.
    """
    _decode_polygons(found, image)
    _decode_keypoints(found, image)
    _decode_masks(found, image)
    image.void = found.first(VOID, b"")


def _decode_polygons(found: features.Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    xs, ys = found.values(POLYGON_X), found.values(POLYGON_Y)
    points, owners = found.values(POLYGON_POINTS), found.values(POLYGON_OBJECT)
    if not (len(xs) == len(ys) == sum(points) and len(points) == len(owners)):
        raise ValueError(
            f"its polygons state {sum(points)} corners for {len(xs)} x and {len(ys)} y, "
            f"and {len(owners)} owners for {len(points)} polygons"
        )
    begin = 0
    for count, owner in zip(points, owners, strict=True):
        if count < 0 or not 0 <= owner < len(image.objects):
            raise ValueError(
                f"a polygon of {count} corners belongs to object {owner} of {len(image.objects)}"
            )
        end = begin + count
        image.objects[owner].polygons.add(x=xs[begin:end], y=ys[begin:end])
        begin = end


def _decode_keypoints(found: features.Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    xs, ys = found.values(KEYPOINT_X), found.values(KEYPOINT_Y)
    if not (xs or ys):
        return
    seen = found.values(KEYPOINT_VISIBILITY) or [2] * len(xs)
    names = found.values(KEYPOINT_NAME) or [b""] * len(xs)
    objects = len(image.objects)
    # Others leave the counts out: all objects have as many then.
    counts = found.values(KEYPOINT_COUNT) or [len(xs) // max(1, objects)] * objects
    if not (len(xs) == len(ys) == len(seen) == len(names) == sum(counts)) or (
        len(counts) != objects or min(counts) < 0
    ):
        raise ValueError(
            f"its {objects} objects state {sum(counts)} keypoints for {len(xs)} x, {len(ys)} y, "
            f"{len(seen)} visibilities and {len(names)} names"
        )
    points = zip(xs, ys, seen, names, strict=True)
    for item, count in zip(image.objects, counts, strict=True):
        for x, y, visibility, name in islice(points, count):
            item.keypoints.add(x=x, y=y, visibility=visibility, name=name.decode())


def _decode_masks(found: features.Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    masks = found.values(MASK)
    if masks and len(masks) != len(image.objects):
        raise ValueError(f"{MASK} has {len(masks)} values for {len(image.objects)} objects")
    for item, mask in zip(image.objects, masks, strict=False):
        item.mask = mask

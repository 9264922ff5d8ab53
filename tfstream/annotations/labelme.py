"""LabelMe: a JSON file an image, with shapes."""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfstream.annotations import masks, sidecars
from tfstream.annotations.files import files_below, is_image, key_of, split_in
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.tree import find_trees, list_directory, pick_images
from tfstream.errors import AnnotationError
from tfstream.storage.read import read_file
from tfstream.v1 import annotated_image_pb2

__all__ = ["LabelMe"]

_HEAD = 1 << 16  # bytes that are looked at
_LOOKED_AT = 3  # files of a directory
_CIRCLE_CORNERS = 32


class LabelMe(AnnotationReader):
    """Pairs `x.json` with the image that it names, or that has its stem, beside it.

    Polygons, rectangles, circles (as polygons of 32 corners) and masks are objects; points are
    objects with one keypoint; lines are polygons with a box around them. Shapes of one label and
    group_id are one object. Flags of the image that are set are metadata. The split is what the
    first directory's name speaks of, or "train"; the key is the path below the tree.
    """

    name = "labelme"
    layout = "LabelMe's .json files beside the images"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, _is_tree)

    def guarded(self, root: str) -> tuple[str, ...]:
        """The tree."""
        return (root,)

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree."""
        for below, files in files_below(root):
            pictures = pick_images(files)
            beside = sidecars.names_among(files)
            said = [name for name in files if name.endswith(".json") and name not in beside]
            for name in said:
                stem = name[: -len(".json")]
                picture = pictures.pop(stem, None)
                directory = os.path.join(root, below)
                yield Entry(
                    key=key_of(below + stem + ".jpg"),
                    split=split_in(below.partition("/")[0]) or "train",
                    annotation_path=os.path.join(directory, name),
                    image_path=os.path.join(directory, picture or f"{stem}.jpg"),
                    image_found=picture is not None,
                    sidecars=sidecars.select(
                        os.path.normpath(directory), beside, [name, *([picture] if picture else [])]
                    ),
                )
            if pictures:
                listing.left_out["images without annotation"] += len(pictures)

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads the JSON file of an image."""
        require_image(entry)
        path = entry.annotation_path
        try:
            told = json.loads(read_file(path).decode("utf-8-sig"))
        except RecursionError:
            raise AnnotationError(f"{path} has more lists in each other than any need.") from None
        except json.JSONDecodeError as error:
            raise AnnotationError(
                f"{path}:{error.lineno}: the JSON does not parse: {error.msg} at character "
                f"{error.colno}."
            ) from None
        except UnicodeDecodeError as error:
            raise AnnotationError(f"{path} is not UTF-8 text: {error}.") from error
        if not isinstance(told, dict) or not isinstance(told.get("shapes"), list):
            raise AnnotationError(f"{path} is not LabelMe's: it has no list of shapes.")
        image = annotated_image_pb2.AnnotatedImage()
        for side, name in (("width", "imageWidth"), ("height", "imageHeight")):
            value = told.get(name) or 0
            if not isinstance(value, int) or not 0 <= value < 2**31:
                raise AnnotationError(f"{path}: {name} is no number of pixels: {value!r}.")
            setattr(image, side, value)
        flags = told.get("flags")
        for name, value in flags.items() if isinstance(flags, dict) else ():
            if isinstance(value, bool):
                image.metadata[f"labelme.{name}"].bool_value = value
        groups: dict[tuple[str, object], annotated_image_pb2.Object] = {}
        for number, shape in enumerate(told["shapes"]):
            try:
                _add(shape, image, groups)
            except AnnotationError as error:
                raise AnnotationError(f"{path}: shapes[{number}]: {error}") from error
        place(entry, image)
        return image


def _is_tree(path: str) -> bool:
    for directory in (path, *(os.path.join(path, name) for name in list_directory(path)[1])):
        files = list_directory(directory)[0]
        said = [name for name in files if name.endswith(".json")][:_LOOKED_AT]
        if any(map(is_image, files)) and any(_is_labelme(os.path.join(directory, n)) for n in said):
            return True
    return False


def _is_labelme(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return b'"shapes"' in head and b'"images"' not in head


def _add(
    shape: Any,
    image: annotated_image_pb2.AnnotatedImage,
    groups: dict[tuple[str, object], annotated_image_pb2.Object],
) -> None:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
        raise AnnotationError("it has no label")
    label, group, kind = shape["label"], shape.get("group_id"), shape.get("shape_type", "polygon")
    points = _points(shape.get("points"))
    known = groups.get((label, group)) if group is not None else None
    item = image.objects.add(label=label) if known is None else known
    if group is not None:
        groups[label, group] = item
    if kind == "point":
        item.keypoints.add(x=points[0][0], y=points[0][1], visibility=2, name=label)
        return
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        turns = [2 * math.pi * each / _CIRCLE_CORNERS for each in range(_CIRCLE_CORNERS)]
        points = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    elif kind == "mask" and len(points) == 2:
        _mask(shape.get("mask"), points, item, image)
    elif kind not in ("polygon", "rectangle", "line", "linestrip"):
        raise AnnotationError(f"there is a {kind!r} of {len(points)} points, which is not known")
    if kind in ("polygon", "circle", "linestrip") and len(points) > 2:
        item.polygons.add(x=[x for x, _ in points], y=[y for _, y in points])
    xs, ys = [x for x, _ in points], [y for _, y in points]
    box = item.box
    if known is not None and item.HasField("box"):
        xs += [box.xmin, box.xmax]
        ys += [box.ymin, box.ymax]
    box.xmin, box.ymin, box.xmax, box.ymax = min(xs), min(ys), max(xs), max(ys)


def _points(told: Any) -> list[tuple[float, float]]:
    if not isinstance(told, list) or not told:
        raise AnnotationError("it has no points")
    for point in told:
        if (
            not isinstance(point, list)
            or len(point) != 2
            or not all(isinstance(each, (int, float)) for each in point)
        ):
            raise AnnotationError(f"a point is not two numbers: {str(point)[:80]}")
    return [(point[0], point[1]) for point in told]


def _mask(
    told: Any,
    points: list[tuple[float, float]],
    item: annotated_image_pb2.Object,
    image: annotated_image_pb2.AnnotatedImage,
) -> None:
    """A PNG of the box alone, put into one of the image's size."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(told, validate=True))) as picture:
            inner = np.asarray(picture.convert("L")) != 0
    except (OSError, ValueError, TypeError) as error:
        raise AnnotationError(f"its mask cannot be decoded: {error}") from error
    left, top = int(points[0][0]), int(points[0][1])
    whole = np.zeros((image.height, image.width), np.uint8)
    target = whole[max(top, 0) : top + inner.shape[0], max(left, 0) : left + inner.shape[1]]
    if left < 0 or top < 0 or target.shape != inner.shape:
        raise AnnotationError(
            f"its mask of {inner.shape[1]} x {inner.shape[0]} at x={left}, y={top} leaves the "
            f"image of {image.width} x {image.height}"
        )
    target[:] = inner
    item.mask = masks.encode(whole)

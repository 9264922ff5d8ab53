"""JSON lines: an object an image."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from tfstream.annotations import masks
from tfstream.annotations.coco_objects import read_mask
from tfstream.annotations.files import ImageFiles, key_of, split_in
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.tables import find_image, subdirectories
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import AnnotationError, StorageError
from tfstream.format import example
from tfstream.v1 import annotated_image_pb2

__all__ = ["JsonLines", "fill"]

_ENDINGS = (".jsonl", ".ndjson")
_PATHS = ("image", "file_name", "path", "file", "filename")
_OBJECTS = ("objects", "annotations")
_FLAGS = ("difficult", "truncated", "occluded", "crowd")
_LONGEST = 64 << 20  # bytes of a line


class JsonLines(AnnotationReader):
    """Lines such as `{"image": "a.jpg", "objects": [{"label": "cat", "box": [9, 9, 40, 30]}]}`.

    The image is named by image, file_name, path or file. Beside it there may be split, width,
    height; label or labels, of objects without a box; objects (or annotations), each with label
    (or category), box (xmin, ymin, xmax, ymax) or bbox (x, y, width, height), polygons (lists of
    x, y, x, y …), keypoints (lists of x, y, visibility, and a name), mask (COCO's run lengths) and
    the flags difficult, truncated, occluded, crowd; normalized, where all of it are fractions; and
    metadata, an object; and void, a mask of where nobody says what the image shows. Objects may be
    columns, too: {"bbox": [[…]], "category": [...]}. The key is the image's path below the file's
    directory.
    """

    name = "jsonl"
    layout = "a .jsonl file whose lines name an image and its label or objects"
    specific = False

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory; or a file itself."""
        if os.path.isfile(source):
            return [source] if source.lower().endswith(_ENDINGS) and _is_ours(source) else []
        return find_trees(source, lambda path: bool(_files(path)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """None: of what is packed nothing is an image, and so nothing is met again."""
        return ()

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Reads the files line by line."""
        directory = os.path.dirname(root) or "." if os.path.isfile(root) else root
        images = ImageFiles(directory)
        inner = subdirectories(directory)
        for path in _files(root):
            stem = os.path.splitext(os.path.basename(path))[0]
            for number, line in _lines(path):
                where = f"{path}:{number}"
                split = split_in(stem) or "train"
                name = ""
                try:
                    told = _parse(line)
                    name = _image_of(told)
                    if told.get("split"):
                        split = str(told["split"])
                    found = find_image(images, name, [stem, split, *inner])
                    image = os.path.join(directory, found or images.inside(name))
                except AnnotationError as error:
                    shown = line[:80].decode(errors="backslashreplace").strip()
                    problem = f"{where}: {error}, in the line '{shown}'"
                    yield Entry(
                        key=name, split=split, annotation_path=path, image_path="", problem=problem
                    )
                    continue
                yield Entry(
                    key=key_of(os.path.relpath(image, directory)),
                    split=split,
                    annotation_path=path,
                    image_path=image,
                    image_found=found is not None,
                    sidecars=images.sidecars(found) if found else (),
                    annotation=b"%d " % number + line,
                )
        if images.unnamed:
            listing.left_out["images without annotation"] += images.unnamed

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of its line."""
        require_image(entry)
        image = annotated_image_pb2.AnnotatedImage()
        number, _, line = entry.annotation.partition(b" ")
        try:
            fill(image, _parse(line))
        except AnnotationError as error:
            shown = line[:80].decode().strip()
            where = f"{entry.annotation_path}:{number.decode()}"
            raise AnnotationError(f"{where}: {error}, in the line '{shown}'") from error
        place(entry, image)
        return image


def _files(root: str) -> list[str]:
    if os.path.isfile(root):
        return [root]
    names = [name for name in list_directory(root)[0] if name.lower().endswith(_ENDINGS)]
    return [path for path in (os.path.join(root, name) for name in names) if _is_ours(path)]


def _is_ours(path: str) -> bool:
    if path.endswith(".rejects.jsonl"):
        return False
    try:
        line = next((line for _, line in _lines(path)), b"")
        told = _parse(line)
        _image_of(told)
    except (AnnotationError, StorageError):
        return False
    return any(name in told for name in ("label", "labels", *_OBJECTS))


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, each with its number."""
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) == _LONGEST:
                    raise AnnotationError(f"{path}:{number}: the line has over {_LONGEST:,} bytes.")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except RecursionError:
        raise AnnotationError("there are more lists in each other than any need") from None
    except UnicodeDecodeError as error:
        raise AnnotationError("it is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"the JSON does not parse: {error.msg} at character {error.pos + 1}"
        ) from error
    if not isinstance(told, dict):
        raise AnnotationError("there is no JSON object")
    return told


def _image_of(told: Mapping[str, Any]) -> str:
    for name in _PATHS:
        if isinstance(told.get(name), str) and told[name]:
            return str(told[name])
    raise AnnotationError(f"it names no image: none of {', '.join(_PATHS)} is there")


def fill(image: annotated_image_pb2.AnnotatedImage, told: Mapping[str, Any]) -> None:
    """Puts into an image what an object says of it, but for path and split.

    Raises:
        AnnotationError: A value is not what it should be.
    """
    for side in ("width", "height"):
        value = told.get(side) or 0
        if not isinstance(value, int) or not 0 <= value < 2**31:
            raise AnnotationError(f"{side} is no number of pixels: {value!r}")
        setattr(image, side, value)
    labels = told.get("labels", [])
    if not isinstance(labels, list):
        raise AnnotationError(f"labels is not a list: {str(labels)[:40]!r}")
    if told.get("label") is not None:
        labels = [told["label"], *labels]
    for label in labels:
        image.objects.add(label=_label(label))
    objects: Any = next((told[name] for name in _OBJECTS if told.get(name)), [])
    if isinstance(objects, dict):
        objects = _from_columns(objects)
    if not isinstance(objects, list):
        raise AnnotationError("objects is neither a list nor an object")
    for number, item in enumerate(objects):
        try:
            if not isinstance(item, dict):
                raise AnnotationError(f"it is not an object but {str(item)[:40]!r}")
            _object(item, bool(told.get("normalized")), image.objects.add())
        except AnnotationError as error:
            raise AnnotationError(f"objects[{number}]: {error}") from error
    if told.get("void") is not None:
        image.void = _mask("void", told["void"])
    metadata = told.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict):
            raise AnnotationError("metadata is not an object")
        try:
            example.put_metadata(image, metadata)
        except (TypeError, ValueError) as error:
            raise AnnotationError(f"a value of the metadata cannot be one: {error}") from error


def _label(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise AnnotationError(f"the label is neither text nor a number: {value!r}")
    return str(value)


def _from_columns(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = [name for name, values in told.items() if isinstance(values, list)]
    counts = {len(told[name]) for name in names}
    if len(counts) > 1:
        raise AnnotationError(f"the columns of objects are of different lengths: {sorted(counts)}")
    return [dict(zip(names, some, strict=True)) for some in zip(*map(told.get, names), strict=True)]


def _object(told: Mapping[str, Any], normalized: bool, item: annotated_image_pb2.Object) -> None:
    names = ("label", "category", "class", "categories")
    item.label = _label(next((told[name] for name in names if name in told), None))
    if told.get("box") is not None:
        xmin, ymin, xmax, ymax = _numbers("box", told["box"], 4)
    elif told.get("bbox") is not None:
        xmin, ymin, width, height = _numbers("bbox", told["bbox"], 4)
        xmax, ymax = xmin + width, ymin + height
    if told.get("box") is not None or told.get("bbox") is not None:
        item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax = xmin, ymin, xmax, ymax
        item.box.normalized = normalized
    for corners in told.get("polygons") or ():
        values = _numbers("polygon", corners)
        if len(values) % 2:
            raise AnnotationError(f"its polygon has {len(values)} numbers, which are no pairs")
        item.polygons.add(x=values[::2], y=values[1::2])
    for point in told.get("keypoints") or ():
        if not isinstance(point, list) or len(point) not in (2, 3, 4):
            raise AnnotationError(
                f"its keypoint is not x, y, visibility, name: {str(point)[:40]!r}"
            )
        x, y, seen = _numbers("keypoint", [*point[:3], 2][:3], 3)
        if seen not in (0, 1, 2):
            raise AnnotationError(f"the visibility of its keypoint is not 0, 1 or 2: {seen!r}")
        name = str(point[3]) if len(point) == 4 else ""
        item.keypoints.add(x=x, y=y, visibility=int(seen), name=name)
    if told.get("mask") is not None:
        item.mask = _mask("mask", told["mask"])
    for flag in _FLAGS:
        if told.get(flag):
            setattr(item, flag, True)


def _mask(name: str, told: object) -> bytes:
    if not isinstance(told, dict):
        raise AnnotationError(f"its {name} is no object of size and counts: {told!r:.40}")
    return masks.encode(read_mask(told))


def _numbers(name: str, values: object, count: int | None = None) -> list[float]:
    if not isinstance(values, list) or not (count is None or len(values) == count):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise AnnotationError(f"its {name} is not a list of {wanted}: {json.dumps(values)[:80]}")
    for value in values:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise AnnotationError(f"its {name} holds what is not a number: {value!r}")
    return values

"""YOLO: a text file an image, whose lines are a class and numbers from 0 to 1."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tfstream.annotations.files import ImageFiles, files_below, is_image, key_of, split_in
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import AnnotationError
from tfstream.storage.read import read_file
from tfstream.v1 import annotated_image_pb2

__all__ = ["Yolo", "labels_beside"]

_SPLITS = ("train", "val", "test")
_NAMES_FILES = ("classes.txt", "obj.names", "labels.txt")
_NAMES = re.compile(r"^names\s*:", re.MULTILINE)
_PARTS = re.compile(r"^(train|val)\s*:", re.MULTILINE)
_LARGEST = 1 << 20  # bytes of a data.yaml
_ROUNDING = 1e-4  # of the image's side, by which boxes leave it when decimals are few


@dataclass(frozen=True)
class _Part:
    """A directory of images, or a file that lists images; which split, and how keys begin."""

    split: str
    path: str


@dataclass(frozen=True)
class _Set:
    """What a data.yaml says, or the directories where there is none."""

    names: tuple[str, ...] | None
    keypoints: tuple[int, int] | None
    parts: tuple[_Part, ...]
    origin: str


class Yolo(AnnotationReader):
    """Pairs `images/**/x.jpg` with `labels/**/x.txt`, as a data.yaml says or by `images`, `labels`.

    Lines are `class x y width height` of a box's middle, `class x1 y1 x2 y2 …` of an outline (four
    corners: an oriented box), or a box with keypoints where data.yaml has `kpt_shape`. An image
    without a text file has no object. The key is the image's path below the tree.
    """

    name = "yolo"
    layout = "YOLO's data.yaml, or the directories images and labels with .txt files"
    boxes: Literal["corners", "sizes", "other"] = "other"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, _is_tree)

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories of images, and of what is said of them."""
        images = [part.path for part in _set_of(root).parts if os.path.isdir(part.path)]
        return tuple(dict.fromkeys([*images, *map(labels_beside, images)]))

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree."""
        told = _set_of(root)
        for name in told.names or ():
            listing.labels.setdefault(name, "")
        # One object for all entries: a task carries it once.
        shared = json.dumps([told.origin, told.names, told.keypoints]).encode()
        for part in told.parts:
            if os.path.isdir(part.path):
                yield from _directory(root, part, shared)
            else:
                yield from _list(root, part, shared)

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads the text file of an image."""
        require_image(entry)
        image = annotated_image_pb2.AnnotatedImage()
        if entry.annotation:
            origin, names, keypoints = json.loads(entry.annotation)
            _read(entry.annotation_path, origin, names, keypoints, image)
        place(entry, image)
        return image


def _is_tree(path: str) -> bool:
    if _yaml_file(path):
        return True
    images, labels = os.path.join(path, "images"), os.path.join(path, "labels")
    if not (os.path.isdir(images) and os.path.isdir(labels)):
        return False
    for below, files in files_below(labels):
        if any(name.endswith(".txt") and name not in _NAMES_FILES for name in files):
            return True
        if below.count("/") > 2:
            break
    return False


def _yaml_file(root: str) -> str | None:
    for name in list_directory(root)[0]:
        path = os.path.join(root, name)
        if name.endswith((".yaml", ".yml")) and os.path.getsize(path) <= _LARGEST:
            text = read_file(path).decode(errors="replace")
            if _NAMES.search(text) and _PARTS.search(text):
                return path
    return None


def _set_of(root: str) -> _Set:
    """What is where.

    Raises:
        AnnotationError: The data.yaml cannot be understood.
    """
    path = _yaml_file(root)
    if path is not None:
        return _from_yaml(root, path)
    images = os.path.join(root, "images")
    found = {name: split_in(name) for name in list_directory(images)[1]}
    parts = [_Part(split, os.path.join(images, name)) for name, split in found.items() if split]
    names, origin = None, "labels"
    for directory in (root, os.path.join(root, "labels")):
        for name in _NAMES_FILES:
            if names is None and os.path.isfile(origin_path := os.path.join(directory, name)):
                lines = _text(origin_path).splitlines()
                names, origin = tuple(line.strip() for line in lines if line.strip()), origin_path
    return _Set(names, None, tuple(parts) or (_Part("train", images),), origin)


def _from_yaml(root: str, path: str) -> _Set:
    import yaml

    try:
        told = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise AnnotationError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(told, dict):
        raise AnnotationError(f"{path} is not a YAML mapping with names and train.")
    names = told.get("names")
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise AnnotationError(
                f"{path}: the classes under names are not numbered from 0 to {len(names) - 1}: "
                f"{str(sorted(names, key=str))[:80]}."
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(str(name) for name in names):
        raise AnnotationError(f"{path}: names is not a list of classes: {str(names)[:80]!r}.")
    names = [str(name) for name in names]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise AnnotationError(
            f"{path}: the class {twice!r} is named twice: give each its own name."
        )
    shape = told.get("kpt_shape")
    if shape is not None and (
        not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3)
    ):
        raise AnnotationError(f"{path}: kpt_shape is not [points, 2 or 3]: {shape!r}.")
    parts = []
    for split in _SPLITS:
        places = told.get(split) or []
        for each in places if isinstance(places, list) else [places]:
            found = _resolve(root, path, told.get("path"), str(each))
            if found is None and split == "test":
                continue  # often named, and not given away
            if found is None:
                raise AnnotationError(
                    f"{path}: {split} names {each!r}, which is not there: neither below {root} nor "
                    f"below its path {told.get('path')!r}."
                )
            parts.append(_Part(split, found))
    return _Set(tuple(names), tuple(shape) if shape else None, tuple(parts), path)


def _resolve(root: str, path: str, base: object, name: str) -> str | None:
    """Where something that a data.yaml names is: it was often written elsewhere."""
    bare = name.removeprefix("./")
    while bare.startswith("../"):
        bare = bare[3:]
    for each in (*([os.path.join(str(base), name)] if base else []), name, bare):
        found = os.path.normpath(os.path.join(root, each))
        if os.path.exists(found):
            top = os.path.abspath(root)
            if os.path.commonpath([top, os.path.abspath(found)]) != top:
                if each != bare and os.path.exists(os.path.join(root, bare)):
                    continue
                raise AnnotationError(
                    f"{path} names {name!r}, which leads out of {root}: give the directory that "
                    "holds it all, or correct its path."
                )
            return found
    return None


def labels_beside(path: str) -> str:
    """Where the text files of a directory of images, or of an image, are."""
    parts = path.split(os.sep)
    for number in range(len(parts) - 1, -1, -1):
        if parts[number] == "images":
            return os.sep.join([*parts[:number], "labels", *parts[number + 1 :]])
    return path


def _directory(root: str, part: _Part, shared: bytes) -> Iterator[Entry]:
    images = ImageFiles(part.path)
    labels = labels_beside(part.path)
    texts = {}
    for below, files in files_below(labels) if os.path.isdir(labels) else ():
        for name in files:
            if name.endswith(".txt") and name not in _NAMES_FILES:
                texts[below + name[:-4]] = name
    for name in images:
        stem = os.path.splitext(name)[0]
        there = texts.pop(stem, None) is not None
        yield Entry(
            key=key_of(os.path.relpath(os.path.join(part.path, name), root)),
            split=part.split,
            annotation_path=os.path.join(labels, f"{stem}.txt"),
            image_path=os.path.join(part.path, name),
            sidecars=images.sidecars(name),
            annotation=shared if there else b"",
        )
    for stem in texts:
        yield Entry(
            key=key_of(os.path.relpath(os.path.join(part.path, stem), root)),
            split=part.split,
            annotation_path=os.path.join(labels, f"{stem}.txt"),
            image_path=os.path.join(part.path, f"{stem}.jpg"),
            image_found=False,
            annotation=shared,
        )


def _list(root: str, part: _Part, shared: bytes) -> Iterator[Entry]:
    """The images that a text file lists, a path a line."""
    images = ImageFiles(root)
    for number, line in enumerate(_text(part.path).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        try:
            if not is_image(name):
                raise AnnotationError(f"there is no image's name: {name[:80]!r}")
            found = images.find(name)
            path = os.path.join(root, found or images.inside(name))
        except AnnotationError as error:
            yield Entry(
                key=name,
                split=part.split,
                annotation_path=part.path,
                image_path=name,
                problem=f"{part.path}:{number}: {error}",
            )
            continue
        text = os.path.splitext(labels_beside(path))[0] + ".txt"
        yield Entry(
            key=key_of(os.path.relpath(path, root)),
            split=part.split,
            annotation_path=text,
            image_path=path,
            image_found=found is not None,
            sidecars=images.sidecars(found) if found else (),
            annotation=shared if os.path.exists(text) else b"",
        )


def _text(path: str) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text: {error}.") from error


def _read(
    path: str,
    origin: str,
    names: list[str] | None,
    keypoints: list[int] | None,
    image: annotated_image_pb2.AnnotatedImage,
) -> None:
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            _object(words, origin, names, keypoints, image.objects.add())
        except AnnotationError as error:
            raise AnnotationError(
                f"{path}:{number}: {error}, in the line {line[:80]!r}."
            ) from error


def _object(
    words: list[str],
    origin: str,
    names: list[str] | None,
    keypoints: list[int] | None,
    item: annotated_image_pb2.Object,
) -> None:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise AnnotationError(f"there is what is not a number ({error})") from error
    index, *rest = values
    if index != int(index) or index < 0:
        raise AnnotationError(f"the class is not a number from 0 on: {words[0]!r}")
    if names is not None and index >= len(names):
        raise AnnotationError(f"there is the class {words[0]}, and {origin} names {len(names)}")
    item.label = names[int(index)] if names is not None else str(int(index))
    if any(math.isnan(value) for value in rest):
        raise AnnotationError("there is what is not a number")
    points = keypoints[0] * keypoints[1] if keypoints else 0
    if len(rest) == 4 + points:
        far = next((value for value in rest[:4] if not -1 <= value <= 2), None)
        if far is not None:
            raise AnnotationError(f"{far:g} is no fraction of the image's side: divide by its size")
        x, y, width, height = rest[:4]
        _box(item, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        if keypoints:
            step = keypoints[1]
            for at in range(4, len(rest), step):
                seen = int(rest[at + 2]) if step == 3 else 2
                item.keypoints.add(x=rest[at], y=rest[at + 1], visibility=seen)
    elif len(rest) >= 6 and len(rest) % 2 == 0 and not points:
        xs, ys = [_snapped(x) for x in rest[::2]], [_snapped(y) for y in rest[1::2]]
        item.polygons.add(x=xs, y=ys)
        _box(item, min(xs), min(ys), max(xs), max(ys))
    else:
        wanted = f"{5 + points}" if points else "5, or 7, 9, 11 … of an outline,"
        raise AnnotationError(f"there are {len(words)} numbers, where {wanted} belong")


def _box(
    item: annotated_image_pb2.Object, xmin: float, ymin: float, xmax: float, ymax: float
) -> None:
    box = item.box
    box.normalized = True
    box.xmin, box.ymin = _snapped(xmin), _snapped(ymin)
    box.xmax, box.ymax = _snapped(xmax), _snapped(ymax)


def _snapped(value: float) -> float:
    """The value, or the edge of the image that it is beyond by rounding."""
    if -_ROUNDING <= value < 0:
        return 0.0
    return 1.0 if 1 < value <= 1 + _ROUNDING else value

"""COCO: instances and keypoints of all images in JSON files."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tfstream.annotations.coco_objects import read_objects
from tfstream.annotations.files import ImageFiles, directory_of_images, key_of, split_in
from tfstream.annotations.groups import Groups
from tfstream.annotations.json_items import Item, array_items
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import AnnotationError
from tfstream.v1 import annotated_image_pb2

__all__ = ["Coco"]

_HEAD = 1 << 16  # bytes that are looked at to tell whether a file is COCO's
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
# Files of the same shape that say nothing of objects.
_OTHERS = ("captions_", "image_info_", "panoptic_", "stuff_")


@dataclass(frozen=True)
class _File:
    """One JSON file; `images` is the directory of its images."""

    path: str
    split: str
    images: str


@dataclass
class _Split:
    """What the files of one split share: their images by identity, their categories."""

    images: ImageFiles
    categories: dict[str, dict[str, Any]] = field(default_factory=dict)


class Coco(AnnotationReader):
    """Files such as `annotations/instances_train2017.json` beside the directory `train2017`.

    Also one `_annotations.coco.json` a split among its images, and one file for all. The split is
    what the file's or its directory's name speaks of, "train" where they do not. Several files of
    one split, as those of instances and of keypoints, add up by the identities of images and
    annotations. The key is the image's path below the tree.
    """

    name = "coco"
    layout = "COCO's JSON files, in annotations, beside the images or in a directory a split"
    boxes: Literal["corners", "sizes", "other"] = "sizes"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: bool(_candidates(path)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories of the files, and of their images."""
        files = _files(root)
        return tuple({each.images: None for each in files})

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Reads the files once, and yields every image with what they say of it."""
        files = _files(root)
        groups = Groups(listing.scratch, sum(os.path.getsize(each.path) for each in files))
        by_images: dict[str, ImageFiles] = {}
        splits: dict[str, _Split] = {}
        for number, file in enumerate(files):
            if file.images not in by_images:
                by_images[file.images] = ImageFiles(file.images)
            # Two directories of one split have identities of their own.
            mine = splits.setdefault(f"{file.split}\0{file.images}", _Split(by_images[file.images]))
            yield from _collect(number, file, mine, groups)
        for each in splits.values():
            for category in each.categories.values():
                listing.labels.setdefault(category["name"], category.get("title", ""))
        for name, values in groups.all():
            identity, _, which = name.partition("\0")
            yield _entry(root, identity, splits[which], which.partition("\0")[0], files, values)
        for images in by_images.values():
            listing.left_out["images without annotation"] += images.unnamed
        if not listing.left_out["images without annotation"]:
            del listing.left_out["images without annotation"]

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of what the listing found."""
        require_image(entry)
        image = annotated_image_pb2.AnnotatedImage()
        read_objects(json.loads(entry.annotation), entry.annotation_path, image)
        place(entry, image)
        return image


def _candidates(root: str) -> list[str]:
    """The files of a tree, sorted by path."""
    found = []
    files, directories = list_directory(root)
    for directory in ["", *directories]:
        inside = os.path.join(root, directory)
        for name in files if not directory else list_directory(inside)[0]:
            if not name.endswith(".json") or name.startswith(_OTHERS):
                continue
            if directory in ("", "annotations") or name.endswith("coco.json"):
                path = os.path.join(inside, name)
                if _is_coco(path):
                    found.append(path)
    return sorted(found)


def _is_coco(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return False
    if not head.startswith(b"{"):
        return False
    names = (b'"images"', b'"annotations"', b'"categories"')
    array_follows = any(
        head.partition(name)[2].lstrip().removeprefix(b":").lstrip().startswith(b"[")
        for name in names
    )
    # LabelMe's files have shapes, and a Kaggle metadata.json has no arrays of these names.
    return array_follows and b'"shapes"' not in head


def _files(root: str) -> list[_File]:
    found = []
    for path in _candidates(root):
        directory, name = os.path.split(path)
        stem = name.removesuffix(".json").removesuffix(".coco")
        tail = stem.rpartition("_")[2]
        split = split_in(stem)
        if split is None and directory != root:
            split = split_in(os.path.basename(directory))
        words = dict.fromkeys(word for word in (tail, stem, split) if word)
        inside = [os.path.join(*way, word) for word in words for way in ((), ("images",))]
        places = [os.path.join(root, each) for each in (*inside, "images")]
        if os.path.basename(directory) != "annotations" and directory != root:
            places.insert(0, directory)  # Roboflow's: images beside the file
        images = _that_holds(_first_name(path), [*places, root])
        images = images or directory_of_images([*places, root])
        found.append(_File(path, split or "train", images or os.path.join(root, "images")))
    return found


def _first_name(path: str) -> str:
    """The name of an image near the beginning of a file; "" where there is none."""
    with open(path, "rb") as file:
        found = _FILE_NAME.search(file.read(_HEAD))
    try:
        return str(json.loads(found[1])) if found else ""
    except ValueError:
        return ""


def _that_holds(name: str, candidates: list[str]) -> str | None:
    """The first of some directories that holds a file of a name; of none that leads elsewhere."""
    if not name or os.path.isabs(name) or ".." in name.split("/"):
        return None
    return next((each for each in candidates if os.path.isfile(os.path.join(each, name))), None)


def _collect(number: int, file: _File, split: _Split, groups: Groups) -> Iterator[Entry]:
    """Puts what a file says into the groups; yields what cannot be put there."""
    which = f"{file.split}\0{file.images}"
    identities = array("q")
    for item in array_items(file.path, ("images", "annotations", "categories")):
        where = f"{file.path}: {item.array}[{item.place}]"
        if not isinstance(item.value, dict):
            yield _wrong(file, f"{where} is not an object but {item.text[:80]}")
        elif item.array == "categories":
            _add_category(item, where, split)
        elif item.array == "images":
            if not _is_identity(item.value.get("id")):
                yield _wrong(file, f"{where} has no id that is a number or text: {item.text[:80]}")
                continue
            groups.add(f"{json.dumps(item.value['id'])}\0{which}", _value(number, item, None))
        else:
            if not _is_identity(item.value.get("image_id")):
                yield _wrong(file, f"{where} has no image_id: {item.text[:80]}")
                continue
            if isinstance(own := item.value.get("id"), int) and -(2**63) <= own < 2**63:
                identities.append(own)
            groups.add(
                f"{json.dumps(item.value['image_id'])}\0{which}",
                _value(number, item, json.dumps(item.value.get("category_id"))),
            )
    yield from _repeated(file, identities)


def _repeated(file: _File, identities: array[int]) -> Iterator[Entry]:
    """What is wrong where two annotations of a file have the same identity."""
    ordered = np.sort(np.frombuffer(identities, np.int64)) if identities else np.empty(0, np.int64)
    for own, count in Counter(ordered[1:][ordered[1:] == ordered[:-1]].tolist()).items():
        yield _wrong(file, f"{file.path}: the annotation id {own} is used {count + 1} times")


def _value(number: int, item: Item, category: str | None) -> bytes:
    head = json.dumps([number, item.array == "images", item.place, category])
    return f"{head}\n{item.text}".encode()


def _is_identity(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _add_category(item: Item, where: str, split: _Split) -> None:
    """Takes in a category.

    Raises:
        AnnotationError: It has no identity or name, or the identity is another's.
    """
    name, own = item.value.get("name"), item.value.get("id")
    if not _is_identity(own) or not isinstance(name, str) or not name:
        raise AnnotationError(f"{where} needs an id and a name: {item.text[:80]}.")
    known = split.categories.setdefault(json.dumps(own), {"name": name})
    if known["name"] != name:
        raise AnnotationError(
            f"{where} has the id {own!r} of another category: {name!r} and {known['name']!r}."
        )
    if isinstance(title := item.value.get("title"), str):  # of what is exported
        known["title"] = title
    if keypoints := item.value.get("keypoints"):
        known["keypoints"] = keypoints


def _wrong(file: _File, problem: str, key: str = "") -> Entry:
    return Entry(
        key=key, split=file.split, annotation_path=file.path, image_path="", problem=problem
    )


def _entry(
    root: str,
    identity: str,
    split: _Split,
    split_name: str,
    files: list[_File],
    values: list[bytes],
) -> Entry:
    """The entry of an image, of everything that names its identity."""
    images: dict[int, tuple[int, bytes]] = {}
    annotations: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
    categories: dict[str, dict[str, Any]] = {}
    first: _File | None = None
    for value in values:
        head, _, text = value.partition(b"\n")
        number, is_image, position, category = json.loads(head)
        first = first or files[number]
        if not is_image:
            annotations[number].append((position, text))
            if category in split.categories:
                categories[category] = split.categories[category]
        elif number in images:
            return _wrong(
                files[number],
                f"{files[number].path}: images[{images[number][0]}] and images[{position}] both "
                f"have the id {identity}",
                key=f"id {identity}",
            )
        else:
            images[number] = position, text
    assert first is not None
    if not images:
        number, some = next(iter(annotations.items()))
        more = f" and {len(some) - 1:,} more" if len(some) > 1 else ""
        return _wrong(
            files[number],
            f"{files[number].path}: annotations[{some[0][0]}]{more}: there is no image of the id "
            f"{identity}",
            key=f"id {identity}",
        )
    number, (position, text) = next(iter(images.items()))
    file = files[number]
    names = {json.loads(each).get("file_name") for _, each in images.values()}
    (name,) = names if len(names) == 1 else (None,)
    where = f"{file.path}: images[{position}]"
    if len(names) > 1:
        others = " and ".join(files[each].path for each in images)
        return _wrong(file, f"the image of id {identity} has other names in {others}", identity)
    if not isinstance(name, str) or not name:
        return _wrong(file, f"{where} has no file_name: {text.decode()[:80]}", f"id {identity}")
    try:
        found = split.images.find(name)
        path = os.path.join(split.images.root, found or split.images.inside(name))
    except AnnotationError as error:
        return _wrong(file, f"{where}: {error}", key=name)
    lists = b",".join(
        b"[%s,[%s]]"
        % (
            json.dumps(files[each].path).encode(),
            b",".join(b"[%d,%s]" % pair for pair in annotations[each]),
        )
        for each in annotations
    )
    return Entry(
        key=key_of(os.path.relpath(path, root)),
        split=split_name,
        annotation_path=file.path,
        image_path=path,
        image_found=found is not None,
        sidecars=split.images.sidecars(found) if found else (),
        annotation=b'{"image":%s,"categories":%s,"annotations":[%s]}'
        % (text, json.dumps(categories).encode(), lists),
    )

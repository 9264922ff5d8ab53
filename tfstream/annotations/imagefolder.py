"""ImageFolder: a directory a class, with the images in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from tfstream.annotations.files import ImageFiles, files_below, is_image, key_of, split_in
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.v1 import annotated_image_pb2

__all__ = ["ImageFolder"]

# Directories that hold images or annotations of all classes.
_NO_CLASSES = ("images", "jpegimages", "img", "imgs", "annotations", "labels", "masks", "data")


class ImageFolder(AnnotationReader):
    """Images in `<class>/` or `<split>/<class>/`; each has one object, of which no box is known.

    Split directories are those whose names speak of training, validation or test; without them
    all is of split "train". The key is the image's path below the tree.
    """

    name = "imagefolder"
    layout = "a directory a class with images in it, in directories of splits or without them"
    specific = False
    boxes: Literal["corners", "sizes", "other"] = "other"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: len({name for _, _, name in _classes(path)}) > 1)

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories of the classes."""
        return tuple(path for _, path, _ in _classes(root))

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree."""
        classes = _classes(root)
        for name in sorted({name for _, _, name in classes}):
            listing.labels[name] = ""
        for split, directory, label in classes:
            images = ImageFiles(directory)
            mark = label.encode("utf-8", "surrogateescape")
            for name in images:
                path = os.path.join(directory, name)
                yield Entry(
                    key=key_of(os.path.relpath(path, root)),
                    split=split,
                    annotation_path=path,
                    image_path=path,
                    sidecars=images.sidecars(name),
                    annotation=mark,
                )
        loose = sum(map(is_image, list_directory(root)[0]))
        for name in list_directory(root)[1]:
            if split_in(name):
                loose += sum(map(is_image, list_directory(os.path.join(root, name))[0]))
        if loose:
            listing.left_out["images in no directory of a class"] += loose

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of its class."""
        image = annotated_image_pb2.AnnotatedImage()
        place(entry, image)
        image.objects.add(label=entry.annotation.decode())
        return image


def _classes(root: str) -> list[tuple[str, str, str]]:
    """(split, directory, class) of the directories of classes, sorted."""
    names = list_directory(root)[1]
    splits = {name: split for name in names if (split := split_in(name)) and _is_split(root, name)}
    if splits:
        found = [
            (split, os.path.join(root, name, label), label)
            for name, split in splits.items()
            for label in list_directory(os.path.join(root, name))[1]
        ]
    else:
        labels = [name for name in names if not split_in(name) and name.lower() not in _NO_CLASSES]
        found = [("train", os.path.join(root, label), label) for label in labels]
    return [each for each in found if _has_images(each[1])]


def _is_split(root: str, name: str) -> bool:
    directory = os.path.join(root, name)
    return any(_has_images(os.path.join(directory, each)) for each in list_directory(directory)[1])


def _has_images(directory: str) -> bool:
    for below, files in files_below(directory):
        if any(map(is_image, files)):
            return True
        if below.count("/") > 1:
            return False
    return False

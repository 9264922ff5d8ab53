"""The PASCAL VOC tree: JPEGImages, Annotations and ImageSets/Main."""

from __future__ import annotations

import io
import os
from collections.abc import Container, Iterator

import numpy as np

from tfstream.annotations import masks, voc_xml
from tfstream.annotations.files import files_below
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, require_image
from tfstream.annotations.tree import find_trees, walk_pairs
from tfstream.errors import AnnotationError, StorageError
from tfstream.storage.read import read_file
from tfstream.v1 import annotated_image_pb2

__all__ = ["BORDER", "Voc"]

_SPLITS = ("train", "val", "test")
BORDER = 255  # around objects, in their masks: nobody says what it shows
_LISTS = (*_SPLITS, "trainval")


class Voc(AnnotationReader):
    """Pairs `Annotations/<stem>.xml` with `JPEGImages/<stem>.jpg`; the key is the stem.

    The splits are the lists ImageSets/Main/{train,val,test}.txt; trainval.txt counts only where
    train.txt or val.txt is missing, and the lists of single classes never do. Without
    ImageSets/Main everything is of split "train". SegmentationObject/<stem>.png gives the objects
    their masks: the pixels of the first have the value 1. Of those with the value 255, the borders,
    nobody says what they show: they become the image's `void`.
    """

    name = "voc"
    layout = "Annotations and JPEGImages"
    plain_voc = True

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: all(map(os.path.isdir, self.guarded(path))))

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories of annotations and of images."""
        return os.path.join(root, "Annotations"), os.path.join(root, "JPEGImages")

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree."""
        lists = os.path.join(root, "ImageSets", "Main")
        if os.path.isdir(lists):
            yield from self._listed(root, lists, listing)
        else:
            yield from self._all(root, listing)

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads one annotation."""
        require_image(entry)
        image = voc_xml.read(entry)
        if entry.annotation:
            _read_masks(os.fsdecode(entry.annotation), image)
        return image

    def _masks(self, root: str) -> dict[str, bytes]:
        """Stem to the file of masks."""
        directory = os.path.join(root, "SegmentationObject")
        return {
            below + os.path.splitext(name)[0]: os.fsencode(os.path.join(directory, below + name))
            for below, files in files_below(directory)
            for name in files
            if name.lower().endswith(".png")
        }

    def _all(self, root: str, listing: Listing) -> Iterator[Entry]:
        annotations, images = self.guarded(root)
        segmented = self._masks(root)
        for pair in walk_pairs(annotations, images):
            if pair.annotation_path is None:
                listing.left_out["images without annotation"] += 1
                continue
            yield Entry(
                key=pair.stem,
                split="train",
                annotation_path=pair.annotation_path,
                image_path=pair.image_path or os.path.join(images, pair.stem + ".jpg"),
                image_found=pair.image_path is not None,
                sidecars=pair.sidecars,
                annotation=segmented.get(pair.stem, b""),
            )

    def _listed(self, root: str, lists: str, listing: Listing) -> Iterator[Entry]:
        annotations, images = self.guarded(root)
        pairs = {pair.stem: pair for pair in walk_pairs(annotations, images)}
        segmented = self._masks(root)
        listed = set()
        for split in _splits(lists):
            path = os.path.join(lists, f"{split}.txt")
            for number, stem in _stems(path, pairs.keys()):
                pair = pairs.get(stem)
                if pair and pair.image_path and not pair.annotation_path:
                    listing.left_out["images without annotation"] += 1
                    continue
                listed.add(stem)
                if os.path.isabs(stem) or ".." in stem.split("/"):
                    problem = f"{path}:{number}: {stem!r} leads out of {images}: name what is in it"
                    yield Entry(stem, split, path, image_path="", problem=problem)
                    continue
                xml = pair.annotation_path if pair else None
                image = pair.image_path if pair else None
                yield Entry(
                    key=stem,
                    split=split,
                    annotation_path=xml or f"{path}:{number}",
                    image_path=image or os.path.join(images, stem + ".jpg"),
                    image_found=image is not None,
                    sidecars=pair.sidecars if pair else (),
                    annotation=segmented.get(stem, b""),
                )
        unlisted = sum(1 for stem, p in pairs.items() if p.annotation_path and stem not in listed)
        if unlisted:
            listing.left_out["annotations in no image set"] += unlisted


def _read_masks(path: str, image: annotated_image_pb2.AnnotatedImage) -> None:
    """Gives the objects of an image their masks, and the image its void.

    Raises:
        AnnotationError: The file is no such picture, or has more objects than the image.
        StorageError: It cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read_file(path))) as picture:
            if picture.mode not in ("P", "L"):
                raise AnnotationError(
                    f"{path} has pixels of mode {picture.mode}: the number of an object each is "
                    "expected, in one channel of 8 bits."
                )
            numbers = np.asarray(picture)
    except AnnotationError:
        raise
    except StorageError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise AnnotationError(f"{path} cannot be decoded: {error}.") from error
    most = int(numbers[numbers != BORDER].max(initial=0))
    if most > len(image.objects):
        raise AnnotationError(
            f"{path} has an object {most}, and {image.annotation_path} has {len(image.objects)}."
        )
    for number, item in enumerate(image.objects, 1):
        inside = numbers == number
        if inside.any():
            item.mask = masks.encode(inside)
    if (numbers == BORDER).any():
        image.void = masks.encode(numbers == BORDER)


def _splits(lists: str) -> list[str]:
    """The lists in ImageSets/Main that count."""
    there = [name for name in _LISTS if os.path.isfile(os.path.join(lists, f"{name}.txt"))]
    if not there:
        wanted = ", ".join(f"{name}.txt" for name in _LISTS)
        raise AnnotationError(
            f"{lists} names no split: none of {wanted} is there. Add one, a stem a line, or remove "
            'the directory: everything is then of split "train".'
        )
    if "train" in there and "val" in there:
        there = [name for name in there if name != "trainval"]
    elif "trainval" in there:
        there = [name for name in there if name in ("trainval", "test")]
    return there


def _stems(path: str, known: Container[str]) -> Iterator[tuple[int, str]]:
    """The stems that a list names, each with its line.

    Without the -1, 0 or 1 that some lists carry behind them.
    """
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text: {error}.") from error
    for number, line in enumerate(text.splitlines(), 1):
        stem = line.strip()
        words = stem.split()
        if len(words) > 1 and stem not in known and words[-1] in ("-1", "0", "1"):
            stem = stem[: -len(words[-1])].rstrip()
        if stem:
            yield number, stem

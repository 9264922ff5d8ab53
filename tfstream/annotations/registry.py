"""The annotation formats by name, and finding out which one a tree has."""

from __future__ import annotations

import os

from tfstream.annotations.coco import Coco
from tfstream.annotations.ilsvrc_det import IlsvrcDet
from tfstream.annotations.imagefolder import ImageFolder
from tfstream.annotations.reader import AnnotationReader
from tfstream.annotations.tables import Csv
from tfstream.annotations.voc import Voc
from tfstream.annotations.yolo import Yolo
from tfstream.errors import DatasetNotFoundError, InvalidArgumentError

__all__ = ["FORMATS", "locate", "reader"]

_READERS: dict[str, AnnotationReader] = {
    each.name: each for each in (IlsvrcDet(), Voc(), Coco(), Yolo(), Csv(), ImageFolder())
}


FORMATS = tuple(_READERS)

# Single files that may be given instead of a directory.
_FILES = (".csv", ".tsv", ".jsonl", ".ndjson")


def reader(name: str) -> AnnotationReader:
    """The reader of a format.

    >>> reader("voc").name
    'voc'

    Raises:
        InvalidArgumentError: There is no such format; lists those there are.
    """
    try:
        return _READERS[name]
    except KeyError:
        known = ", ".join(repr(each) for each in FORMATS)
        raise InvalidArgumentError(
            f"format={name!r} is not an annotation format: use one of {known}, or 'auto'."
        ) from None


def locate(source: str | os.PathLike[str], format: str = "auto") -> tuple[AnnotationReader, str]:
    """The reader for a source, and the root of the tree in it.

    Args:
        source: The tree's directory, or one that holds it up to three levels below.
        format: The format's name; "auto" takes the one whose tree is there.

    Raises:
        InvalidArgumentError: No such format, or the source holds more than one tree.
        DatasetNotFoundError: There is no source, or no tree in it.
    """
    readers = list(_READERS.values()) if format == "auto" else [reader(format)]
    path = os.fspath(source)
    if not os.path.exists(path):
        raise DatasetNotFoundError(f"There is no {path}: give the directory of the image tree.")
    if not os.path.isdir(path) and not path.lower().endswith(_FILES):
        raise DatasetNotFoundError(
            f"{path} is not a directory: unpack the archive, and give the directory that it makes."
        )
    found: list[tuple[AnnotationReader, str]] = []
    for specific in (True, False):
        some = [each for each in readers if each.specific == specific]
        found = found or [(each, root) for each in some for root in _find(each, path)]
    if not found:
        wanted = "; ".join(f"{each.layout} ({each.name})" for each in readers)
        raise DatasetNotFoundError(
            f"{path} holds no image tree: looked there and three levels below for {wanted}."
        )
    if len(found) > 1:
        trees = ", ".join(f"{root} ({each.name}: {each.layout})" for each, root in found)
        one = len({root for _, root in found}) == 1
        way = "say which with format=… (--format)" if one else "give one of them"
        raise InvalidArgumentError(f"{path} holds {len(found)} image trees; {way}: {trees}.")
    return found[0]


def _find(each: AnnotationReader, path: str) -> list[str]:
    if os.path.isdir(path) or not each.specific:
        return each.find(path)
    return []

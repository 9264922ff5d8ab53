"""The annotation formats by name, and finding out which one a tree has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from tfstream.annotations.coco import Coco
from tfstream.annotations.frames import Table, is_table
from tfstream.annotations.huggingface import HuggingFace, is_huggingface
from tfstream.annotations.ilsvrc_cls_loc import IlsvrcClsLoc
from tfstream.annotations.ilsvrc_det import IlsvrcDet
from tfstream.annotations.imagefolder import ImageFolder
from tfstream.annotations.json_lines import JsonLines
from tfstream.annotations.labelme import LabelMe
from tfstream.annotations.messages import Messages
from tfstream.annotations.npy import Npy, NpySet
from tfstream.annotations.open_images import OpenImages
from tfstream.annotations.reader import AnnotationReader
from tfstream.annotations.tables import Csv
from tfstream.annotations.text_rows import TextFile, TextRows
from tfstream.annotations.tfds import Tfds, is_tfds
from tfstream.annotations.tree import list_directory
from tfstream.annotations.voc import Voc
from tfstream.annotations.webdataset import WebDataset
from tfstream.annotations.yolo import Yolo
from tfstream.errors import DatasetNotFoundError, InvalidArgumentError
from tfstream.storage.uri import require_local
from tfstream.v1 import annotated_image_pb2

__all__ = ["FORMATS", "Source", "locate", "reader", "reader_of"]

# A path, a table, or images themselves.
Source: TypeAlias = str | os.PathLike[str] | Iterable[annotated_image_pb2.AnnotatedImage] | Any

_READERS: dict[str, AnnotationReader] = {
    each.name: each
    for each in (
        IlsvrcDet(),
        IlsvrcClsLoc(),
        Voc(),
        Coco(),
        Yolo(),
        OpenImages(),
        LabelMe(),
        Npy(),
        WebDataset(),
        JsonLines(),
        Csv(),
        ImageFolder(),
        TextRows(),
    )
}

FORMATS = tuple(_READERS)

# Of what a program hands over; their names are no `format`.
_GIVEN: dict[str, AnnotationReader] = {
    each.name: each for each in (Messages(), Table(), HuggingFace(), Tfds())
}

# Single files that may be given instead of a directory.
_FILES = (".csv", ".tsv", ".jsonl", ".ndjson")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
# Files that speak of images in directories known by their place.
_SAYING = (".json", ".xml", ".yaml", ".yml", ".txt")


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


def reader_of(name: str) -> AnnotationReader:
    """The reader of a format, or of what a program hands over: for the entries that it made."""
    return _GIVEN.get(name) or reader(name)


def locate(source: Source, format: str = "auto") -> tuple[AnnotationReader, str]:
    """The reader for a source, and the root of the tree in it.

    Args:
        source: The tree's directory, or one that holds it up to three levels below; or a table, or
            an iterable of AnnotatedImage.
        format: The format's name; "auto" takes the one whose tree is there.

    Raises:
        InvalidArgumentError: No such format, the source holds more than one tree, or is of another
            type.
        DatasetNotFoundError: There is no source, or no tree in it.
    """
    readers = list(_READERS.values()) if format == "auto" else [reader(format)]
    if not isinstance(source, (str, os.PathLike)):
        return _given(source, format)
    path = os.fspath(source)
    require_local(
        path,
        "what is packed",
        "download it first; the dataset that is made of it may be in a bucket (and TFRecord files "
        "become one where they are, by tfstream index)",
    )
    if not os.path.exists(path):
        raise DatasetNotFoundError(f"There is no {path}: give the directory of the image tree.")
    if not (
        os.path.isdir(path)
        or path.lower().endswith(_FILES)
        or any(_find(each, path) for each in readers)
    ):
        way = "unpack the archive, and give the directory that it makes"
        if path.lower().endswith(_SAYING):
            way = "give the directory that holds it and the images"
        raise DatasetNotFoundError(f"{path} is not a directory: {way}.")
    found: list[tuple[AnnotationReader, str]] = []
    # Numbers in a text file beside images are hardly what is meant: they come last.
    for rank in range(3):
        some = [each for each in readers if _rank(each) == rank]
        found = found or [(each, root) for each in some for root in _find(each, path)]
    if not found:
        wanted = "; ".join(f"{each.layout} ({each.name})" for each in readers)
        if archives := _archives(path):
            wanted += f". There is an archive, {archives[0]}: unpack it"
        raise DatasetNotFoundError(
            f"{path} holds no image tree: looked there and three levels below for {wanted}."
        )
    if len(found) > 1:
        trees = ", ".join(f"{root} ({each.name}: {each.layout})" for each, root in found)
        one = len({root for _, root in found}) == 1
        way = "say which with format=… (--format)" if one else "give one of them"
        raise InvalidArgumentError(f"{path} holds {len(found)} image trees; {way}: {trees}.")
    return found[0]


def _rank(each: AnnotationReader) -> int:
    """When the reader is asked whether a tree is its own."""
    return 0 if each.specific else 1 if each.images else 2


def _archives(path: str) -> list[str]:
    """The archives in a directory, which may be what holds the tree."""
    if not os.path.isdir(path):
        return []
    return [name for name in list_directory(path)[0] if name.lower().endswith(_ARCHIVES)]


def _given(source: object, format: str) -> tuple[AnnotationReader, str]:
    if format != "auto":
        raise InvalidArgumentError(
            f"format={format!r} is that of a tree, and the source is a {type(source).__name__}: "
            "leave the format out."
        )
    if isinstance(source, NpySet):
        return Npy(source), os.fspath(source.directory)
    if isinstance(source, TextFile):
        return TextRows(source), os.fspath(source.path)
    if is_huggingface(source):
        return HuggingFace(source), HuggingFace.name
    if is_tfds(source):
        return Tfds(source), Tfds.name
    if is_table(source):
        return Table(source), Table.name
    if not isinstance(source, Iterable) or isinstance(source, (bytes, Mapping)):
        raise InvalidArgumentError(
            f"source={source!r:.80} is neither a path, a table, nor an iterable of AnnotatedImage."
        )
    return Messages(source), Messages.name


def _find(each: AnnotationReader, path: str) -> list[str]:
    if os.path.isdir(path) or not each.specific:
        return each.find(path)
    return []

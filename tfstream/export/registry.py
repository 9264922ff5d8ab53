"""The export formats by name."""

from __future__ import annotations

import difflib

from tfstream.errors import InvalidArgumentError
from tfstream.export.coco import CocoWriter
from tfstream.export.imagefolder import ImageFolderWriter
from tfstream.export.images import ImagesWriter
from tfstream.export.voc import VocWriter
from tfstream.export.webdataset import WebDatasetWriter
from tfstream.export.writer import ExportWriter
from tfstream.export.yolo import YoloWriter

__all__ = ["FORMATS", "writer"]

_WRITERS: dict[str, type[ExportWriter]] = {
    each.name: each
    for each in (
        VocWriter,
        CocoWriter,
        YoloWriter,
        ImageFolderWriter,
        WebDatasetWriter,
        ImagesWriter,
    )
}

FORMATS = tuple(_WRITERS)


def writer(name: str) -> type[ExportWriter]:
    """The writer of a format.

    >>> writer("coco").name
    'coco'

    Raises:
        InvalidArgumentError: There is no such format; lists those there are.
    """
    try:
        return _WRITERS[name]
    except KeyError:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidArgumentError(
            f"format={name!r} is not a format to export to: {hint}There are "
            f"{', '.join(map(repr, FORMATS))}, and 'auto'."
        ) from None

"""What an export writer is: it claims names first, and then writes one record at a time."""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from tfstream.annotations.files import split_in
from tfstream.export.naming import path_of_key

if TYPE_CHECKING:
    from tfstream.export.sink import Sink
    from tfstream.format.label_map import LabelMap
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Object

__all__ = ["PARTS", "SIDECAR", "Context", "ExportWriter", "Item", "count_missing", "split_of"]

SIDECAR = ".metadata.json"

# What an object may have, each with what to call some of it.
PARTS = {
    "box": "boxes",
    "difficult": "difficult flags",
    "truncated": "truncated flags",
    "occluded": "occluded flags",
    "crowd": "crowd flags",
    "polygons": "objects with outlines",
    "keypoints": "objects with keypoints",
    "mask": "masks",
}


@dataclass(frozen=True)
class Item:
    """One record.

    Attributes:
        path: Of its image, below the directory of images.
        split: "train", "val" or "test".
        image: Its bytes and annotation; boxes are fractions.
        row: What its index says.
        metadata: Its own metadata, without what is null.
    """

    path: str
    split: str
    image: AnnotatedImage
    row: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a writer is given.

    Attributes:
        sink: Where files go.
        labels: The labels, in order.
        lost: Counts, by kind, of what the format cannot hold.
    """

    sink: Sink
    labels: LabelMap
    lost: Counter[str] = field(default_factory=Counter)


class ExportWriter:
    """One format. A writer is made for one export, and may keep what that needs.

    Args:
        context: Where to write, and what of.

    Attributes:
        name: The format's name, as `format=` takes it.
        holds: The fields of objects that the format has a place for, and `void` of images.
        images: The directory of the images, with "/" at its end; "": the root.
    """

    name: ClassVar[str]
    holds: ClassVar[frozenset[str]] = frozenset()
    images: ClassVar[str] = "images/"

    def __init__(self, context: Context) -> None:
        self.sink = context.sink
        self.labels = context.labels
        self.lost = context.lost

    def path(self, row: Mapping[str, Any]) -> str:
        """The path of a record's image below the directory of images, where no template says it."""
        return path_of_key(row["key"], row["format"])

    def key(self, path: str) -> str | None:
        """The key that a reader makes of an image's path; None: it is told the key itself."""
        return posixpath.splitext(path)[0]

    def named(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a template is filled with."""
        return row

    def template_fault(self, template: str) -> str | None:
        """Why the format can do nothing with a template; None: it can."""
        return None

    def look(self, row: Mapping[str, Any]) -> None:
        """Is told of each record before anything is written."""

    def claims(self, path: str) -> tuple[str, ...]:
        """The files of one record, by the path of its image, that no other one may have."""
        image = self.images + path
        return image, image + SIDECAR

    def write(self, item: Item) -> None:
        """Writes a record, and counts what of it the format cannot hold.

        Raises:
            InvalidArgumentError: A text of it cannot be written.
            StorageError: A file cannot be written.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Writes what is of all records."""

    def put_image(self, item: Item, metadata: Mapping[str, Any]) -> None:
        """Writes the image, and metadata beside it where there are any."""
        name = self.images + item.path
        self.sink.write(name, item.image.encoded)
        if metadata:
            text = json.dumps(metadata, ensure_ascii=False, indent=1)
            self.sink.write(name + SIDECAR, text.encode())


def count_missing(item: Object, holds: frozenset[str], lost: Counter[str]) -> None:
    """Counts what an object has and a format does not.

    A box that is the whole image says no more than that the object is in it.
    """
    for name, kind in PARTS.items():
        if name in holds:
            continue
        value = getattr(item, name)
        if name == "box":
            value = (value.xmin, value.ymin, value.xmax, value.ymax) != (0, 0, 1, 1)
        if value:
            lost[kind] += 1


def split_of(split: str | None) -> str:
    """The split, of those that the formats know, for one of any name.

    >>> split_of("validation"), split_of("extra"), split_of(None)
    ('val', 'train', 'train')
    """
    return split_in(split or "") or "train"

"""A PASCAL VOC tree: an XML file an image."""

from __future__ import annotations

import io
import posixpath
from typing import IO, ClassVar

import numpy as np

from tfstream.annotations import masks
from tfstream.annotations.voc import BORDER
from tfstream.export import labels, voc_xml
from tfstream.export.writer import Context, ExportWriter, Item, count_missing

__all__ = ["VocWriter"]


class VocWriter(ExportWriter):
    """Writes JPEGImages, Annotations, ImageSets/Main, and SegmentationObject for masks.

    An object's mask is the pixels of its number in one picture: of masks that overlap, the later
    one has the pixels. What is void is 255, but where an object is.
    """

    name: ClassVar[str] = "voc"
    holds: ClassVar[frozenset[str]] = frozenset(
        ["box", "difficult", "truncated", "occluded", "crowd", "polygons", "mask", "void"]
    )
    images: ClassVar[str] = "JPEGImages/"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._lists: dict[str, IO[bytes]] = {}
        self._used: set[str] = set()

    def claims(self, path: str) -> tuple[str, ...]:
        """The image, its metadata, annotation and masks."""
        stem = posixpath.splitext(path)[0]
        return (
            *super().claims(path),
            f"Annotations/{stem}.xml",
            f"SegmentationObject/{stem}.png",
        )

    def write(self, item: Item) -> None:
        """Writes an image, its annotation and its masks."""
        stem = posixpath.splitext(item.path)[0]
        text = voc_xml.to_xml(item.image, posixpath.basename(item.path), item.metadata)
        for each in item.image.objects:
            count_missing(each, self.holds, self.lost)
            self._used.add(each.label)
        self.put_image(item, voc_xml.beyond_xml(item.metadata))
        self.sink.write(f"Annotations/{stem}.xml", text)
        if item.image.void or any(each.mask for each in item.image.objects):
            self.sink.write(f"SegmentationObject/{stem}.png", self._masks(item))
        if item.split not in self._lists:
            self._lists[item.split] = self.sink.spool()
        self.sink.spooled(self._lists[item.split], f"{stem}\n".encode())

    def finish(self) -> None:
        """Writes the lists of the splits."""
        for split, spool in self._lists.items():
            self.sink.stream(f"ImageSets/Main/{split}.txt", self.sink.pieces(spool))
        labels.put(self.labels, self._used, self.sink, self.lost)

    def _masks(self, item: Item) -> bytes:
        """The masks of all objects in one picture."""
        from PIL import Image

        numbers = np.zeros((item.image.height, item.image.width), np.uint8)
        for number, each in enumerate(item.image.objects, 1):
            if not each.mask:
                continue
            if number >= BORDER:
                self.lost[f"masks of objects behind the {BORDER - 1}th of an image"] += 1
                continue
            inside = masks.decode(each.mask)
            if numbers[inside].any():
                self.lost["masks that overlap others, where the later one has the pixels"] += 1
            numbers[inside] = number
        if item.image.void:
            numbers[masks.decode(item.image.void) & (numbers == 0)] = BORDER
        buffer = io.BytesIO()
        Image.fromarray(numbers).save(buffer, "PNG")
        return buffer.getvalue()

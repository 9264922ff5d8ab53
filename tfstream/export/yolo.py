"""YOLO: a text file an image, and a data.yaml that says what the classes are."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterator
from typing import IO, ClassVar

from tfstream.annotations.yolo import labels_beside
from tfstream.export import labels
from tfstream.export.numbers import middle, shortest
from tfstream.export.writer import Context, ExportWriter, Item, count_missing
from tfstream.v1 import annotated_image_pb2

__all__ = ["YoloWriter"]

_LENGTH = struct.Struct("<I")


class YoloWriter(ExportWriter):
    """Writes images, labels, a list of images a split, and data.yaml.

    An object is its outline, where that is one polygon, or its box. Where all objects that have
    keypoints have as many of them, all are boxes with keypoints instead: a pose. That is known at
    the end, so what is said of the images waits on disk until then.
    """

    name: ClassVar[str] = "yolo"
    holds: ClassVar[frozenset[str]] = frozenset(["box", "polygons", "keypoints"])

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._lists: dict[str, IO[bytes]] = {}
        self._waiting: IO[bytes] | None = None
        self._points: set[int] = set()

    def claims(self, path: str) -> tuple[str, ...]:
        """The image, its metadata and its text."""
        return *super().claims(path), _text_of(self.images + path)

    def write(self, item: Item) -> None:
        """Writes an image, and keeps its objects for later."""
        self.put_image(item, item.metadata)
        name = self.images + item.path
        if item.split not in self._lists:
            self._lists[item.split] = self.sink.spool()
        self.sink.spooled(self._lists[item.split], f"./{name}\n".encode())
        kept = annotated_image_pb2.AnnotatedImage(image_path=name, objects=item.image.objects)
        for each in kept.objects:
            count_missing(each, self.holds, self.lost)
            each.ClearField("mask")
            if each.keypoints:
                self._points.add(len(each.keypoints))
        if self._waiting is None:
            self._waiting = self.sink.spool()
        data = kept.SerializeToString()
        self.sink.spooled(self._waiting, _LENGTH.pack(len(data)) + data)

    def finish(self) -> None:
        """Writes the texts, the lists and data.yaml."""
        import yaml

        points = self._points.pop() if len(self._points) == 1 else 0
        for image in self._kept():
            lines = [self._line(item, points) for item in image.objects]
            self.sink.write(_text_of(image.image_path), "".join(lines).encode())
        for split, spool in self._lists.items():
            self.sink.stream(f"{split}.txt", self.sink.pieces(spool))
        told: dict[str, object] = {
            split: f"{split}.txt" for split in ("train", "val", "test") if split in self._lists
        }
        if told.keys() == {"test"}:
            told = {"train": [], **told}
        if points:
            told["kpt_shape"] = [points, 3]
        told["names"] = dict(enumerate(self.labels.names))
        text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
        self.sink.write("data.yaml", text.encode())
        labels.count_titles(self.labels, self.lost)

    def _kept(self) -> Iterator[annotated_image_pb2.AnnotatedImage]:
        if self._waiting is None:
            return
        self._waiting.seek(0)
        while head := self._waiting.read(_LENGTH.size):
            data = self._waiting.read(_LENGTH.unpack(head)[0])
            yield annotated_image_pb2.AnnotatedImage.FromString(data)

    def _line(self, item: annotated_image_pb2.Object, points: int) -> str:
        """The line of an object.

        Args:
            item: Its box is in fractions.
            points: How many keypoints each object has in this dataset; 0: none are written.
        """
        number = str(self.labels.index(item.label))
        if points:
            return f"{' '.join([number, *_box(item), *self._pose(item, points)])}\n"
        if item.keypoints:
            self.lost["objects with keypoints, of which others have another number"] += 1
        if len(item.polygons) > 1:
            self.lost["objects with outlines of several parts, of which the box is written"] += 1
        if len(item.polygons) != 1:
            return f"{' '.join([number, *_box(item)])}\n"
        (polygon,) = item.polygons
        around = min(polygon.x), min(polygon.y), max(polygon.x), max(polygon.y)
        if around != (item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax):
            self.lost["boxes that are not the ones around their outlines"] += 1
        corners = (
            shortest(side) for pair in zip(polygon.x, polygon.y, strict=True) for side in pair
        )
        return f"{' '.join([number, *map(repr, corners)])}\n"

    def _pose(self, item: annotated_image_pb2.Object, points: int) -> Iterator[str]:
        if item.polygons:
            self.lost["objects with outlines"] += 1
        if not item.keypoints:
            self.lost[f"objects without keypoints, which get {points} that are not labelled"] += 1
            yield from ["0"] * (3 * points)
        if any(point.name for point in item.keypoints):
            self.lost["objects whose keypoints have names"] += 1
        for point in item.keypoints:
            yield from (repr(shortest(point.x)), repr(shortest(point.y)), str(point.visibility))


def _text_of(image: str) -> str:
    """Where the text of an image is, both below the root."""
    return posixpath.splitext(labels_beside(image))[0] + ".txt"


def _box(item: annotated_image_pb2.Object) -> list[str]:
    x, width = middle(item.box.xmin, item.box.xmax)
    y, height = middle(item.box.ymin, item.box.ymax)
    return [x, y, width, height]

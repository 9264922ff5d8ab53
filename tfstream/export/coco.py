"""COCO's JSON, one file a split, written as it comes."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfstream.export import coco_objects
from tfstream.export.writer import Context, ExportWriter, Item, count_missing, split_of

if TYPE_CHECKING:
    from tfstream.export.sink import Sink

__all__ = ["CocoWriter"]

_PREFIX = "coco."  # of metadata that a reader took from the JSON's image
_ID = f"{_PREFIX}id"
_OWN = {"id", "file_name", "width", "height"}


@dataclass
class _Split:
    """What of one split waits to be put into its file."""

    images: IO[bytes]
    annotations: IO[bytes]
    identities: Iterator[int] | None  # of the images, in their order; None: numbered


@dataclass
class _Names:
    """The names of the keypoints of one label, as far as they have been seen."""

    names: list[str] | None = None
    mixed: bool = False
    named: int = 0  # objects

    def look(self, names: list[str]) -> None:
        """Takes in the names of an object's keypoints."""
        self.named += any(names)
        if self.names is None:
            self.names = names
        self.mixed = self.mixed or names != self.names


class CocoWriter(ExportWriter):
    """Writes annotations/instances_<split>.json, and images; `file_name` is below images.

    Categories are the labels in their order, from 1 on. Images keep their identities where the
    dataset was packed from COCO. Flags that COCO does not know are written as fields of the same
    names, with the value 1.
    """

    name: ClassVar[str] = "coco"
    holds: ClassVar[frozenset[str]] = frozenset(
        ["box", "difficult", "truncated", "occluded", "crowd", "polygons", "keypoints", "mask"]
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._splits: dict[str, _Split] = {}
        self._identities: dict[str, array[int] | None] = {}
        self._keypoints: dict[str, _Names] = {}
        self._images = self._annotations = 0

    def look(self, row: Mapping[str, Any]) -> None:
        """Learns whether the images have identities of their own."""
        split = split_of(row["split"])
        known = self._identities.setdefault(split, array("q"))
        if known is None:
            return
        identity = row.get(_ID)
        if isinstance(identity, int):
            known.append(identity)
        else:
            self._identities[split] = None

    def write(self, item: Item) -> None:
        """Writes an image, and keeps what is said of it for the file of its split."""
        split = self._splits.get(item.split)
        if split is None:
            split = self._splits[item.split] = self._begin(item.split)
        inside = {name for name, value in item.metadata.items() if _fits(name, value)}
        self.put_image(
            item,
            {
                name: value
                for name, value in item.metadata.items()
                if name not in inside and not (name == _ID and split.identities)
            },
        )
        self._images += 1
        number = self._images if split.identities is None else next(split.identities)
        told = {
            "id": number,
            "file_name": item.path,
            "width": item.image.width,
            "height": item.image.height,
            **{name.removeprefix(_PREFIX): item.metadata[name] for name in sorted(inside)},
        }
        _put(self.sink, split.images, told)
        for each in item.image.objects:
            count_missing(each, self.holds, self.lost)
            if each.keypoints:
                names = [point.name for point in each.keypoints]
                self._keypoints.setdefault(each.label, _Names()).look(names)
            if each.mask and each.polygons:
                self.lost["masks of objects that have outlines, too"] += 1
            self._annotations += 1
            told = {
                "id": self._annotations,
                "image_id": number,
                "category_id": self.labels.index(each.label) + 1,
                **coco_objects.told(each, item.image.width, item.image.height),
            }
            _put(self.sink, split.annotations, told)

    def finish(self) -> None:
        """Puts the files together."""
        categories = json.dumps(self._categories(), ensure_ascii=False, indent=1).encode()
        for name, split in self._splits.items():
            self.sink.stream(
                f"annotations/instances_{name}.json", _document(self.sink, split, categories)
            )

    def _begin(self, name: str) -> _Split:
        known = self._identities.get(name)
        if known:
            values = np.sort(np.frombuffer(known, np.int64))
            if (values[1:] == values[:-1]).any():
                known = None
        return _Split(self.sink.spool(), self.sink.spool(), iter(known) if known else None)

    def _categories(self) -> list[dict[str, Any]]:
        found = []
        for number, (name, title) in enumerate(
            zip(self.labels.names, self.labels.titles, strict=True), 1
        ):
            told: dict[str, Any] = {"id": number, "name": name}
            if title:  # which COCO does not know
                told["title"] = title
            points = self._keypoints.get(name)
            if points and points.named and points.mixed:
                self.lost["objects whose keypoints have names of their own"] += points.named
            elif points and points.named:
                told |= {"keypoints": points.names, "skeleton": []}
            found.append(told)
        return found


def _fits(name: str, value: object) -> bool:
    """Whether the JSON's image has a place for metadata, from where a reader takes them again."""
    own = name.removeprefix(_PREFIX)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return name != own and own != "" and own not in _OWN and isinstance(value, (str, int, float))


def _put(sink: Sink, spool: IO[bytes], told: Mapping[str, Any]) -> None:
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    sink.spooled(spool, (",\n" if spool.tell() else "\n").encode() + text.encode())


def _document(sink: Sink, split: _Split, categories: bytes) -> Iterator[bytes]:
    yield b'{"info":{"description":"exported by tfstream"},"licenses":[],\n"images":['
    yield from sink.pieces(split.images)
    yield b'],\n"annotations":['
    yield from sink.pieces(split.annotations)
    yield b'],\n"categories":' + categories + b"}\n"

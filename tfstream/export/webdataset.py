"""WebDataset: tar files, in which files of one name and several endings are a sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from typing import Any, ClassVar

from tfstream.annotations import masks
from tfstream.annotations.webdataset import LABELS
from tfstream.export.numbers import shortest
from tfstream.export.writer import PARTS, Context, ExportWriter, Item
from tfstream.file_names import extension
from tfstream.format import example
from tfstream.v1 import annotated_image_pb2

__all__ = ["WebDatasetWriter"]

_FLAGS = ("difficult", "truncated", "occluded", "crowd")
_BLOCK = tarfile.BLOCKSIZE


class WebDatasetWriter(ExportWriter):
    """Writes `<split>-000000.tar`: of each record its image, a .json, and a .cls with the class.

    The .json holds all that is known of the record, its key too, so names in the tar files may
    differ from it: the first dot of a name ends it, for readers of WebDataset. The bytes depend on
    the records alone.
    """

    name: ClassVar[str] = "webdataset"
    holds: ClassVar[frozenset[str]] = frozenset([*PARTS, "void"])
    images: ClassVar[str] = ""
    # Of a tar file, about: fetched whole, and many enough to shuffle.
    shard_bytes: ClassVar[int] = 256 << 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._open: dict[str, tuple[str, int]] = {}  # by split: the shard, its bytes
        self._shards: dict[str, int] = {}

    def key(self, path: str) -> None:
        """The key is told."""

    def claims(self, path: str) -> tuple[str, ...]:
        """The sample."""
        return (_stem(path),)

    def write(self, item: Item) -> None:
        """Writes a sample."""
        main = example.main_object(item.image)
        number = (
            self.labels.background
            if main is None
            else self.labels.index(item.image.objects[main].label)
        )
        stem = _stem(item.path)
        text = json.dumps(_told(item.image, item.metadata), ensure_ascii=False)
        files = {f"{stem}{extension(item.image.format)}": item.image.encoded}
        files[f"{stem}.json"] = text.encode()
        if number is not None:
            files[f"{stem}.cls"] = b"%d" % number
        data = b"".join(_member(name, content) for name, content in files.items())
        shard, size = self._open.get(item.split, ("", 0))
        if size and size + len(data) > self.shard_bytes:
            self._end(item.split)
            size = 0
        if not size:
            count = self._shards.get(item.split, 0)
            self._shards[item.split] = count + 1
            shard = f"{item.split}-{count:06d}.tar"
            self.sink.begin(shard)
        self._open[item.split] = shard, size + len(data)
        self.sink.add(shard, data)

    def finish(self) -> None:
        """Ends the tar files, and writes the labels."""
        for split in list(self._open):
            self._end(split)
        told = [
            {"name": name, "title": title}
            for name, title in zip(self.labels.names, self.labels.titles, strict=True)
        ]
        self.sink.write(LABELS, json.dumps(told, ensure_ascii=False, indent=1).encode())

    def _end(self, split: str) -> None:
        shard, _ = self._open.pop(split)
        self.sink.add(shard, bytes(2 * _BLOCK))
        self.sink.end(shard)


def _stem(path: str) -> str:
    """The name of a sample: nothing in its last part is taken for an ending."""
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}{name.rpartition('.')[0].replace('.', '%2E')}"


def _member(name: str, data: bytes) -> bytes:
    """A file as it stands in a tar file; of nobody, and of no time."""
    head = tarfile.TarInfo(name)
    head.size = len(data)
    return head.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict") + data + bytes(-len(data) % _BLOCK)


def _told(image: annotated_image_pb2.AnnotatedImage, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """All that is known of a record, as `json_lines` reads it."""
    told: dict[str, Any] = {"key": image.key, "width": image.width, "height": image.height}
    told["normalized"] = True
    told["objects"] = [_object(item) for item in image.objects]
    if image.void:
        told["void"] = _runs(image.void)
    if metadata:
        told["metadata"] = dict(metadata)
    return told


def _runs(mask: bytes) -> dict[str, Any]:
    """A mask as COCO's run lengths."""
    pixels = masks.decode(mask)
    return {"size": list(pixels.shape), "counts": masks.text_of(masks.runs(pixels))}


def _object(item: annotated_image_pb2.Object) -> dict[str, Any]:
    told: dict[str, Any] = {"label": item.label}
    if item.HasField("box"):
        box = item.box
        told["box"] = [shortest(side) for side in (box.xmin, box.ymin, box.xmax, box.ymax)]
    if item.polygons:
        told["polygons"] = [
            [shortest(side) for pair in zip(polygon.x, polygon.y, strict=True) for side in pair]
            for polygon in item.polygons
        ]
    if item.keypoints:
        told["keypoints"] = [
            [shortest(point.x), shortest(point.y), point.visibility, point.name]
            for point in item.keypoints
        ]
    if item.mask:
        told["mask"] = _runs(item.mask)
    return told | {flag: True for flag in _FLAGS if getattr(item, flag)}

"""A small packed dataset to look at and to damage, written by format/ alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfstream.format import example, index, manifest, record, statistics
from tfstream.format.label_map import LabelMap
from tfstream.storage import local
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Value
from tfstream.v1.manifest_pb2 import Manifest, Schema, Shard, Split

LABELS = LabelMap(names=("cat", "dog"), titles=("Cat", ""))


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A dataset of `train` with two shards of four records, and `val` with one of two."""

    root: Path

    def shard(self, number: int = 0, split: str = "train") -> Path:
        return self.root / "shards" / f"{split}-ab-{number:05d}.tfrecord"

    def index(self, number: int = 0, split: str = "train") -> Path:
        return self.shard(number, split).with_suffix(".parquet")

    def rows(self, number: int = 0) -> list[dict[str, object]]:
        return index.read(self.index(number)).to_pylist()


def image(key: str, number: int) -> AnnotatedImage:
    """An annotated image whose content depends on `number`."""
    made = AnnotatedImage(
        key=key,
        encoded=bytes([number % 256]) * (100 + number),
        format="jpeg" if number % 3 else "png",
        width=100 + number,
        height=80,
        orientation=6 if number == 2 else 1,
        metadata={"number": Value(int_value=number), "half": Value(float_value=number / 2)},
    )
    for place in range(number % 4):
        box = Box(ymin=1, xmin=2, ymax=30 + place, xmax=40)
        made.objects.append(Object(label=LABELS.names[place % 2], box=box))
    return made


def write_dataset(
    root: Path,
    shards: dict[str, list[list[AnnotatedImage]]],
    schema: dict[str, str] | None = None,
) -> Manifest:
    """Writes a version 1 with the images given by split and shard."""
    schema = schema or {"number": "int", "half": "float"}
    made = Manifest(
        version=1,
        commit="ab",
        tfstream_version="0",
        labels=LABELS.to_proto(),
        schema=Schema(metadata=schema),
    )
    for name, parts in shards.items():
        split, sums = Split(name=name), []
        for number, images in enumerate(parts):
            path = f"shards/{name}-ab-{number:05d}.tfrecord"
            index_path = f"shards/{name}-ab-{number:05d}.parquet"
            rows = []
            with local.write_atomically(root / path) as file:
                writer = record.ShardWriter(file)
                for one in images:
                    offset, length = writer.append(example.encode(one, LABELS))
                    rows.append(index.Row.of(one, offset=offset, length=length))
            index.write(root / index_path, rows, schema)
            split.shards.append(
                Shard(path=path, index_path=index_path, records=len(rows), bytes=writer.bytes)
            )
            sums.append(statistics.summarize(rows))
        split.statistics.CopyFrom(statistics.to_proto(statistics.merge(sums)))
        made.splits.append(split)
    manifest.commit(root, made)
    return made


def tiny(root: Path) -> Tiny:
    """Writes the dataset of ten records at `root`."""
    numbers = iter(range(10))
    shards = {
        split: [
            [image(f"{split}/{(n := next(numbers))}", n) for _ in range(count)] for count in counts
        ]
        for split, counts in {"train": [4, 4], "val": [2]}.items()
    }
    write_dataset(root, shards)
    return Tiny(root)

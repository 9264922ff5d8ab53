"""The statistics of a split: sums over its records that can be made in parts and merged."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tfstream.v1 import manifest_pb2

if TYPE_CHECKING:
    import pyarrow as pa

    from tfstream.format.index import Row

__all__ = [
    "COLUMNS",
    "Partial",
    "Spread",
    "merge",
    "plain",
    "summarize",
    "summarize_batch",
    "to_proto",
]

# Those of an index that the sums are made of.
COLUMNS = ("width", "height", "format", "orientation", "bytes", "objects", "labels")


@dataclasses.dataclass(frozen=True)
class Spread:
    """The least, the sum and the greatest of some integers: exact in any order of merging.

    Attributes:
        low: The least; None of no values.
        total: The sum.
        high: The greatest; None of no values.
    """

    low: int | None = None
    total: int = 0
    high: int | None = None

    @classmethod
    def of(cls, values: Iterable[int]) -> Spread:
        """The spread of some values."""
        listed = list(values)
        return cls(min(listed), sum(listed), max(listed)) if listed else cls()

    @classmethod
    def from_proto(cls, proto: manifest_pb2.Range, count: int) -> Spread:
        """The spread of `count` values of which a manifest holds the range."""
        if not count:
            return cls()
        return cls(int(proto.min), round(proto.mean * count), int(proto.max))

    def merge(self, other: Spread) -> Spread:
        """The spread of the values of both."""
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Spread(min(lows, default=None), self.total + other.total, max(highs, default=None))

    def to_proto(self, count: int) -> manifest_pb2.Range:
        """The range as a manifest holds it, of `count` values."""
        mean = self.total / count if count else 0.0
        return manifest_pb2.Range(min=self.low or 0, mean=mean, max=self.high or 0)


@dataclasses.dataclass(frozen=True)
class Partial:
    """Sums over some of a split's records; `manifest.proto` says what each is."""

    records: int = 0
    image_bytes: int = 0
    objects: int = 0
    background: int = 0
    rotated: int = 0
    label_objects: Counter[str] = dataclasses.field(default_factory=Counter)
    label_records: Counter[str] = dataclasses.field(default_factory=Counter)
    formats: Counter[str] = dataclasses.field(default_factory=Counter)
    width: Spread = Spread()
    height: Spread = Spread()
    boxes: Spread = Spread()


def summarize(rows: Iterable[Row]) -> Partial:
    """The sums over some rows of an index."""
    listed = list(rows)
    label_objects: Counter[str] = Counter()
    label_records: Counter[str] = Counter()
    for row in listed:
        label_objects.update(row.labels)
        label_records.update(row.labels.keys())
    return Partial(
        records=len(listed),
        image_bytes=sum(row.bytes for row in listed),
        objects=sum(row.objects for row in listed),
        background=sum(row.objects == 0 for row in listed),
        rotated=sum(row.orientation > 1 for row in listed),
        label_objects=label_objects,
        label_records=label_records,
        formats=Counter(row.format for row in listed),
        width=Spread.of(row.width for row in listed),
        height=Spread.of(row.height for row in listed),
        boxes=Spread.of(row.objects for row in listed),
    )


def summarize_batch(batch: pa.RecordBatch) -> Partial:
    """The sums over many rows of an index at once.

    Args:
        batch: With `COLUMNS`, at least.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def spread(name: str) -> Spread:
        column = batch.column(name)
        ends = pc.min_max(column)
        return Spread(ends["min"].as_py(), pc.sum(column).as_py() or 0, ends["max"].as_py())

    labels = batch.column("labels")
    # A slice's keys are those of the whole; its offsets are its own.
    begin, end = (labels.offsets[place].as_py() for place in (0, -1))
    entries = {"label": labels.keys[begin:end], "n": labels.items[begin:end]}
    sums = pa.table(entries).group_by("label").aggregate([("n", "sum"), ("n", "count")])
    by_label = sums.to_pydict()
    formats = pc.value_counts(batch.column("format").cast(pa.string()))
    objects = spread("objects")
    return Partial(
        records=batch.num_rows,
        image_bytes=spread("bytes").total,
        objects=objects.total,
        background=pc.sum(pc.equal(batch.column("objects"), 0)).as_py() or 0,
        rotated=pc.sum(pc.greater(batch.column("orientation"), 1)).as_py() or 0,
        label_objects=Counter(dict(zip(by_label["label"], by_label["n_sum"], strict=True))),
        label_records=Counter(dict(zip(by_label["label"], by_label["n_count"], strict=True))),
        formats=Counter({each["values"]: each["counts"] for each in formats.to_pylist()}),
        width=spread("width"),
        height=spread("height"),
        boxes=objects,
    )


def merge(parts: Iterable[Partial]) -> Partial:
    """The sums over the records of all parts, in whatever order they come."""
    whole = Partial()
    for part in parts:
        whole = Partial(
            records=whole.records + part.records,
            image_bytes=whole.image_bytes + part.image_bytes,
            objects=whole.objects + part.objects,
            background=whole.background + part.background,
            rotated=whole.rotated + part.rotated,
            label_objects=whole.label_objects + part.label_objects,
            label_records=whole.label_records + part.label_records,
            formats=whole.formats + part.formats,
            width=whole.width.merge(part.width),
            height=whole.height.merge(part.height),
            boxes=whole.boxes.merge(part.boxes),
        )
    return whole


def to_proto(sums: Partial) -> manifest_pb2.Statistics:
    """The statistics as a manifest holds them."""
    return manifest_pb2.Statistics(
        records=sums.records,
        image_bytes=sums.image_bytes,
        objects=sums.objects,
        background=sums.background,
        rotated=sums.rotated,
        label_objects=sums.label_objects,
        label_records=sums.label_records,
        formats=sums.formats,
        width=sums.width.to_proto(sums.records),
        height=sums.height.to_proto(sums.records),
        boxes=sums.boxes.to_proto(sums.records),
    )


def from_proto(proto: manifest_pb2.Statistics) -> Partial:
    """The sums of which a manifest holds the statistics.

    Exact, but for sums of more than 2**51 pixels or objects.
    """
    count = proto.records
    return Partial(
        records=count,
        image_bytes=proto.image_bytes,
        objects=proto.objects,
        background=proto.background,
        rotated=proto.rotated,
        label_objects=Counter(proto.label_objects),
        label_records=Counter(proto.label_records),
        formats=Counter(proto.formats),
        width=Spread.from_proto(proto.width, count),
        height=Spread.from_proto(proto.height, count),
        boxes=Spread.from_proto(proto.boxes, count),
    )


def plain(statistics: manifest_pb2.Statistics) -> dict[str, Any]:
    """The statistics as plain values: numbers, and dicts of numbers."""
    values: dict[str, Any] = {}
    for field in statistics.DESCRIPTOR.fields:
        value = getattr(statistics, field.name)
        if isinstance(value, int):
            values[field.name] = value
        elif isinstance(value, manifest_pb2.Range):
            values[field.name] = {"min": value.min, "mean": value.mean, "max": value.max}
        else:
            values[field.name] = dict(sorted(value.items()))
    return values

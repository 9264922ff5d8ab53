"""`tfstream info`: what a dataset holds, from its manifest alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream.cli import options, text

if TYPE_CHECKING:
    from tfstream.v1.manifest_pb2 import Manifest, Range, Split, Statistics

__all__ = ["info"]

_TOP = 20  # labels shown without --all
_BAR = 18  # characters, at most


def info(
    dataset: options.Dataset,
    version: options.Version = None,
    all_labels: Annotated[
        bool, typer.Option("--all", help=f"Every label, not only the {_TOP} most frequent.")
    ] = False,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the versions, splits, labels and image sizes of a dataset.

    Example:
        tfstream info packed
        tfstream info packed --version 1 --json
    """
    from tfstream.format import manifest
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory
    from tfstream.versions import history

    directory = open_directory(dataset, Access(project=project))
    versions = manifest.versions(directory)
    loaded = history.load(directory, versions[-1] if version is None and versions else version)
    if as_json:
        typer.echo(json.dumps(_as_dict(dataset, loaded, versions), indent=1))
        return
    width = shutil.get_terminal_size().columns
    for line in _lines(dataset, loaded, versions, every=all_labels, width=width):
        typer.echo(line)


def _lines(
    dataset: str, loaded: Manifest, versions: list[int], *, every: bool, width: int
) -> Iterator[str]:
    yield dataset
    others = ", ".join(str(number) for number in versions if number != loaded.version)
    yield f"version {loaded.version}" + (f" (there are also: {others})" if others else "")
    yield _origin(loaded)
    yield ""
    yield from text.table(list(_split_rows(loaded)))
    parts = [split.statistics for split in loaded.splits]
    if any(part.records for part in parts):
        yield ""
        if loaded.schema.HasField("tensor"):
            yield from _tensor_lines(loaded, parts)
        else:
            yield from _image_lines(parts)
        if loaded.labels.labels:
            yield ""
            yield from _label_lines(loaded, every=every, width=width)
    if loaded.schema.metadata:
        yield ""
        columns = (f"{name} ({kind})" for name, kind in sorted(loaded.schema.metadata.items()))
        yield f"metadata: {', '.join(columns)}"


def _origin(loaded: Manifest) -> str:
    pack = loaded.pack
    parts = [f"packed by tfstream {loaded.tfstream_version}"]
    if pack.format:
        parts.append(f"from {pack.format}")
    parts.append(f"seed {pack.seed}")
    parts.append(f"shards of {text.size(pack.shard_bytes)}")
    if pack.max_side:
        parts.append(f"images scaled to at most {pack.max_side} px")
    if pack.quality:
        parts.append(f"JPEG quality {pack.quality}")
    parts.append(f"commit {loaded.commit}")
    return ", ".join(parts)


def _split_rows(loaded: Manifest) -> Iterator[list[str]]:
    yield ["split", "records", "objects", "background", "shards", "bytes"]
    totals = [0] * 5
    for split in loaded.splits:
        numbers = [
            split.statistics.records,
            split.statistics.objects,
            split.statistics.background,
            len(split.shards),
            _bytes(split),
        ]
        totals = [a + b for a, b in zip(totals, numbers, strict=True)]
        yield [split.name, *map(text.count, numbers[:-1]), text.size(numbers[-1])]
    if len(loaded.splits) != 1:
        yield ["all", *map(text.count, totals[:-1]), text.size(totals[-1])]


def _bytes(split: Split) -> int:
    return sum(shard.bytes for shard in split.shards)


def _image_lines(parts: list[Statistics]) -> Iterator[str]:
    formats = _summed(part.formats for part in parts)
    listed = [f"{name} {text.count(number)}" for name, number in formats.most_common()]
    rotated = sum(part.rotated for part in parts)
    if rotated:
        listed.append(f"{text.count(rotated)} of them rotated by EXIF")
    records = sum(part.records for part in parts)
    image_bytes = sum(part.image_bytes for part in parts)
    listed.append(f"{text.size(image_bytes)}, {text.size(image_bytes / records)} each")
    yield "images: " + ", ".join(listed)
    yield ""
    rows = [["", "least", "mean", "most"]]
    for name, field in (("width, px", "width"), ("height, px", "height"), ("objects", "boxes")):
        low, mean, high = _range((part.records, getattr(part, field)) for part in parts)
        rows.append([name, text.count(round(low)), f"{mean:,.1f}", text.count(round(high))])
    yield from text.table(rows)


def _tensor_lines(loaded: Manifest, parts: list[Statistics]) -> Iterator[str]:
    from tfstream.format.tensors import Contents

    contents = Contents.from_proto(loaded.schema)
    for what, spec in (("tensors", contents.tensor), ("targets", contents.target)):
        if spec is not None:
            names = f": {', '.join(spec.names)}" if spec.names else ""
            yield f"{what}: {spec}{names}"
    total = sum(part.image_bytes for part in parts)
    records = sum(part.records for part in parts)
    yield f"in all {text.size(total)}, {text.size(total / records)} each"


def _range(parts: Iterable[tuple[int, Range]]) -> tuple[float, float, float]:
    """Least, mean and greatest over all splits, each with its number of records."""
    counted = [(records, found) for records, found in parts if records]
    records = sum(number for number, _ in counted)
    return (
        min((found.min for _, found in counted), default=0.0),
        sum(number * found.mean for number, found in counted) / max(records, 1),
        max((found.max for _, found in counted), default=0.0),
    )


def _summed(parts: Iterable[Any]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(dict(part))
    return total


def _label_lines(loaded: Manifest, *, every: bool, width: int) -> Iterator[str]:
    """The histogram: the labels with most objects first, each with a bar."""
    objects = _summed(split.statistics.label_objects for split in loaded.splits)
    records = _summed(split.statistics.label_records for split in loaded.splits)
    labels = sorted(loaded.labels.labels, key=lambda label: -objects[label.name])
    background = " and background" if loaded.labels.background else ""
    yield f"labels: {text.count(len(labels))}{background}"
    shown = labels if every or len(labels) <= _TOP + 1 else labels[:_TOP]
    rest = labels[len(shown) :]
    rows = [["label", "objects", "records"]]
    rows += [
        [_title(label.name, label.title), *_counts(label.name, objects, records)] for label in shown
    ]
    if rest:
        number = sum(objects[label.name] for label in rest)
        rows.append([f"... and {len(rest)} more (--all)", text.count(number), ""])
    bar = min(_BAR, max(width - 48, 4))
    room = max(width - bar - 22, 26)
    lines = text.table([[_cut(row[0], room), *row[1:]] for row in rows])
    longest = max(map(len, lines))
    most = max(objects.values(), default=0) or 1
    blocks = text.shows_blocks(sys.stdout)
    yield lines[0]
    for line, label in zip(lines[1:], shown, strict=False):
        drawn = text.bar(objects[label.name] / most, bar, blocks=blocks)
        yield f"{line.ljust(longest)}  {drawn}".rstrip()
    yield from lines[1 + len(shown) :]


def _counts(name: str, objects: Counter[str], records: Counter[str]) -> list[str]:
    return [text.count(objects[name]), text.count(records[name])]


def _title(name: str, title: str) -> str:
    return f"{name} {title}" if title else name


def _cut(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 3] + "..."


def _as_dict(dataset: str, loaded: Manifest, versions: list[int]) -> dict[str, Any]:
    from tfstream.format import statistics

    return {
        "path": dataset,
        "version": loaded.version,
        "versions": versions,
        "commit": loaded.commit,
        "format_version": loaded.format_version,
        "tfstream_version": loaded.tfstream_version,
        "records": sum(split.statistics.records for split in loaded.splits),
        "bytes": sum(map(_bytes, loaded.splits)),
        "splits": [
            {
                "name": split.name,
                "shards": len(split.shards),
                "bytes": _bytes(split),
                **statistics.plain(split.statistics),
            }
            for split in loaded.splits
        ],
        "labels": [
            {"index": place, "name": label.name, "title": label.title}
            for place, label in enumerate(loaded.labels.labels)
        ],
        "background": len(loaded.labels.labels) if loaded.labels.background else None,
        "metadata": dict(loaded.schema.metadata),
        "pack": {
            field.name: getattr(loaded.pack, field.name) for field in loaded.pack.DESCRIPTOR.fields
        },
    }

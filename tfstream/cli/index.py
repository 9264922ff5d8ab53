"""`tfstream index`: makes a dataset of TFRecord files where they are."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from tfstream.cli import packed, text
from tfstream.cli.options import Project
from tfstream.cli.packing_options import Author, Json, Message, Processes
from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tfstream.indexing.indexer import IndexResult

__all__ = ["index"]


def index(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="TFRecord files, globs, or a directory that is searched for them; "
            "gs://BUCKET/PREFIX.",
        ),
    ],
    into: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="The dataset's directory; the files may be anywhere on local disk. Without it: "
            "the only SOURCE.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A label a line, numbered from 0; or a .pbtxt label map. Without it: what is "
            "beside the files or in the records.",
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=GLOB",
            help="The files of a split. Without it: as the files' names say.",
        ),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="What a feature is: image, key, filename, label, label_text, boxes, ymin, xmin, "
            "ymax, xmax, object_label, object_text, difficult, truncated, occluded or crowd. "
            "Those that are not said are found by their names. key= for none.",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A feature to leave out, whatever it holds."),
    ] = None,
    processes: Processes = None,
    project: Project = None,
    message: Message = "",
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Make a dataset of TFRecord files that are there already; nothing is copied or changed.

    Every record is checked, and confirmed to be like the others. Only indexes and a manifest are
    written. Known are the features of TensorFlow Datasets and of the TF Object Detection API.
    Interrupted, the same command goes on where it stopped.

    \b
    Example:
      tfstream index ~/tensorflow_datasets/mnist/3.0.1
      tfstream index 'coco/*.record-*' --into coco-index --labels mscoco_label_map.pbtxt
      tfstream index gs://my-bucket/shards --feature image=my/jpeg --ignore embedding
    """  # noqa: D301 (\b keeps click from filling the example's lines)
    from tfstream.indexing import indexer

    with packed.interruptible():
        result = indexer.index(
            *sources,
            into=into,
            labels=labels,
            splits=_pairs("--split", "NAME=GLOB", split) if split else None,
            features=_pairs("--feature", "ROLE=NAME", feature or []),
            ignore=ignore or [],
            processes=processes,
            project=project,
            message=message,
            author=author,
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=1))
        return
    for line in _lines(result):
        typer.echo(line)


def _pairs(option: str, form: str, values: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not name or not equals or name in pairs:
            why = "is given twice" if name in pairs else f"is not of the form {form}"
            raise InvalidArgumentError(f"{option} {value!r} {why}.")
        pairs[name] = rest
    return pairs


def _lines(result: IndexResult) -> Iterator[str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in result.splits.items())
    records = sum(result.splits.values())
    rate = text.size(result.bytes / max(result.seconds, 1e-6))
    yield (
        f"indexed {text.plural(records, 'image')} ({splits}), {text.size(result.bytes)} in "
        f"{text.plural(result.shards, 'shard')}, {result.classes} classes, "
        f"in {result.seconds:.1f} s ({rate}/s)"
    )
    if result.resumed:
        yield f"{text.plural(result.resumed, 'shard')} of them had been indexed before"
    if result.ignored:
        yield f"not used: {', '.join(result.ignored)}"
    quoted = shlex.quote(result.dest)
    yield f"look at it: tfstream info {quoted}"
    yield f"check it:   tfstream verify {quoted}"

"""`tfstream pack`: packs a tree of annotated images into a dataset."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from tfstream import errors
from tfstream.cli import text

if TYPE_CHECKING:
    from tfstream.packing.packer import PackResult

__all__ = ["pack"]

_INTERRUPTED = 130  # what shells take for an end by Ctrl-C


def pack(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="The tree of images, or a directory that holds it somewhere."
        ),
    ],
    dest: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="The dataset's directory, new or empty; or gs://BUCKET/PREFIX.",
        ),
    ],
    format: Annotated[
        str, typer.Option(help="The tree's format: ilsvrc-det, voc, or auto to find out.")
    ] = "auto",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A label a line, in the order of their indices; also Kaggle's synset mapping. "
            "Without it: the labels that occur, sorted.",
        ),
    ] = None,
    background: Annotated[
        bool,
        typer.Option(help="One more class, the last, for images without an object."),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="No shard is larger: 64MB, 1GiB, 5000000.")
    ] = "128MB",
    on_invalid: Annotated[
        str,
        typer.Option(
            metavar="error|skip|clip",
            help="Where something is wrong: pack nothing; leave that record out; or cut boxes to "
            "the image, and leave out what cannot be mended.",
        ),
    ] = "error",
    rejects: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where to say what is wrong, as JSON lines. Without it: DEST.rejects.jsonl, or "
            "PREFIX.rejects.jsonl in the current directory.",
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="Make images with a longer side smaller, to this."),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            metavar="1-100",
            help="Re-encode all images as JPEG of this quality. Without it files are stored as "
            "they are, save those that --max-side makes smaller: these get 90.",
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="How many at once; one a core without it.")
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="With gs://: where shards wait for their upload, 8 and one a process at most. "
            "Without it: $TFSTREAM_CACHE/packing or ~/.cache/tfstream/packing.",
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(help="With gs://: the project billed, where the requester pays."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Pack a tree of annotated images into a dataset of TFRecord shards.

    There is no dataset in DEST before all is packed. Interrupted, even by kill -9, the same
    command goes on where it stopped. To gs:// shards are uploaded while others are packed.

    \b
    Example:
      tfstream pack ILSVRC packed
      tfstream pack ILSVRC gs://my-bucket/ilsvrc
      tfstream pack VOCdevkit/VOC2012 packed --format voc --on-invalid clip --shard-size 64MB
    """  # noqa: D301 (\b keeps click from filling the example's lines)
    from tfstream.packing import packer
    from tfstream.sizes import parse_size

    try:
        result = packer.pack(
            source,
            dest,
            format=format,
            labels=labels,
            background=background,
            shard_bytes=parse_size(shard_size, "--shard-size"),
            seed=seed,
            on_invalid=on_invalid,
            rejects=rejects,
            max_side=max_side,
            quality=quality,
            processes=processes,
            workspace=workspace,
            project=project,
        )
    except KeyboardInterrupt:
        typer.echo(
            "interrupted: nothing is visible yet, and the same command goes on where it stopped",
            err=True,
        )
        raise typer.Exit(_INTERRUPTED) from None
    except errors.AnnotationError as error:
        # With its lines, of which each names a file.
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(packer.to_json(result), indent=1))
        return
    for line in _summary(result, dest):
        typer.echo(line)


def _summary(result: PackResult, dest: str) -> list[str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in result.splits.items())
    rate = result.records / max(result.seconds, 1e-6)
    lines = [
        f"packed {text.plural(result.records, 'image')} ({splits}), {text.size(result.bytes)} in "
        f"{text.plural(result.shards, 'shard')}, {result.classes} classes, "
        f"in {result.seconds:.1f} s ({rate:,.0f} images/s)"
    ]
    if result.resumed:
        lines.append(f"{text.plural(result.resumed, 'shard')} of them had been packed before")
    if result.rejected:
        lines.append(f"left out {text.plural(result.rejected, 'record')} that cannot be used")
    if result.rejects:
        lines.append(f"{result.rejects} says what was wrong")
    lines.extend(f"not packed: {count:,} {what}" for what, count in result.left_out.items())
    quoted = shlex.quote(dest)
    lines.append(f"look at it: tfstream info {quoted}")
    lines.append(f"check it:   tfstream verify {quoted}")
    return lines

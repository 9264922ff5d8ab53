"""Arguments and options that `tfstream pack` and `tfstream append` have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "Author",
    "Format",
    "Json",
    "MaxSide",
    "Message",
    "Metadata",
    "OnInvalid",
    "Processes",
    "Quality",
    "Rejects",
    "Source",
    "Workspace",
]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="The tree of images, a directory that holds it, or a .csv, .tsv or .jsonl file.",
    ),
]
Format = Annotated[
    str,
    typer.Option(
        help="The tree's format: ilsvrc-det, ilsvrc-cls-loc, voc, coco, yolo, open-images, "
        "labelme, jsonl, npy, csv, imagefolder, rows; or auto to find out."
    ),
]
Metadata = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="A .csv, .tsv or .parquet file of metadata, joined on its column 'key', or 'file' or "
        "'path' of the image. Files IMAGE.metadata.json, and metadata.json of a folder, are found "
        "without it.",
    ),
]
OnInvalid = Annotated[
    str,
    typer.Option(
        metavar="error|skip|clip",
        help="Where something is wrong: pack nothing; leave that record out; or cut boxes to "
        "the image, and leave out what cannot be mended.",
    ),
]
Rejects = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Where to say what is wrong, as JSON lines. Without it: DEST.rejects.jsonl, or "
        "PREFIX.rejects.jsonl in the current directory.",
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(metavar="PIXELS", help="Make images with a longer side smaller, to this."),
]
Quality = Annotated[
    int | None,
    typer.Option(
        metavar="1-100",
        help="Re-encode all images as JPEG of this quality. Without it files are stored as "
        "they are, save those that --max-side makes smaller: these get 90.",
    ),
]
Processes = Annotated[int | None, typer.Option(help="How many at once; one a core without it.")]
Workspace = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="With gs://: where shards wait for their upload, 8 and one a process at most. "
        "Without it: $TFSTREAM_CACHE/packing or ~/.cache/tfstream/packing.",
    ),
]
Message = Annotated[
    str, typer.Option("--message", "-m", metavar="TEXT", help="What for; the version keeps it.")
]
Author = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Who; without it $TFSTREAM_AUTHOR, or your user name and the host's."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

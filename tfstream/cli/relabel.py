"""`tfstream relabel`: a version in which some records have other metadata."""

from __future__ import annotations

from typing import Annotated

import typer

from tfstream.cli import edited, options
from tfstream.cli.packing_options import Author, Json, Message

__all__ = ["relabel"]


def relabel(
    dataset: options.Dataset,
    edits: Annotated[
        str,
        typer.Argument(
            metavar="EDITS",
            help="A .csv, .tsv or .parquet file with a column 'key' (or 'file', the image's).",
        ),
    ],
    message: Message,
    author: Author = None,
    project: options.Project = None,
    as_json: Json = False,
) -> None:
    """Make a version in which some records have other metadata.

    Each row gives the record of its key a value for each of the other columns; an empty one
    becomes null. New columns are added. Shards are not written anew.

    Example:
        tfstream relabel packed night.csv -m "which were taken by night"
    """
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory
    from tfstream.versions import relabelling

    directory = open_directory(dataset, Access(project=project))
    info = relabelling.relabel(directory, edits, message=message, author=author)
    edited.show(info, f"relabelled by {edits}", as_json=as_json)

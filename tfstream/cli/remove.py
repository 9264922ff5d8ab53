"""`tfstream remove`: a version without some records."""

from __future__ import annotations

from typing import Annotated

import typer

from tfstream.cli import edited, options, text
from tfstream.cli.packing_options import Author, Json, Message

__all__ = ["remove"]


def remove(
    dataset: options.Dataset,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What the records fulfil that shall go.")
    ],
    message: Message,
    author: Author = None,
    force: Annotated[bool, typer.Option("--force", help="Let a split become empty.")] = False,
    project: options.Project = None,
    as_json: Json = False,
) -> None:
    """Make a version without the records that a query selects.

    Nothing is deleted: older versions have them still, and `tfstream versions DATASET rollback`
    brings them back. `tfstream query DATASET QUERY` shows beforehand which they are.

    Example:
        tfstream remove packed 'width < 64 or label:blurred' -m "too small, or blurred"
        tfstream remove gs://bucket/det 'split = test' -m "no test set" --force
    """
    from tfstream.format import manifest
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory
    from tfstream.versions import removing
    from tfstream.versions.history import VersionInfo

    directory = open_directory(dataset, Access(project=project))
    info = removing.remove(directory, query, message=message, author=author, force=force)
    before = VersionInfo.of(manifest.load(directory, info.parent))
    gone = text.plural(before.records - info.records, "record")
    edited.show(info, f"removed {gone}", as_json=as_json)

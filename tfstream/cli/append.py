"""`tfstream append`: packs a tree of annotated images into a dataset's next version."""

from __future__ import annotations

from typing import Annotated

import typer

from tfstream.cli import packed
from tfstream.cli.options import Dataset, Project
from tfstream.cli.packing_options import (
    Author,
    Format,
    Json,
    MaxSide,
    Message,
    Metadata,
    OnInvalid,
    Processes,
    Quality,
    Rejects,
    Source,
    Workspace,
)

__all__ = ["append"]


def append(
    source: Source,
    dataset: Dataset,
    message: Message = "",
    author: Author = None,
    format: Format = "auto",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The labels that there may be, one a line: the dataset's in their order, and "
            "others behind them. Without it: whatever labels occur.",
        ),
    ] = None,
    metadata: Metadata = None,
    seed: Annotated[int | None, typer.Option(help="Of the shuffle of what is added.")] = None,
    shard_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="No shard is larger: 64MB, 1GiB, 5000000.")
    ] = None,
    on_invalid: OnInvalid = "error",
    rejects: Rejects = None,
    max_side: MaxSide = None,
    quality: Quality = None,
    processes: Processes = None,
    workspace: Workspace = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Add a tree of annotated images to a dataset, as a new version of it.

    The new version shares the shards of the one before it, which stays as it is. What is not said
    is done as when the dataset was packed. Images whose keys it has already are an error;
    --on-invalid skip leaves them out. Interrupted, the same command goes on where it stopped.

    \b
    Example:
      tfstream append NIGHT packed -m "the night drives"
      tfstream append NIGHT gs://my-bucket/ilsvrc --metadata night.csv --on-invalid skip
    """  # noqa: D301 (\b keeps click from filling the example's lines)
    from tfstream.packing.appending import append as add
    from tfstream.sizes import parse_size

    with packed.interruptible():
        result = add(
            source,
            dataset,
            message=message,
            author=author,
            format=format,
            labels=labels,
            metadata=metadata,
            shard_bytes=None if shard_size is None else parse_size(shard_size, "--shard-size"),
            seed=seed,
            on_invalid=on_invalid,
            rejects=rejects,
            max_side=max_side,
            quality=quality,
            processes=processes,
            workspace=workspace,
            project=project,
        )
    packed.show(result, "appended", dataset, metadata=metadata, as_json=as_json)

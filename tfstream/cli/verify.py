"""`tfstream verify`: checks every byte of a dataset."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import Annotated

import typer

from tfstream.cli import options, text

__all__ = ["verify"]


def verify(
    dataset: options.Dataset,
    version: options.Version = None,
    processes: Annotated[
        int | None, typer.Option(help="How many at once; one a core without it.")
    ] = None,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every CRC of a dataset, and its shards against indexes and manifest.

    Lists what is wrong, one problem a line, and exits with status 1 then.

    Example:
        tfstream verify packed
        tfstream verify packed --version 1 --processes 4 --json
    """
    import tqdm

    from tfstream.format import verify as verify_lib
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory
    from tfstream.versions import history

    directory = open_directory(dataset, Access(project=project))
    loaded = history.load(directory, version)
    shards = [shard for split in loaded.splits for shard in split.shards]
    total = sum(shard.bytes for shard in shards)
    begin = time.monotonic()
    with tqdm.tqdm(
        total=total,
        desc="verifying",
        unit="B",
        unit_scale=True,
        disable=not sys.stderr.isatty(),
        leave=False,
    ) as bar:
        problems = verify_lib.verify(
            directory, loaded.version, processes=processes, progress=bar.update
        )
    seconds = time.monotonic() - begin
    records = sum(shard.records for shard in shards)
    if as_json:
        told = {
            "path": dataset,
            "version": loaded.version,
            "shards": len(shards),
            "records": records,
            "bytes": total,
            "seconds": round(seconds, 3),
            "problems": [dataclasses.asdict(problem) for problem in problems],
        }
        typer.echo(json.dumps(told, indent=1))
    else:
        for problem in problems:
            typer.echo(str(problem))
        rate = text.size(total / max(seconds, 1e-6))
        typer.echo(
            f"version {loaded.version}: {text.plural(records, 'record')} in "
            f"{text.plural(len(shards), 'shard')}, {text.size(total)}, in {seconds:.1f} s "
            f"({rate}/s): {text.plural(len(problems), 'problem') if problems else 'all is well'}"
        )
    if problems:
        raise typer.Exit(1)

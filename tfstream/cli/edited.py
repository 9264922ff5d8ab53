"""What `tfstream remove`, `relabel` and `versions` say of a version."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from tfstream.cli import text

if TYPE_CHECKING:
    from tfstream.versions import VersionInfo

__all__ = ["as_dict", "show", "splits"]


def show(info: VersionInfo, done: str, *, as_json: bool) -> None:
    """Prints what was made.

    Args:
        info: The new version.
        done: What was done, as the beginning of a sentence.
        as_json: As JSON, for a program.
    """
    if as_json:
        typer.echo(json.dumps(as_dict(info), indent=1))
    else:
        typer.echo(f"{done}: version {info.number} has {splits(info)}")


def splits(info: VersionInfo) -> str:
    """How many records there are, and in which splits."""
    records = text.plural(info.records, "record")
    listed = ", ".join(f"{text.harmless(n)} {text.count(c)}" for n, c in info.splits.items())
    return f"{records} ({listed})" if len(info.splits) > 1 else records


def as_dict(info: VersionInfo) -> dict[str, Any]:
    """A version as plain values that JSON can hold."""
    time = None if info.time is None else info.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**dataclasses.asdict(info), "time": time, "tags": list(info.tags)}

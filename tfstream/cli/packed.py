"""What `tfstream pack` and `tfstream append` say when they are done, or could not be."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from tfstream import errors
from tfstream.cli import text

if TYPE_CHECKING:
    from tfstream.packing.job import PackResult

__all__ = ["interruptible", "show"]

_INTERRUPTED = 130  # what shells take for an end by Ctrl-C


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ends the command with its status, where Ctrl-C or bad input ends the block."""
    try:
        yield
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


def show(result: PackResult, verb: str, dest: str, *, metadata: str | None, as_json: bool) -> None:
    """Prints what was made.

    Args:
        result: What was made.
        verb: What was done: "packed", "appended".
        dest: The dataset, as the user named it.
        metadata: The file of metadata, likewise.
        as_json: As JSON, for a program.
    """
    if as_json:
        from tfstream.packing.job import to_json

        typer.echo(json.dumps(to_json(result), indent=1))
        return
    for line in _lines(result, verb, dest, metadata):
        typer.echo(line)


def _lines(result: PackResult, verb: str, dest: str, metadata: str | None) -> Iterator[str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in result.splits.items())
    rate = result.records / max(result.seconds, 1e-6)
    yield (
        f"{verb} {text.plural(result.records, 'image')} ({splits}), {text.size(result.bytes)} in "
        f"{text.plural(result.shards, 'shard')}, {result.classes} classes, "
        f"in {result.seconds:.1f} s ({rate:,.0f} images/s)"
    )
    if result.version > 1:
        yield f"version {result.version} has {text.plural(result.total, 'image')}"
    if result.resumed:
        yield f"{text.plural(result.resumed, 'shard')} of them had been packed before"
    if result.rejected:
        yield f"left out {text.plural(result.rejected, 'record')} that cannot be used"
    if result.rejects:
        yield f"{result.rejects} says what was wrong"
    if result.unmatched:
        yield f"no image was found for {text.plural(result.unmatched, 'row')} of {metadata}"
    for what, count in result.left_out.items():
        yield f"not packed: {count:,} {what}"
    quoted = shlex.quote(dest)
    yield f"look at it: tfstream info {quoted}"
    yield f"check it:   tfstream verify {quoted}"

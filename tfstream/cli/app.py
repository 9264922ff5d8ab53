"""The `tfstream` command: finds the verb, and turns errors into one line and an exit status."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from tfstream import errors
from tfstream.cli.usage import help_of

__all__ = ["app", "main"]

# Each is a function, or a Typer of several, of that name in a module of that name, loaded when
# it is asked for.
_VERBS = (
    "pack",
    "append",
    "index",
    "info",
    "cat",
    "query",
    "view",
    "split",
    "remove",
    "relabel",
    "versions",
    "verify",
    "cache",
    "simulate",
    "bench",
    "dispatcher",
    "worker",
    "demo",
)


class _Verbs(typer.core.TyperGroup):
    """The verbs, without importing those that are not asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _VERBS:
            return None
        verb = getattr(importlib.import_module(f"tfstream.cli.{cmd_name}"), cmd_name)
        if isinstance(verb, typer.Typer):
            return typer.main.get_command(verb)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(cmd_name, help=help_of(verb))(verb)
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from tfstream import __version__

        typer.echo(f"tfstream {__version__}")
        raise typer.Exit


def _tfstream(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Pack annotated images into TFRecord shards; look at what was packed.

    Example:
        tfstream pack ILSVRC packed --format ilsvrc-det
        tfstream info packed
    """


app.callback(help=help_of(_tfstream))(_tfstream)


def main() -> None:
    """Runs the command line; the exit status is 0 done, 1 found a problem, 2 wrong usage."""
    try:
        app(prog_name="tfstream")
    except errors.TfstreamError as error:
        # A query's error shows where in it the mistake is, on lines of their own.
        line = str(error) if isinstance(error, errors.QueryError) else " ".join(str(error).split())
        print(f"error: {line}", file=sys.stderr)
        usage = (
            errors.InvalidArgumentError,
            errors.DatasetNotFoundError,
            errors.BucketNotFoundError,
        )
        sys.exit(2 if isinstance(error, usage) else 1)


if __name__ == "__main__":
    main()

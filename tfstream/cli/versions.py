"""`tfstream versions`: the history of a dataset, and what can be done with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from tfstream.cli import edited, options, text
from tfstream.cli.packing_options import Author, Json, Message
from tfstream.cli.usage import help_of

if TYPE_CHECKING:
    from tfstream.storage.directory import Directory
    from tfstream.versions import VersionInfo

__all__ = ["versions"]

_SHOWN = 10  # records of a difference, or files, without --all
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it nothing is changed.")]
_Version = Annotated[str, typer.Argument(metavar="VERSION", help="A number, a tag or a time.")]


class _Actions(typer.core.TyperGroup):
    """The actions behind a dataset's name; the history, where there is none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = (
            place
            for place, word in enumerate(args)
            if not word.startswith("-") and args[place - 1 : place] != ["--project"]
        )
        behind = next(words, len(args)) + 1
        following = args[behind : behind + 1]
        if following in (["-h"], ["--help"]):
            args = following
        elif behind <= len(args) and following in ([], ["--json"]):
            args = [*args[:behind], "list", *args[behind:]]
        return super().parse_args(ctx, args)


versions = typer.Typer(
    cls=_Actions,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _versions(
    ctx: typer.Context, dataset: options.Dataset, project: options.Project = None
) -> None:
    """List the versions of a dataset, compare them, go back to one, name one, free space.

    Example:
        tfstream versions packed
        tfstream versions packed --json
        tfstream versions packed diff 1 2
        tfstream versions packed tag paper-2026 3
        tfstream versions packed rollback 1 -m "the labels were right before"
        tfstream versions packed retire 1 2 --yes
        tfstream versions packed gc --yes
    """
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory

    ctx.obj = open_directory(dataset, Access(project=project))


versions.callback(help=help_of(_versions))(_versions)


def show_list(ctx: typer.Context, as_json: Json = False) -> None:
    """List the versions, oldest first: what is done where no action is named.

    Example:
        tfstream versions packed list --json
    """
    from tfstream.versions import history

    found = history.versions(ctx.obj)
    if as_json:
        typer.echo(json.dumps([edited.as_dict(info) for info in found], indent=1))
        return
    heads = ["version", "records", "bytes", "made", "time (UTC)", "by", "tags", "message"]
    rows = [heads, *(_row(info) for info in found)]
    for line in _aligned(rows, right=3):
        typer.echo(line)


def _row(info: VersionInfo) -> list[str]:
    made = info.operation or "-"
    if info.parent and info.parent != info.number - 1:
        made += f" from {info.parent}"
    return [
        str(info.number),
        text.count(info.records),
        text.size(info.bytes),
        made,
        "-" if info.time is None else info.time.strftime("%Y-%m-%d %H:%M:%S"),
        text.harmless(info.author) or "-",
        ", ".join(info.tags) or "-",
        text.harmless(" ".join(info.message.split())),
    ]


def _aligned(rows: Sequence[Sequence[str]], *, right: int) -> list[str]:
    """Lines with their columns aligned, the first ones to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place < right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def diff(
    ctx: typer.Context,
    before: _Version,
    after: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Likewise; the newest without it.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Every record, not only the first {_SHOWN}.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which records were added, removed or changed from one version to another.

    A record was changed where its metadata were, or where it was stored anew.

    Example:
        tfstream versions packed diff 1
        tfstream versions packed diff 1 2026-01-31 --all
    """
    from tfstream.versions import difference

    found = difference.diff(ctx.obj, before, after)
    counts = {"added": found.added, "removed": found.removed, "changed": found.changed}
    if as_json:
        head = json.dumps({"before": found.before, "after": found.after, **counts})
        # Written as it is read: there may be millions.
        typer.echo(head[:-1] + ', "records": [', nl=False)
        for number, each in enumerate(found):
            typer.echo(
                (",\n " if number else "\n ") + json.dumps(dataclasses.asdict(each)), nl=False
            )
        typer.echo("\n]}")
        return
    told = ", ".join(f"{text.count(number)} {kind}" for kind, number in counts.items())
    typer.echo(f"from version {found.before} to version {found.after}: {told}")
    signs = {"added": "+", "removed": "-", "changed": "~"}
    for number, each in enumerate(found):
        if number == _SHOWN and not everything:
            typer.echo(f"... and {text.count(sum(counts.values()) - _SHOWN)} more (--all)")
            break
        columns = f" ({', '.join(each.columns)})" if each.columns else ""
        typer.echo(text.harmless(f"{signs[each.kind]} {each.key}{columns}"))


def rollback(
    ctx: typer.Context,
    version: _Version,
    message: Message,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Commit an old version anew, as the newest; the ones between stay as they are.

    Example:
        tfstream versions packed rollback 1 -m "the labels were right before"
    """
    from tfstream.versions import history

    info = history.rollback(ctx.obj, version, message=message, author=author)
    edited.show(info, f"rolled back to {version}", as_json=as_json)


def tag(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_', '-'.")],
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="A number; the newest without it.")
    ] = None,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Give a version a name, which it keeps.

    Example:
        tfstream versions packed tag paper-2026 3
    """
    from tfstream.versions import tags

    made = tags.tag(ctx.obj, name, version, author=author)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(made), indent=1))
    else:
        typer.echo(f"version {made.version} has the tag {made.name!r}")


def gc(
    ctx: typer.Context,
    grace: Annotated[
        str,
        typer.Option(
            metavar="AGE", help="What is younger stays, with what belongs to it: 12h, 7d, 2w."
        ),
    ] = "7d",
    yes: _Yes = False,
    everything: Annotated[bool, typer.Option("--all", help="Name every file.")] = False,
    as_json: Json = False,
) -> None:
    """Show which shards and indexes no version needs; with --yes, delete them.

    They are left by packs and edits that were given up, and by versions that were retired. What
    one is about to commit is young: the grace time must be longer than any pack takes.

    Example:
        tfstream versions packed gc
        tfstream versions packed gc --grace 2w --yes
    """
    from tfstream.versions import garbage

    found = garbage.find_garbage(ctx.obj, grace=text.age(grace, "--grace"))
    freed = garbage.delete_garbage(found) if yes else 0
    spared = sum(info.size for info in found.spared)
    if as_json:
        told = {
            "files": [{"name": info.name, "bytes": info.size} for info in found.files],
            "bytes": found.bytes,
            "spared": len(found.spared),
            "spared_bytes": spared,
            "deleted": yes,
            "freed": freed,
        }
        typer.echo(json.dumps(told, indent=1))
        return
    shown = found.files if everything else found.files[:_SHOWN]
    for info in shown:
        typer.echo(f"{text.harmless(info.name)}  {text.size(info.size)}")
    if len(found.files) > len(shown):
        typer.echo(f"... and {text.plural(len(found.files) - len(shown), 'file')} more (--all)")
    files = text.plural(len(found.files), "file")
    if not found.files:
        typer.echo("there is nothing that no version needs")
    elif yes:
        typer.echo(f"deleted {files}: {text.size(freed)} are free again")
    else:
        typer.echo(f"{files}, {text.size(found.bytes)}, would be deleted with --yes")
    if found.spared:
        young = text.plural(len(found.spared), "file")
        typer.echo(f"{young}, {text.size(spared)}, not needed either, may be of work under way")


def retire(
    ctx: typer.Context,
    numbers: Annotated[
        list[int], typer.Argument(metavar="VERSION...", help="The numbers of versions.")
    ],
    yes: _Yes = False,
    as_json: Json = False,
) -> None:
    """Forget versions, so that gc can free what only they need.

    Nobody can open them, or go back to them, after that. The newest version cannot be forgotten,
    nor one that has a tag or a saved slice.

    Example:
        tfstream versions packed retire 1 2 --yes
    """
    from tfstream.versions import garbage

    directory: Directory = ctx.obj
    done = garbage.retire(directory, numbers) if yes else garbage.may_retire(directory, numbers)
    if as_json:
        typer.echo(json.dumps({"versions": done, "retired": yes}, indent=1))
        return
    named = f"version{'s' * (len(done) > 1)} {', '.join(map(str, done))}"
    if yes:
        typer.echo(f"forgot {named}: `tfstream versions DATASET gc` shows what that frees")
    else:
        typer.echo(f"{named} would be forgotten with --yes")


for _action in (diff, rollback, tag, gc, retire):
    versions.command(_action.__name__, help=help_of(_action))(_action)
versions.command("list", help=help_of(show_list))(show_list)

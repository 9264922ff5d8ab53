"""`tfstream split`: cuts the records of a dataset into parts, and keeps them as slices."""

from __future__ import annotations

import json
import keyword
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream import errors
from tfstream.cli import options, text

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["split"]

# Of the same call, so parts cannot bear them.
_TAKEN = ("by", "seed", "stratify")


def split(
    dataset: options.Dataset,
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FRACTION...", help="Such as train=0.8 val=0.1 test=0.1, at most 1 in all."
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Records with the same value of it come into the same part."
        ),
    ] = None,
    stratify: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Each value of it is cut in these very proportions."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one gives other parts.")] = 1337,
    query: Annotated[
        str | None, typer.Option(metavar="QUERY", help="Cut the records that it selects.")
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Keep each part as the slice PREFIX-NAME, for ever."),
    ] = None,
    version: options.Version = None,
    slice: Annotated[
        str | None, typer.Option(metavar="NAME", help="Cut a slice that was kept.")
    ] = None,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Cut the records into parts that share none, and show their sizes.

    A record's part follows from its key (or the value of --by) and the seed: records that are
    added later move no other. With --stratify the proportions are exact instead.

    Example:
        tfstream split packed train=0.8 val=0.1 test=0.1
        tfstream split packed train=0.9 val=0.1 --by scene --query 'label:dog' --save dogs
    """
    from tfstream.opening import open_dataset

    fractions = _fractions(parts)
    data = open_dataset(dataset, version=version, slice=slice, project=project)
    if query is not None:
        data = data.slice(query)
    made = data.partition(by=by, seed=seed, stratify=stratify, **fractions)._asdict()
    names = {part: f"{save}-{part}" for part in made} if save is not None else {}
    _keep(dataset, made, names, project)
    if as_json:
        told: dict[str, Any] = {
            "records": len(data),
            "version": data.version,
            "seed": seed,
            "parts": {
                name: {"records": len(part)} | ({"slice": names[name]} if names else {})
                for name, part in made.items()
            },
        }
        typer.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    total = max(len(data), 1)
    rows = [["part", "records", "share", *(["slice"] if names else [])]]
    rest = len(data) - sum(map(len, made.values()))
    sizes = {name: len(part) for name, part in made.items()}
    for name, size in (*sizes.items(), *([("(in none)", rest)] if rest else [])):
        kept = [names.get(name, "-")] if names else []
        rows.append([name, text.count(size), f"{100 * size / total:.1f} %", *kept])
    for line in text.table(rows):
        typer.echo(line)
    typer.echo(f"of {text.plural(len(data), 'record')} of version {data.version}")


def _fractions(parts: list[str]) -> dict[str, float]:
    fractions: dict[str, float] = {}
    for part in parts:
        name, _, value = part.partition("=")
        try:
            fraction = float(value)
        except ValueError:
            raise errors.InvalidArgumentError(
                f"{part!r} is not a part: write a name and a fraction, such as train=0.8."
            ) from None
        good = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
        if not good or name in _TAKEN:
            raise errors.InvalidArgumentError(
                f"{name!r} cannot name a part: letters, digits and _ can, except "
                f"{', '.join(_TAKEN)} and Python's keywords."
            )
        if name in fractions:
            raise errors.InvalidArgumentError(f"the part {name!r} is given twice.")
        fractions[name] = fraction
    return fractions


def _keep(
    dataset: str, made: dict[str, PackedDataset], names: dict[str, str], project: str | None
) -> None:
    """Saves all parts as slices, or none where one of the names is taken."""
    from tfstream.format import slices
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory

    if not names:
        return
    taken = {*slices.names(open_directory(dataset, Access(project=project)))} & {*names.values()}
    if taken:
        raise errors.DatasetExistsError(
            f"{dataset} has a slice {min(taken)!r} already, and slices never change: give another "
            "--save. Nothing was kept."
        )
    for part, name in names.items():
        made[part].save(name)

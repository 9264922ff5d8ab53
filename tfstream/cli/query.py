"""`tfstream query`: which records a query selects, and what can be made of them."""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream import errors
from tfstream.cli import options, text
from tfstream.format.names import require_name

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["query"]

_FIRST = ("key", "split", "label", "objects", "width", "height")
_CELL = 40  # characters of a value, at most
_ROWS = 20


def query(
    dataset: options.Dataset,
    expression: Annotated[
        str,
        typer.Argument(
            metavar="QUERY",
            help="What to select: 'labels.dog >= 1 and width > 200', or "
            "'label:dog @split:0.8:0.2'. All records without it.",
        ),
    ] = "",
    limit: Annotated[int, typer.Option(help="Rows shown.", min=0)] = _ROWS,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Columns shown; those that fit without it."),
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Show how many records, alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Show what the query becomes, and ask nothing of the dataset."),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write images and annotations to a new directory: a PASCAL VOC tree, or images "
            "alone where nothing is annotated; or in another --format.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --export: voc, coco, yolo, imagefolder, webdataset, or images.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="With --export: the images' names, such as {split}/{label}/{name}{ext}. "
            "The key's own without it.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw labels, image sizes and boxes an image, to a new .png file."
        ),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Keep the selection as a slice of that name, for ever."),
    ] = None,
    version: options.Version = None,
    slice: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask a slice that was kept.")
    ] = None,
    project: options.Project = None,
) -> None:
    """Show the records that a query selects; export, draw or keep them.

    Example:
        tfstream query packed 'labels.dog >= 1 and not width < 200'
        tfstream query packed 'label:dog' --export dogs --format coco
        tfstream query packed '@sample:0.1' --plot sample.png --save tenth
    """
    from tfstream.opening import open_dataset

    for option, value in (("--template", template), ("--format", format)):
        if value is not None and export is None:
            raise errors.InvalidArgumentError(
                f"{option} is for --export: name a directory with it."
            )
    if plot is not None:
        from tfstream import plot as pictures

        pictures.check(plot)
    if save is not None:
        require_name(save, "slice")
    data = open_dataset(dataset, version=version, slice=slice, project=project)
    if sql:
        _show_sql(data, expression, as_json=as_json)
        return
    chosen = data.slice(expression) if expression.strip() else data
    if as_json:
        told: dict[str, Any] = {"records": len(chosen)}
        if not count:
            shown = _picked(chosen, columns)
            told["rows"] = [
                {name: _plain(row[name]) for name in shown or row} for row in _rows(chosen, limit)
            ]
        typer.echo(json.dumps(told, indent=1, ensure_ascii=False, default=str))
    elif count:
        typer.echo(len(chosen))
    else:
        for line in _lines(chosen, columns, limit):
            typer.echo(line)
    if export is not None:
        from tfstream.export import export as write

        done = write(chosen, export, format=format or "auto", template=template, progress=True)
        typer.echo(
            f"wrote {text.plural(done.records, 'image')}, {text.size(done.bytes)}, as "
            f"{done.format} to {done.directory}",
            err=True,
        )
        for what, number in done.lost.items():
            typer.echo(f"{done.format} cannot hold: {text.harmless(what)} ({number:,})", err=True)
    if plot is not None:
        if not len(chosen):
            raise errors.InvalidArgumentError("there are no records to draw: nothing was written")
        title = f"{dataset}, {expression}" if expression.strip() else dataset
        tables = chosen.stored.tables(pictures.COLUMNS)
        pictures.plot(pictures.facts_of(tables), plot, title=title)
        typer.echo(f"drew {plot}", err=True)
    if save is not None:  # last: nobody can take it back
        chosen.save(save)
        typer.echo(f"kept as slice {save!r} of version {chosen.version}", err=True)


def _show_sql(data: PackedDataset, expression: str, *, as_json: bool) -> None:
    """What the predicate is compiled to; the operators with @ are not part of it."""
    from tfstream.query import compile_where, parse

    condition = compile_where(parse(expression), data.fields)
    if as_json:
        told = {"sql": condition.sql, "parameters": list(condition.parameters)}
        typer.echo(json.dumps(told, indent=1, ensure_ascii=False, default=str))
        return
    typer.echo(condition.sql)
    for number, value in enumerate(condition.parameters, start=1):
        typer.echo(f"?{number} = {value!r}")


def _lines(chosen: PackedDataset, columns: str | None, limit: int) -> Iterator[str]:
    rows = list(_rows(chosen, limit))
    names = _picked(chosen, columns)
    if rows:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        cells = {name: [name, *(_cell(row[name]) for row in rows)] for name in names or rows[0]}
        fitting = list(cells) if names else _fitting(cells, width)
        yield from text.table(list(zip(*(cells[name] for name in fitting), strict=True)))
        left_out = [name for name in cells if name not in fitting]
        yield ""
        if left_out:
            yield f"there are also the columns {', '.join(left_out)}"
    points = "data_point" in _columns(chosen)
    count, first = len(chosen), min(limit, len(chosen))
    shown = f", the first {first:,} shown" if 0 < first < count else ""
    parts = ""
    if len(chosen.splits) > 1 and count and not points:
        sizes = ((name, len(chosen.split(name))) for name in chosen.splits)
        parts = f" ({', '.join(f'{name} {size:,}' for name, size in sizes)})"
    yield f"{text.plural(count, 'data point' if points else 'record')}{parts}{shown}"


def _rows(chosen: PackedDataset, limit: int) -> Iterator[dict[str, Any]]:
    """The first rows of the metadata, the most telling columns first."""
    for row in chosen.limit(limit).metadata.to_pylist():
        ordered = [name for name in _FIRST if name in row]
        yield {name: row[name] for name in [*ordered, *(n for n in row if n not in ordered)]}


def _picked(chosen: PackedDataset, columns: str | None) -> list[str]:
    """The columns asked for; none: all."""
    if columns is None:
        return []
    names = [name.strip() for name in columns.split(",") if name.strip()]
    known = _columns(chosen)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise errors.InvalidArgumentError(
                f"--columns names {name!r}, which there is not: {hint}There are {', '.join(known)}."
            )
    return names


def _columns(chosen: PackedDataset) -> list[str]:
    names: list[str] = chosen.limit(0).metadata.column_names
    return names


def _fitting(cells: dict[str, list[str]], width: int | None) -> list[str]:
    """As many columns, from the first on, as a line has room for."""
    if width is None:
        return list(cells)
    fitting: list[str] = []
    used = 0
    for name, column in cells.items():
        used += max(map(len, column)) + 2
        if fitting and used - 2 > width:
            break
        fitting.append(name)
    return fitting


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):  # the labels
        value = ", ".join(f"{label} {count}" for label, count in value)
    shown = " ".join(str(value).split())
    return shown if len(shown) <= _CELL else f"{shown[: _CELL - 1]}…"


def _plain(value: object) -> object:
    """A value as JSON has it: labels with their counts as an object."""
    return dict(value) if isinstance(value, list) else value

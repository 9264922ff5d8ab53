"""`tfstream bench`: where a stream's time goes, and what to change."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream.cli import options, text
from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tfstream.bench.verdict import Verdict
    from tfstream.dataset import PackedDataset

__all__ = ["bench"]

_LOOKED_AT = 1000  # records whose picture's size goes into the mean
_SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?")


def bench(
    dataset: options.Dataset,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="A split; all without it.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="QUERY", help="The records that it selects.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples a batch.", min=1)] = 64,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Of the images, in pixels: 224, or 480x640.")
    ] = "224",
    mode: Annotated[str, typer.Option(help="As ImageSpec has it.")] = "random_crop",
    dtype: Annotated[str, typer.Option(help="As ImageSpec has it.")] = "uint8",
    normalize: Annotated[str | None, typer.Option(help="As ImageSpec has it.")] = None,
    flip: Annotated[bool, typer.Option(help="As ImageSpec has it.")] = True,
    boxes: Annotated[bool, typer.Option(help="Have boxes follow, ragged.")] = False,
    block_size: Annotated[int | None, typer.Option(help="As stream() has it.", min=1)] = None,
    seconds: Annotated[float, typer.Option(help="That it may take, about.")] = 20.0,
    cache_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="With gs://: where bytes are kept.")
    ] = None,
    version: options.Version = None,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it, to a new .png file.")
    ] = None,
) -> None:
    """Say where a stream's time goes: read, parse, decode, augment, batch; and what to change.

    Each stage runs by itself, its input in memory, beside the whole stream, in turns. Nothing is
    trained. Files that the system has in its memory are read from there.

    Example:
        tfstream bench packed --split train --size 224 --batch-size 64
        tfstream bench gs://bucket/det --cache-dir cache --seconds 60 --plot bench.png
    """
    import tqdm

    from tfstream.bench import measuring
    from tfstream.images import ImageSpec
    from tfstream.opening import open_dataset

    if plot is not None:
        from tfstream import plot as pictures

        pictures.check(plot)
    image: dict[str, Any] = {"mode": mode, "dtype": dtype, "normalize": normalize, "flip": flip}
    spec = ImageSpec(size=_size_of(size), **image)
    data = open_dataset(dataset, version=version, cache_dir=cache_dir, project=project)
    if split is not None:
        data = data.split(split)
    if query is not None:
        data = data.slice(query)
    stream = data.stream(
        batch_size=batch_size,
        image=spec,
        label="index",
        boxes="ragged" if boxes else None,
        block_size=block_size,
    )
    with tqdm.tqdm(
        total=measuring.steps(), desc="measuring", disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        found = measuring.measure(
            stream, stored_pixels=_stored_pixels(data), seconds=seconds, told=bar.update
        )
    if as_json:
        typer.echo(json.dumps(_told(dataset, len(data), found), indent=1))
    else:
        what = f"{dataset}: {text.plural(len(data), 'record')}, batches of {batch_size}"
        typer.echo("\n".join([f"{what}, {spec.size[0]}x{spec.size[1]} {dtype}", *_lines(found)]))
    if plot is not None:
        from tfstream.bench.picture import draw

        draw(found, plot, title=f"{dataset}: {text.plural(len(data), 'record')}")


def _size_of(size: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(size)
    if match is None:
        raise InvalidArgumentError(
            f"--size {size!r} is not the size of an image: give pixels, such as 224, or 480x640 "
            "(height x width)"
        )
    return int(match[1]), int(match[2] or match[1])


def _stored_pixels(data: PackedDataset) -> float:
    """Of a picture, in the mean of the first ones."""
    from pyarrow import compute

    some = data.limit(_LOOKED_AT).metadata
    return float(compute.mean(compute.multiply(some["width"], some["height"])).as_py() or 0)


def _told(dataset: str, records: int, found: Verdict) -> dict[str, Any]:
    """All of it, as JSON has it."""
    told = dataclasses.asdict(found)
    return {"dataset": dataset, "records": records, **told, "summed_cpu": found.summed}


def _lines(found: Verdict) -> list[str]:
    rows = [["", "images/s alone", "µs of CPU each", "of all"]]
    for stage in found.stages:
        alone = f"{stage.rate:,.0f}"
        rows.append([stage.name, alone, f"{stage.cpu:,.0f}", f"{100 * stage.share:.0f} %"])
    rows.append(["together", "", f"{found.summed:,.0f}", "100 %"])
    whole, memory = found.whole, found.memory
    rows.append(["the stream", f"{whole.rate:,.0f}", f"{whole.cpu:,.0f}", ""])
    rows.append(["from memory", f"{memory.rate:,.0f}", f"{memory.cpu:,.0f}", ""])
    lines = ["", *text.table(rows), ""]
    lines.append(
        f"the stream has {whole.rate / memory.rate:.2f} of what there would be if nothing had to "
        f"be read or parsed ({whole.slowest:,.0f} to {whole.fastest:,.0f} images/s)"
    )
    lines.append(f"bottleneck: {found.bottleneck}; {found.why}")
    lines += ["what to change:", *(f"  - {each}" for each in found.advice)]
    return lines

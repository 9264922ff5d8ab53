"""A picture of where a stream's time goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tfstream import plot
from tfstream.bench.verdict import Verdict

__all__ = ["draw"]


def draw(found: Verdict, path: str | os.PathLike[str], *, title: str) -> None:
    """Draws it into a new file: CPU by stage, and how fast each would be alone.

    Args:
        found: What is drawn.
        path: Of the file: .png, .svg or .pdf.
        title: Above it all.

    Raises:
        InvalidArgumentError: matplotlib is missing, or the file is of another kind.
        DatasetExistsError: There is a file already; it is left as it was.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    plot.check(path)
    from matplotlib.ticker import NullLocator

    figure = plot.new_figure(12, 4)
    plot.head(figure, f"{title}; bottleneck: {found.bottleneck}")
    cpu, rates = figure.subplots(1, 2, width_ratios=(1, 1.2))
    names = [stage.name for stage in found.stages]
    _bars(cpu, names, [stage.cpu for stage in found.stages], found.bottleneck)
    together = f"together {found.summed:,.0f}, the stream {found.whole.cpu:,.0f}"
    plot.name(cpu, f"µs of CPU an image ({together})")
    alone = [stage.rate for stage in found.stages]
    all_rates = [*alone, found.whole.rate, found.memory.rate]
    _bars(rates, [*names, "the stream", "from memory"], all_rates, "the stream")
    rates.set_xscale("log")
    rates.set_xlim(min(all_rates) / 2, max(all_rates) * 4)
    for axes in (cpu, rates):
        axes.xaxis.set_major_locator(NullLocator())
        axes.xaxis.set_minor_locator(NullLocator())
    plot.name(rates, "images a second, each alone (logarithmic)")
    plot.save(figure, path)


def _bars(axes: Any, names: list[str], values: list[float], marked: str) -> None:
    """A bar each, the first on top, with its value; one has another colour."""
    plot.tidy(axes)
    places = range(len(names))
    colours = [plot.COLOUR if name == marked else plot.OTHER for name in names]
    axes.barh(places, values, height=0.68, color=colours)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, max(values) * 1.2)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:,.0f}", (value, place), (4, 0), textcoords="offset points",
                      va="center", fontsize=9, color=plot.FAINT)  # fmt: skip
    axes.spines["bottom"].set_visible(False)

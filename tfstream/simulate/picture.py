"""A picture of what is predicted: bytes, hits and rates by epoch; distances of neighbours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfstream import plot
from tfstream.simulate.simulation import Report

__all__ = ["draw"]


def draw(report: Report, path: str | os.PathLike[str], *, title: str) -> None:
    """Draws a prediction into a new file.

    Args:
        report: What is drawn.
        path: Of the file: .png, .svg or .pdf.
        title: Above it all.

    Raises:
        InvalidArgumentError: matplotlib is missing, or the file is of another kind.
        DatasetExistsError: There is a file already; it is left as it was.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    plot.check(path)
    figure = plot.new_figure(14, 4.4)
    plot.head(figure, title)
    fetched, hits, rates, distances = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.2))
    epochs = report.epochs
    unit, name = _unit(max(epoch.bytes.most for epoch in epochs))
    _bars(fetched, [epoch.bytes.mean / unit for epoch in epochs], "{:.3g}")
    plot.name(fetched, f"Fetched by a host, {name}", "epoch")
    if epochs[0].hit_rate is None:
        _nothing(hits, "Records in the cache", "no cache")
    else:
        found = [100 * epoch.hit_rate.mean for epoch in epochs if epoch.hit_rate]
        _bars(hits, found, "{:.1f}")
        hits.set_ylim(0, 108)
        plot.name(hits, "Records in the cache, %", "epoch")
    known = [epoch.samples_per_second for epoch in epochs]
    if any(rate is None for rate in known):
        limits = ", ".join(sorted({epoch.limit for epoch in epochs}))
        _nothing(rates, "Samples a second, a host", f"held up by: {limits}")
    else:
        _bars(rates, [rate for rate in known if rate is not None], "{:,.0f}")
        rates.yaxis.set_major_formatter("{x:,g}")
        plot.name(rates, "Samples a second, a host", "epoch")
    _draw_distances(distances, report)
    plot.save(figure, path)


def _unit(most: float) -> tuple[float, str]:
    units = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
    return next(((unit, name) for unit, name in units if most >= unit), units[-1])


def _bars(axes: Any, values: Sequence[float], form: str) -> None:
    """A bar an epoch, with its value where there are few."""
    plot.tidy(axes)
    places = np.arange(len(values))
    axes.bar(places, values, width=0.7, color=plot.COLOUR)
    axes.set_ylim(0, max(values) * 1.1 or 1)
    axes.set_xlim(-0.8, max(len(values), 3) - 0.2)
    if len(values) <= 5:
        axes.set_xticks(places)
        for place, value in zip(places.tolist(), values, strict=True):
            axes.annotate(form.format(value), (place, value), (0, 3), textcoords="offset points",
                          ha="center", fontsize=8, color=plot.FAINT)  # fmt: skip
    axes.grid(axis="y", color=plot.GRID, linewidth=0.8)


def _nothing(axes: Any, title: str, why: str) -> None:
    plot.tidy(axes)
    plot.name(axes, title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, why, ha="center", va="center", color=plot.FAINT, transform=axes.transAxes)


def _draw_distances(axes: Any, report: Report) -> None:
    """Which part of the neighbours come how near one another, beside a uniform shuffle."""
    shuffle = report.shuffle
    if shuffle is None:
        _nothing(axes, "Neighbours in storage", "a single record")
        return
    plot.tidy(axes)
    part = np.linspace(0, 100, len(shuffle.quantiles))
    records = 3 * shuffle.uniform_mean - 1
    uniform = np.geomspace(1, records, 200)
    axes.plot(uniform, 100 * (1 - (1 - uniform / records) ** 2), color=plot.OTHER, linewidth=2)
    axes.step(np.maximum(shuffle.quantiles, 1), part, color=plot.COLOUR, linewidth=2)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlim(1, records)
    axes.set_ylim(0, 102)
    axes.grid(color=plot.GRID, linewidth=0.8)
    axes.set_ylabel("% of neighbours come within", fontsize=9, color=plot.FAINT)
    axes.legend(["a uniform shuffle", "this order"], frameon=False, fontsize=9, loc="best",
                labelcolor=plot.FAINT)  # fmt: skip
    plot.name(axes, f"Neighbours in storage (quality {shuffle.quality:.2g})", "samples")

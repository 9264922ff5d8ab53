"""A picture of what a dataset holds: its labels, image sizes, and boxes an image."""

from __future__ import annotations

import dataclasses
import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import DatasetExistsError, InvalidArgumentError
from tfstream.storage import local

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = [
    "COLOUR",
    "COLUMNS",
    "FAINT",
    "GRID",
    "INK",
    "OTHER",
    "Facts",
    "check",
    "facts_of",
    "head",
    "name",
    "new_figure",
    "plot",
    "save",
    "tidy",
]

# Of the metadata, what is looked at.
COLUMNS = ("width", "height", "objects", "labels")

_TOP = 25  # labels that have a bar each
_LEAST_BARS = 8  # that there is room for: a single one shall not fill the picture
_LABEL_CHARACTERS = 24
_POINTS = 2000  # image sizes, up to which each is a point
_MOST_BOXES = 30  # boxes an image that have a bar each

INK, FAINT, GRID = "#1f2933", "#6b7785", "#e3e7eb"
COLOUR, OTHER = "#2b6cb0", "#b8c2cc"
_EXTENSIONS = (".png", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is drawn.

    Attributes:
        records: How many there are.
        objects: By label, how many objects bear it.
        background: Records without an object.
        widths, heights: int32 [records], pixels as displayed.
        boxes: int32 [records], objects of each.
    """

    records: int
    objects: Counter[str]
    background: int
    widths: npt.NDArray[np.int32]
    heights: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.int32]


def facts_of(tables: Iterable[pa.Table]) -> Facts:
    """Adds up metadata.

    Args:
        tables: With `COLUMNS`.
    """
    objects: Counter[str] = Counter()
    columns: dict[str, list[npt.NDArray[np.int32]]] = {"width": [], "height": [], "objects": []}
    for table in tables:
        for name, parts in columns.items():
            parts.append(table[name].to_numpy().astype(np.int32))
        for chunk in table["labels"].chunks:
            _count(chunk, objects)
    joined = {
        name: np.concatenate([np.empty(0, np.int32), *parts]) for name, parts in columns.items()
    }
    boxes = joined["objects"]
    return Facts(
        records=len(boxes),
        objects=objects,
        background=int((boxes == 0).sum()),
        widths=joined["width"],
        heights=joined["height"],
        boxes=boxes,
    )


def _count(maps: pa.MapArray, into: Counter[str]) -> None:
    import pyarrow as pa

    begin, end = maps.offsets[0].as_py(), maps.offsets[-1].as_py()
    pairs = pa.table(
        {"label": maps.keys.slice(begin, end - begin), "n": maps.items.slice(begin, end - begin)}
    )
    sums = pairs.group_by("label").aggregate([("n", "sum")])
    for label, count in zip(sums["label"].to_pylist(), sums["n_sum"].to_pylist(), strict=True):
        into[label] += count


def plot(facts: Facts, path: str | os.PathLike[str], *, title: str = "") -> None:
    """Draws labels, image sizes and boxes an image, side by side, into a new file.

    Args:
        facts: What to draw.
        path: Of the file: .png, .svg or .pdf.
        title: Above it all.

    Raises:
        InvalidArgumentError: matplotlib is missing, or the file is of another kind.
        DatasetExistsError: There is a file already; it is left as it was.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    check(path)
    bars = min(len(facts.objects) + bool(facts.background), _TOP + 1)
    figure = new_figure(14, max(4.2, 1.6 + 0.2 * bars))
    labels, sizes, boxes = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    heading = f"{facts.records:,} record" + "s" * (facts.records != 1)
    head(figure, f"{title}: {heading}" if title else heading)
    for axes in (labels, sizes, boxes):
        tidy(axes)
    if facts.records:
        _draw_labels(labels, facts)
        _draw_sizes(sizes, facts)
        _draw_boxes(boxes, facts)
    else:
        for axes, name in ((labels, "Labels"), (sizes, "Image sizes"), (boxes, "Boxes an image")):
            _empty(axes, name)
    save(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure, of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot: it would choose a backend for the whole process.
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08, wspace=0.04)
    return figure


def head(figure: Any, title: str) -> None:
    """Puts a title above it all."""
    figure.suptitle(_literal(title), x=0.012, ha="left", fontsize=13, color=INK, weight="bold")


def save(figure: Any, path: Path) -> None:
    """Writes a figure into a new file; see `plot`."""
    data = io.BytesIO()
    # Without the time, equal pictures are equal files.
    figure.savefig(data, format=path.suffix[1:].lower(), metadata=_undated(path))
    local.create_exclusively(path, data.getvalue())


def check(path: str | os.PathLike[str]) -> None:
    """Finds out whether a picture could be drawn there, before the work is done; see `plot`."""
    path = Path(path)
    if path.suffix.lower() not in _EXTENSIONS:
        raise InvalidArgumentError(
            f"{path} has the extension {path.suffix!r}: pictures are drawn as "
            f"{', '.join(_EXTENSIONS)}"
        )
    if path.exists():
        raise DatasetExistsError(
            f"{path} exists already, and nothing is overwritten: name another file"
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InvalidArgumentError(
            "Drawing needs matplotlib, which is not installed: pip install 'tfstream[plot]'"
        ) from error


def _undated(path: Path) -> dict[str, None]:
    kind = path.suffix.lower()
    return {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(kind, {})


def _literal(text: str) -> str:
    """Text that matplotlib shall not take for mathematics."""
    return text.replace("$", r"\$")


def _shown(label: str) -> str:
    label = " ".join(label.split())
    cut = label if len(label) <= _LABEL_CHARACTERS else label[: _LABEL_CHARACTERS - 1] + "…"
    return _literal(cut)


def tidy(axes: Any) -> None:
    """Takes away what axes do not need."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(OTHER)
    axes.tick_params(colors=FAINT, labelsize=9, length=0)
    axes.set_axisbelow(True)


def name(axes: Any, title: str, below: str = "") -> None:
    """Says what axes show: above them, and below."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
    axes.set_xlabel(below, fontsize=9, color=FAINT)


def _empty(axes: Any, title: str) -> None:
    name(axes, title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, "nothing to show", ha="center", va="center", color=FAINT,
              transform=axes.transAxes)  # fmt: skip


def _thousands(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_labels(axes: Any, facts: Facts) -> None:
    """A bar a label, those with most objects on top; the others together, as text."""
    ordered = sorted(facts.objects.items(), key=lambda pair: (-pair[1], pair[0]))
    shown, others = ordered[:_TOP], ordered[_TOP:]
    bars = [(_shown(label), count, COLOUR) for label, count in shown]
    if facts.background:
        bars.append(("no object", facts.background, OTHER))
    places = np.arange(len(bars))
    counts = [count for _, count, _ in bars]
    axes.barh(places, counts, height=0.72, color=[colour for _, _, colour in bars])
    axes.set_yticks(places, [label for label, _, _ in bars])
    axes.set_ylim(max(len(bars), _LEAST_BARS) - 0.4, -0.6)
    axes.set_xlim(0, max(counts) * 1.22)
    for place, (_, count, colour) in enumerate(bars):
        told = f"{count:,}" if colour is COLOUR else f"{count:,} images"
        axes.annotate(told, (count, place), (3, 0), textcoords="offset points",
                      va="center", fontsize=8, color=FAINT)  # fmt: skip
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    kinds = f"{len(ordered):,} label" + "s" * (len(ordered) != 1)
    below = ""
    if others:
        rest = sum(count for _, count in others)
        below = f"and {len(others):,} further labels with {rest:,} objects"
    name(axes, f"Objects by label ({kinds})", below)


def _draw_sizes(axes: Any, facts: Facts) -> None:
    """Points, or, of many images, how many lie in each cell."""
    widths, heights = facts.widths, facts.heights
    most_wide, most_high = (max(1.0, float(values.max()) * 1.08) for values in (widths, heights))
    if facts.records <= _POINTS:
        axes.scatter(widths, heights, s=16, color=COLOUR, alpha=0.35, linewidths=0)
    else:
        from matplotlib.colors import LinearSegmentedColormap, LogNorm

        scale = LinearSegmentedColormap.from_list("tfstream", ["#cfe0f2", COLOUR, "#0b2545"])
        # Cells are parts of what is shown, not of where images lie: a single size is seen too.
        cells = axes.hexbin(
            widths, heights, gridsize=32, extent=(0, most_wide, 0, most_high), mincnt=1,
            cmap=scale, norm=LogNorm(vmin=1), linewidths=0.2,
        )  # fmt: skip
        bar = axes.figure.colorbar(cells, ax=axes, fraction=0.05, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=FAINT, labelsize=8, length=0)
        bar.ax.minorticks_off()
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        bar.set_label("images", fontsize=9, color=FAINT)
    axes.set_xlim(0, most_wide)
    axes.set_ylim(0, most_high)
    _thousands(axes.xaxis)
    _thousands(axes.yaxis)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_ylabel("height, px", fontsize=9, color=FAINT)
    middle = f"median {np.median(widths):,.0f} × {np.median(heights):,.0f}"
    name(axes, f"Image sizes ({middle})", "width, px")


def _draw_boxes(axes: Any, facts: Facts) -> None:
    """How many images have no box, one, two ...; the last bar may stand for more."""
    most = int(facts.boxes.max())
    last = min(most, _MOST_BOXES)
    counts = np.bincount(np.minimum(facts.boxes, last), minlength=last + 1)
    axes.bar(np.arange(last + 1), counts, width=0.8, color=[OTHER, *[COLOUR] * last])
    axes.set_xlim(-0.7, max(last, 4) + 0.7)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    _thousands(axes.xaxis)
    _thousands(axes.yaxis)
    axes.set_ylabel("images", fontsize=9, color=FAINT)
    below = "boxes" if most == last else f"boxes; {last} stands for {last} to {most:,}"
    mean = f"mean {facts.boxes.mean():,.1f}"
    name(axes, f"Boxes an image ({mean})", below)

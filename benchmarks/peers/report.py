"""What the rounds came to: medians, spreads and ratios, as Markdown and as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["COLUMNS", "plot", "table"]

# Of the table, each with whether more is better; ratios are of the first peer's to the others'.
COLUMNS = {
    "pack images/s": True,
    "pack images/s, on disk": True,
    "epoch images/s": True,
    "steady images/s": True,
    "first batch s": False,
    "random access ms": False,
    "resume s": False,
    "memory MB": False,
}

_ACROSS = 3  # measures that a table has, to fit a page

Rounds = Mapping[str, Mapping[str, Sequence[float]]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell(values: Sequence[float]) -> str:
    """The median with its spread.

    >>> cell([1210.0, 1300.0, 1250.0])
    '1,250 (1,210–1,300)'
    """
    if not values:
        return "—"
    middle = _number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values))}–{_number(max(values))})"


def ratio(ours: Sequence[float], theirs: Sequence[float], *, more_is_better: bool) -> str:
    """How many times better ours is: the median of the rounds' ratios.

    >>> ratio([2.0, 3.0], [1.0, 1.0], more_is_better=True)
    '2.50'
    """
    pairs = list(zip(ours, theirs, strict=False))
    if not pairs:
        return ""
    if more_is_better:
        return f"{statistics.median(a / b for a, b in pairs):.2f}"
    return f"{statistics.median(b / a for a, b in pairs):.2f}"


def table(rounds: Rounds, titles: Mapping[str, str]) -> str:
    """Markdown tables of a few measures each: behind a value, how many times better ours is."""
    shown = [name for name in COLUMNS if any(values.get(name) for values in rounds.values())]
    parts = [shown[begin : begin + _ACROSS] for begin in range(0, len(shown), _ACROSS)]
    return "\n".join(_part(rounds, titles, names) for names in parts)


def _part(rounds: Rounds, titles: Mapping[str, str], shown: Sequence[str]) -> str:
    """One table; peers that have none of its measures are left out."""
    lines = ["| | " + " | ".join(f"{name} | ÷" for name in shown) + " |"]
    lines.append("| --- |" + " --- | --- |" * len(shown))
    ours = next(iter(rounds.values()))
    for peer, values in rounds.items():
        cells = []
        for name in shown:
            mine = values.get(name, [])
            better = ratio(ours.get(name, []), mine, more_is_better=COLUMNS[name])
            cells.append(f"{cell(mine)} | {better}")
        if any(values.get(name) for name in shown):
            lines.append(f"| {titles[peer]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(rounds: Rounds, titles: Mapping[str, str], path: Path) -> None:
    """Bars of packing's and of an epoch's rates, with their spreads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [
        name for name in COLUMNS if COLUMNS[name] and any(v.get(name) for v in rounds.values())
    ]
    figure, axes = pyplot.subplots(
        1, len(shown), figsize=(6 * len(shown), 0.4 * len(rounds) + 1.2), squeeze=False
    )
    for axis, name in zip(axes[0], shown, strict=True):
        chosen = [peer for peer in reversed(rounds) if rounds[peer].get(name)]
        middles = [statistics.median(rounds[peer][name]) for peer in chosen]
        below = [m - min(rounds[p][name]) for m, p in zip(middles, chosen, strict=True)]
        above = [max(rounds[p][name]) - m for m, p in zip(middles, chosen, strict=True)]
        colours = ["#d95f02" if peer.startswith("tfstream") else "#7f8fa6" for peer in chosen]
        labels = [titles[peer].replace("*", "").replace("`", "") for peer in chosen]
        axis.barh(labels, middles, xerr=[below, above], color=colours, capsize=3)
        axis.set_title(name)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)

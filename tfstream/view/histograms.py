"""How the records that a query selects are spread: labels, sizes, boxes an image, metadata.

Each bar has the condition that selects its records.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfstream import plot
from tfstream.query.fields import Fields
from tfstream.view import wording

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.stored import StoredRecords

__all__ = ["Bar", "Histogram", "histograms", "number_bars"]

_MOST_BARS = 200  # labels or texts
_BINS = 20
_SINGLE = 24  # up to so many different whole numbers have a bar each
_MOST_TEXTS = 20_000  # different ones that are counted
_STEPS = (1, 2, 2.5, 5, 10)


@dataclasses.dataclass(frozen=True)
class Bar:
    """Records, or objects, that are alike.

    Attributes:
        text: What they are.
        count: How many.
        condition: Of the query that selects the records.
    """

    text: str
    count: int
    condition: str


@dataclasses.dataclass(frozen=True)
class Histogram:
    """One of the pictures beside the grid.

    Attributes:
        title: What it is of.
        kind: "labels": bars of objects, in their labels' colours; "texts": bars of
            values, the most frequent first; "numbers": columns, in ascending order.
        bars: A few, or at most 200.
        others: How many further values have no bar; None: so many that they were not counted.
        missing: The bar of the records without a value; None: each has one.
    """

    title: str
    kind: Literal["labels", "texts", "numbers"]
    bars: tuple[Bar, ...]
    others: int | None = 0
    missing: Bar | None = None


def histograms(stored: StoredRecords, fields: Fields) -> list[Histogram]:
    """Those of some records, through memory that grows by some bytes a record and a column.

    Args:
        stored: The records.
        fields: Of their dataset.
    """
    names = sorted(fields.metadata)
    texts = [name for name in names if fields.metadata[name] in ("string", "bool")]
    numbers = [name for name in names if fields.metadata[name] in ("int", "float")]
    counters = {name: _Texts() for name in texts}
    values: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in numbers}
    missing = dict.fromkeys(names, 0)

    def passing() -> Iterator[pa.Table]:
        for table in stored.tables([*plot.COLUMNS, *names]):
            for name in names:
                missing[name] += table[name].null_count
            for name in texts:
                counters[name].add(table[name])
            for name in numbers:
                column = table[name].drop_null()
                values[name].append(column.to_numpy().astype(np.float64))
            yield table

    facts = plot.facts_of(passing())
    made = [
        _labels(facts),
        Histogram("boxes an image", "numbers", number_bars("objects", facts.boxes)),
        Histogram("width, px", "numbers", number_bars("width", facts.widths)),
        Histogram("height, px", "numbers", number_bars("height", facts.heights)),
    ]
    for name in names:
        written = wording.field_name(name, fields)
        none = missing[name]
        absent = Bar("no value", none, wording.is_missing(written)) if none else None
        if name in counters:
            made.append(counters[name].histogram(name, written, absent))
        else:
            joined = np.concatenate([np.empty(0), *values[name]])
            bars = number_bars(written, joined[np.isfinite(joined)])
            made.append(Histogram(name, "numbers", bars, missing=absent))
    return made


def _labels(facts: plot.Facts) -> Histogram:
    bars = tuple(
        Bar(label, count, wording.has_label(label))
        for label, count in _ordered(facts.objects)[:_MOST_BARS]
    )
    none = Bar("no object", facts.background, "objects = 0") if facts.background else None
    return Histogram("labels", "labels", bars, len(facts.objects) - len(bars), none)


def _ordered(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))


class _Texts:
    """Counts values, up to a number of different ones."""

    def __init__(self) -> None:
        self._counts: Counter[str | bool] = Counter()
        self._all = True

    def add(self, column: pa.ChunkedArray) -> None:
        if not self._all:
            return
        for chunk in column.drop_null().chunks:
            counted = chunk.value_counts()
            pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
            for value, count in pairs:
                self._counts[value] += count
        if len(self._counts) > _MOST_TEXTS:
            self._all = False
            self._counts.clear()

    def histogram(self, name: str, written: str, missing: Bar | None) -> Histogram:
        bars = tuple(
            Bar(_shown(value), count, wording.equals(written, value))
            for value, count in _ordered(self._counts)[:_MOST_BARS]
        )
        others = len(self._counts) - len(bars) if self._all else None
        return Histogram(name, "texts", bars, others, missing)


def _shown(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def number_bars(field: str, values: npt.NDArray[Any]) -> tuple[Bar, ...]:
    """Columns of equal width, at round numbers; of few whole numbers, one each.

    The last one is without an end where few values lie far above the others.

    Args:
        field: As a query writes it.
        values: [n], finite.

    >>> [(bar.text, bar.count) for bar in number_bars("objects", np.array([0, 2, 2]))]
    [('0', 1), ('1', 0), ('2', 2)]
    >>> number_bars("width", np.arange(0, 1000, 10))[1].condition
    'width >= 50 and width < 100'
    """
    if not len(values):
        return ()
    low, high = float(values.min()), float(values.max())
    usual = float(np.quantile(values, 0.995))
    top = usual if high - low > 4 * (usual - low) > 0 else high
    whole = bool((values == np.floor(values)).all())
    if whole and top - low < _SINGLE:
        edges = np.arange(low, np.floor(top) + 2)
    else:
        step = _round_step((top - low) / _BINS, whole=whole)
        first, last = np.floor(low / step), np.floor(top / step) + 1
        edges = np.arange(first, last + 1) * step
    counts, _ = np.histogram(np.minimum(values, edges[-2]), edges)
    ends: Iterable[float | None] = [*edges[1:-1].tolist(), None if high >= edges[-1] else edges[-1]]
    single = whole and len(edges) > 1 and edges[1] - edges[0] == 1
    return tuple(
        _bar(field, begin, end, count, single=single)
        for begin, end, count in zip(edges[:-1].tolist(), ends, counts.tolist(), strict=True)
    )


def _bar(field: str, begin: float, end: float | None, count: int, *, single: bool) -> Bar:
    if end is None:
        return Bar(f"{begin:,.6g} or more", count, wording.between(field, begin, None))
    if single:
        return Bar(f"{begin:,.6g}", count, wording.equals(field, begin))
    return Bar(f"{begin:,.6g} to {end:,.6g}", count, wording.between(field, begin, end))


def _round_step(least: float, *, whole: bool) -> float:
    """The next larger of 1, 2, 2.5, 5, 10, 20 ...

    >>> _round_step(13.0, whole=True), _round_step(0.021, whole=False)
    (20.0, 0.025)
    """
    if least <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(least))
    step = float(next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9)))
    return max(1.0, float(np.ceil(step))) if whole else step

"""Which records a dataset's elements are: chosen by query, sample, limit; cut into parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.query.condition import Condition

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.format.table import Located
    from tfstream.query.engine import Engine
    from tfstream.query.tree import Query

    Integers = npt.NDArray[np.int64]

__all__ = ["Missing", "Selection", "check_members", "choose", "data_points", "in_both"]

Missing = Literal["pad", "drop", "error"]

# Of the parts that fractions name, in their order.
_PARTS = ("train", "test", "validation")

# A rectangle of that many times its records is a sign of a field that does not name data points.
_MOST_PADDING = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """The elements of a dataset.

    Attributes:
        elements: int64 [n], numbers of records of the chosen splits, in the dataset's order; or
            int64 [n, members] for data points, -1 where a member is missing.
        parts: Places in `elements` by the name of a split that was made by a query; None: the
            stored splits are the dataset's.
        located: Where records lie, of all that are here or more, if a query has seen it.
    """

    elements: Integers
    parts: Mapping[str, Integers] | None = None
    located: Located | None = None

    def __len__(self) -> int:
        return len(self.elements)

    @property
    def members(self) -> int:
        """Records an element."""
        return 1 if self.elements.ndim == 1 else self.elements.shape[1]

    def take(self, places: Integers) -> Selection:
        """Elements by their places, each in the part that it is in here."""
        parts = self._parts_of(len(self), slice(None), places)
        return Selection(self.elements[places], parts, self.located)

    def holding(self, records: Integers) -> Selection:
        """Some of the records, or all, in any order, each in the part that it is in here."""
        size = int(self.elements.max(initial=-1)) + 1
        return Selection(records, self._parts_of(size, self.elements, records), self.located)

    def _parts_of(
        self, size: int, numbers: Integers | slice, chosen: Integers
    ) -> dict[str, Integers] | None:
        """The parts of what is chosen by numbers below `size`, which all elements have."""
        if self.parts is None:
            return None
        codes = np.full(len(self), -1, np.int64)
        for code, places in enumerate(self.parts.values()):
            codes[places] = code
        by_number = np.full(size, -1, np.int64)
        by_number[numbers] = codes
        found = by_number[chosen]
        return {name: np.flatnonzero(found == code) for code, name in enumerate(self.parts)}

    def part(self, name: str) -> Selection:
        """The elements of one part."""
        return Selection(self.elements[(self.parts or {})[name]], located=self.located)

    def joined(
        self, engine: Engine, by: str, *, size: int | None = None, missing: Missing = "pad"
    ) -> Selection:
        """Its records as data points, none of which has members in two parts; see `data_points`."""
        if self.parts is None:
            points = data_points(engine, self.elements, by, size=size, missing=missing)
            return Selection(points, located=self.located)
        made = {
            name: data_points(engine, self.elements[places], by, size=size, missing=missing)
            for name, places in self.parts.items()
        }
        runs = _runs({name: len(part) for name, part in made.items()})
        return Selection(_stack(list(made.values())), runs, self.located)


def in_both(parent: Integers | None, found: Integers, records: int) -> Integers:
    """The parent's records that were found, in the parent's order.

    Args:
        parent: int64 [n]; None: all.
        found: int64 [m], without repetition.
        records: How many there are at all.

    Returns:
        int64 [k].

    >>> in_both(np.array([7, 2, 5]), np.array([1, 5, 7]), 10).tolist()
    [7, 5]
    """
    if parent is None:
        return found
    marks = np.zeros(records, bool)
    marks[found] = True
    return parent[marks[parent]]


def choose(
    query: Query,
    condition: Condition | None,
    engine: Engine,
    parent: Selection | None,
    records: int,
    *,
    seed: int,
) -> Selection:
    """What a query selects.

    In this order: the predicate, `@sample`, `@split` (each by a hash of the key, or of the value
    of `@group_by` or `@datapoint_by`), `@datapoint_by`, `@phase`, `@offset` and `@limit` (of
    elements).

    Args:
        query: What is asked for.
        condition: Its predicate; None: it has none.
        engine: Of the chosen splits.
        parent: The records that it is asked of, whose parts stay; None: all.
        records: How many the chosen splits hold.
        seed: Of the hashes.
    """
    from tfstream.query import splitting

    rows = None if parent is None else parent.elements
    located = None if parent is None else parent.located
    if condition is not None and located is None:
        found, located = engine.locate(condition)
        rows = in_both(rows, found, records)
    elif condition is not None:
        rows = in_both(rows, engine.rows(condition), records)
    by = query.group_by or query.datapoint_by
    if query.sample is not None:
        rows = splitting.sample(engine, rows, query.sample, seed=seed, by=by)
    if rows is None:
        rows = np.arange(records, dtype=np.int64)
    chosen = Selection(rows, None, located) if parent is None else parent.holding(rows)
    chosen = dataclasses.replace(chosen, located=located)
    if query.split is not None:
        chosen = dataclasses.replace(chosen, parts=_divided(query, engine, rows, by, seed, records))
    if query.datapoint_by is not None:
        chosen = chosen.joined(engine, query.datapoint_by)
    if query.split is not None and query.phase is not None:
        parts = chosen.parts or {}
        if query.phase not in parts:
            raise InvalidArgumentError(
                f"@phase:{query.phase} is none of the splits that @split:{query.split} makes of "
                f"these records: {', '.join(parts) or 'none'}"
            )
        chosen = chosen.part(query.phase)
    return _limit(chosen, query.offset, query.limit)


def _divided(
    query: Query, engine: Engine, rows: Integers, by: str | None, seed: int, records: int
) -> dict[str, Integers]:
    """The parts that `@split` makes of some records: places among them, by name."""
    from tfstream.query import splitting

    parts: Mapping[str, Integers]
    if isinstance(query.split, str):
        parts = {str(v): chosen for v, chosen in engine.groups(rows, query.split) if v is not None}
    else:
        fractions = dict(zip(_PARTS, query.split or (), strict=False))
        parts = splitting.partition(engine, rows, fractions, by=by, seed=seed, stratify=None)
    return {name: _places(rows, chosen, records) for name, chosen in parts.items()}


def _places(rows: Integers, chosen: Integers, records: int) -> Integers:
    """Where among the rows the chosen ones are.

    >>> _places(np.array([7, 2, 5, 2]), np.array([2, 7]), 10).tolist()
    [0, 1, 3]
    """
    marks = np.zeros(records, bool)
    marks[chosen] = True
    return np.flatnonzero(marks[rows])


def _limit(selection: Selection, offset: int, limit: int | None) -> Selection:
    end = len(selection) if limit is None else min(offset + limit, len(selection))
    if offset == 0 and end == len(selection):
        return selection
    return selection.take(np.arange(offset, end, dtype=np.int64))


def _stack(parts: list[Integers]) -> Integers:
    """Data points of several parts, one below the other, padded to the same width."""
    width = max((part.shape[1] for part in parts), default=1)
    padded = [np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in parts]
    return np.concatenate(padded) if padded else np.empty((0, width), np.int64)


def _runs(lengths: Mapping[str, int]) -> dict[str, Integers]:
    """Consecutive places by name.

    >>> {name: places.tolist() for name, places in _runs({"a": 2, "b": 1}).items()}
    {'a': [0, 1], 'b': [2]}
    """
    ends = np.cumsum(list(lengths.values()), dtype=np.int64)
    return {
        name: np.arange(end - length, end, dtype=np.int64)
        for (name, length), end in zip(lengths.items(), ends, strict=True)
    }


def check_members(size: int | None, missing: Missing) -> None:
    """Refuses what `data_points` cannot take.

    Raises:
        InvalidArgumentError: Says why.
    """
    if missing not in ("pad", "drop", "error"):
        raise InvalidArgumentError(f'missing must be "pad", "drop" or "error" (got {missing!r})')
    if size is not None and size < 1:
        raise InvalidArgumentError(f"size must be positive, or None (got {size})")


def data_points(
    engine: Engine,
    rows: Integers | None,
    by: str,
    *,
    size: int | None = None,
    missing: Missing = "pad",
) -> Integers:
    """Joins the records that have the same value into data points.

    Points come in ascending order of the value, their members in ascending order of the key.
    Records without a value are in none.

    Args:
        engine: Of the chosen splits.
        rows: int64 [n]; None: all.
        by: The field.
        size: Members of a point; None: as many as the largest has.
        missing: What becomes of points with fewer members: "pad", "drop" or "error"; see
            `check_members`.

    Returns:
        int64 [points, members], -1 where there is no member.

    Raises:
        InvalidArgumentError: A point has too few or too many members.
    """
    import pyarrow.compute as pc

    rows = engine.sorted(rows, [(by, False), ("key", False)])
    column = engine.table(rows, [by])[by].combine_chunks()
    known = len(column) - column.null_count  # those without come last
    rows, column = rows[:known], column.slice(0, known)
    if known == 0:
        return np.empty((0, size or 1), np.int64)
    changed = pc.not_equal(column.slice(1), column.slice(0, known - 1))
    begins = np.concatenate([[0], np.flatnonzero(changed.to_numpy(zero_copy_only=False)) + 1])
    counts = np.diff(np.append(begins, known))
    width = int(counts.max()) if size is None else size

    def first(places: npt.NDArray[np.bool_]) -> str:
        place = int(np.flatnonzero(places)[0])
        return f"{by} = {column[int(begins[place])].as_py()!r} has {int(counts[place])}"

    fitting = counts == width
    if missing == "error" and not fitting.all():
        raise InvalidArgumentError(
            f"{int((~fitting).sum())} of {len(counts)} data points do not have {width} members: "
            f'{first(~fitting)}. Use missing="pad" or missing="drop", or give the size'
        )
    if missing == "pad" and (counts > width).any():
        raise InvalidArgumentError(
            f"{int((counts > width).sum())} data points have more than {width} members: "
            f'{first(counts > width)}. Give a larger size, or missing="drop"'
        )
    if missing == "drop":
        begins, counts = begins[fitting], counts[fitting]
    if len(counts) * width > _MOST_PADDING * known:
        raise InvalidArgumentError(
            f"data points by {by!r} would be mostly padding: {len(counts)} of them, of up to "
            f'{width} members, from {known} records. Give a size with missing="drop", or a field '
            "whose values belong to a few records each"
        )
    steps = np.arange(width, dtype=np.int64)
    places = np.minimum(begins[:, None] + steps, known - 1)
    return np.where(steps < counts[:, None], rows[places], -1)

"""The metadata columns of a dataset while they are being found: each has one type, from the first.

An integer fits into a column of floats, and floats make one of a column of integers, unless that is
written already. Everything else is a disagreement, which has a place and is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tfstream.annotations.sidecars import MOST_COLUMNS
from tfstream.format import index

__all__ = ["Column", "Columns"]

# Not case alone may tell names apart: to the engine of queries it does not.
_TAKEN = {name.casefold(): name for name in (*index.COLUMNS, "split")}


@dataclasses.dataclass(frozen=True)
class Column:
    """A metadata column.

    Attributes:
        kind: "string", "int", "float" or "bool".
        origin: Where the type comes from, as a message says it.
        fixed: Whether there are indexes already that have the column with this type.
    """

    kind: str
    origin: str
    fixed: bool = False


class Columns:
    """The columns so far, each name with its type."""

    def __init__(self, known: Mapping[str, Column]) -> None:
        """Begins with columns that are known.

        Args:
            known: By name.
        """
        self._columns = dict(known)
        self._names = {name.casefold(): name for name in known}

    @property
    def kinds(self) -> dict[str, str]:
        """Name to type, by name."""
        return {name: column.kind for name, column in sorted(self._columns.items())}

    def problem(self, name: str, kind: str) -> str | None:
        """What forbids a value of a type in a column, from the column's name on; None: nothing."""
        known = self._columns.get(name)
        if known is None:
            folded = name.casefold()
            if folded in _TAKEN:
                return f"{name!r} has the name of the index's own column {_TAKEN[folded]!r}"
            if folded.startswith("labels."):
                return f"{name!r} has the name of a count of labels, which are not metadata"
            if folded in self._names:
                other = self._names[folded]
                return (
                    f"{name!r} differs from {other!r}, as in {self._columns[other].origin}, by "
                    "upper and lower case alone"
                )
            if len(self._columns) >= MOST_COLUMNS:
                return f"{name!r} would be one column more than the {MOST_COLUMNS:,} there may be"
            return None
        fits = {known.kind, "int"} if known.kind == "float" else {known.kind}
        if known.kind == "int" and not known.fixed:
            fits.add("float")
        if kind in fits:
            return None
        return f"{name!r} is of type {kind}, and of type {known.kind} in {known.origin}"

    def add(self, name: str, kind: str, origin: str) -> None:
        """Takes in a value's column, in which there is no problem."""
        known = self._columns.get(name)
        if known is None:
            self._columns[name] = Column(kind, origin)
            self._names[name.casefold()] = name
        elif (known.kind, kind) == ("int", "float"):
            self._columns[name] = dataclasses.replace(known, kind=kind)

    def take(
        self, kinds: Mapping[str, Iterable[str]], origins: Mapping[str, str]
    ) -> dict[str, str]:
        """Takes in the types of many values at once, or none of them.

        Args:
            kinds: By column, the types that occur.
            origins: By column, where the first of its values is from.

        Returns:
            By column, what forbids a value of it; where there is any, nothing was taken in.
        """
        before = self._columns, self._names
        self._columns, self._names = dict(before[0]), dict(before[1])
        problems = {}
        for name, some in kinds.items():
            for kind in some:
                if problem := self.problem(name, kind):
                    problems[name] = problem
                else:
                    self.add(name, kind, origins[name])
        if problems:
            self._columns, self._names = before
        return problems

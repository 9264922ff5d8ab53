"""What a query compiles to: an expression of SQL whose values are bound, not written."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Condition"]


@dataclasses.dataclass(frozen=True)
class Condition:
    """A predicate over a relation that has an index's columns and `split`.

    Attributes:
        sql: Of the dialect of DuckDB, to stand behind WHERE: it may be NULL where it is
            not true. A `?` stands for each value. Identifiers are quoted.
        parameters: The values, in the order of their `?`.
    """

    sql: str
    parameters: tuple[Any, ...] = ()

    def and_(self, other: Condition | None) -> Condition:
        """Both of them.

        >>> Condition('"width" > ?', (3,)).and_(Condition('"height" > ?', (4,)))
        Condition(sql='("width" > ?) AND ("height" > ?)', parameters=(3, 4))
        """
        if other is None:
            return self
        return Condition(f"({self.sql}) AND ({other.sql})", self.parameters + other.parameters)

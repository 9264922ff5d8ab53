"""The tree that a query's text is parsed into."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Literal, TypeAlias

__all__ = [
    "And",
    "Compare",
    "Expr",
    "Name",
    "Not",
    "OneOf",
    "Operator",
    "Or",
    "Period",
    "Query",
    "Range",
    "Truth",
    "Value",
]

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclasses.dataclass(frozen=True)
class Name:
    """A field, as the query names it.

    Attributes:
        text: Without quotation marks: `labels.traffic light`.
        column: Where it begins, from 1.
    """

    text: str
    column: int = dataclasses.field(default=1, compare=False)


@dataclasses.dataclass(frozen=True)
class Period:
    """What a date or time stands for: the day, minute, second or microsecond it names.

    Attributes:
        first: UTC, without a time zone.
        after: The first instant that is no more part of it.
    """

    first: datetime.datetime
    after: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Value:
    """What a field is compared with.

    Attributes:
        kind: "string" is a quoted one, "word" one without quotation marks: text, the
            name of another field, or a pattern. "name" can only be a field.
        value: Of the kind; of a word, its text without backslashes.
        raw: As it stands in the query.
        column: Where it begins, from 1.
    """

    kind: Literal["string", "word", "name", "number", "bool", "date", "null"]
    value: str | int | float | bool | Period | None
    raw: str = dataclasses.field(default="", compare=False)
    column: int = dataclasses.field(default=1, compare=False)


@dataclasses.dataclass(frozen=True)
class And:
    """All of the parts."""

    parts: tuple[Expr, ...]


@dataclasses.dataclass(frozen=True)
class Or:
    """At least one of the parts."""

    parts: tuple[Expr, ...]


@dataclasses.dataclass(frozen=True)
class Not:
    """What the part is not true of."""

    part: Expr


@dataclasses.dataclass(frozen=True)
class Compare:
    """A field against one value; `=` and `!=` against null, or a pattern, too."""

    field: Name
    operator: Operator
    value: Value


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A field that equals one of the values."""

    field: Name
    values: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class Range:
    """A field between two values.

    Attributes:
        field: Any that has an order.
        low: None: no lower end.
        high: None: no upper end.
        with_low: Whether the lower end belongs to it.
        with_high: Whether the upper end belongs to it.
    """

    field: Name
    low: Value | None
    high: Value | None
    with_low: bool
    with_high: bool


@dataclasses.dataclass(frozen=True)
class Truth:
    """A boolean field that stands alone."""

    field: Name


Expr: TypeAlias = And | Or | Not | Compare | OneOf | Range | Truth


@dataclasses.dataclass(frozen=True)
class Query:
    """A query: which records, and what shall become of them.

    Attributes:
        where: None: all records.
        split: The parts of `@split`: up to three fractions (train, test, validation), or
            the name of the field whose values name the splits; None: not asked for.
        phase: The part of `@split` that `@phase` picks; None: all of them. Without
            `@split`, `@phase` is a comparison in `where`.
        seed: Of `@split` and `@sample`.
        sample: The fraction of the records to take; None: all.
        limit: The most records to take; None: all.
        offset: How many to leave out before those.
        version: Of the dataset, by number, tag or time, as written; None: not asked for.
        datapoint_by: The field whose equal values make one data point.
        group_by: The field whose equal values a split does not part.
        text: The query as written.
        places: Where an operator's value stands, from 1: pairs of operator and column.
    """

    where: Expr | None = None
    split: tuple[float, ...] | str | None = None
    phase: str | None = None
    seed: int = 1337
    sample: float | None = None
    limit: int | None = None
    offset: int = 0
    version: str | None = None
    datapoint_by: str | None = None
    group_by: str | None = None
    text: str = ""
    places: tuple[tuple[str, int], ...] = dataclasses.field(default=(), compare=False, repr=False)

    def place(self, operator: str) -> int:
        """The column of an operator's value; 1 where the query does not have it.

        >>> Query(text="@limit:5", places=(("limit", 8),)).place("limit")
        8
        """
        return dict(self.places).get(operator, 1)

"""What each rule of the grammar makes of its parts.

The nodes of this module stand for what only parsing knows: parentheses, a field that is
written once for many values, operators of the whole query. `operators.py` resolves them.
"""

# ruff: noqa: D102 - the callbacks' names are the grammar's rules, which say what they are.

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tfstream.query import literals
from tfstream.query.mistakes import Mistake
from tfstream.query.tree import (
    And,
    Compare,
    Expr,
    Name,
    Not,
    OneOf,
    Operator,
    Or,
    Range,
    Truth,
    Value,
)

if TYPE_CHECKING:
    from lark import Token

__all__ = ["Builder", "Group", "Node", "Scoped"]

# The field of a test that stands behind a colon: `Scoped` knows it.
_ABOVE = Name("")


@dataclasses.dataclass(frozen=True)
class Group:
    """An expression in parentheses."""

    part: Any


@dataclasses.dataclass(frozen=True)
class Scoped:
    """`field:test`.

    Attributes:
        field: Of all comparisons within the test.
        test: Its own comparisons have a field without a name.
        extra: The values behind further colons.
    """

    field: Name
    test: Any
    extra: tuple[Value, ...]


# And, Or and Not hold Nodes until `operators.query` has been over them.
Node: TypeAlias = Expr | Group | Scoped

_SPELLINGS = {"==": "=", "<>": "!="}


class Builder:
    """The grammar's callbacks: a method a rule, given what its parts became."""

    def start(self, parts: list[Any]) -> Node | None:
        return parts[0] if parts else None

    def disjunction(self, parts: list[Any]) -> Node:
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self, parts: list[Any]) -> Node:
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    any_of = disjunction
    all_of = conjunction

    def negated(self, parts: list[Any]) -> Node:
        return Not(parts[0])

    not_single = negated

    def group(self, parts: list[Any]) -> Node:
        # So that any number of parentheses around one another nest but once.
        return parts[0] if isinstance(parts[0], Group) else Group(parts[0])

    def scoped(self, parts: list[Any]) -> Node:
        return Scoped(parts[0], parts[1], tuple(parts[2:]))

    in_range = scoped

    def extra(self, parts: list[Any]) -> Value:
        return cast(Value, parts[0])

    def test(self, parts: list[Any]) -> Node:
        operator = _operator(parts[0]) if len(parts) == 2 else "="
        return Compare(_ABOVE, operator, parts[-1])

    def compared(self, parts: list[Any]) -> Node:
        return Compare(parts[0], _operator(parts[1]), parts[2])

    def one_of(self, parts: list[Any]) -> Node:
        return OneOf(parts[0], parts[1])

    def none_of(self, parts: list[Any]) -> Node:
        return Not(OneOf(parts[0], parts[1]))

    def is_null(self, parts: list[Any]) -> Node:
        return Compare(parts[0], "=", self.null(parts[1:]))

    def is_not_null(self, parts: list[Any]) -> Node:
        return Compare(parts[0], "!=", self.null(parts[1:]))

    def truth(self, parts: list[Any]) -> Node:
        return Truth(parts[0])

    def values(self, parts: list[Any]) -> tuple[Value, ...]:
        return tuple(part for part in parts if isinstance(part, Value))

    def bounds(self, parts: list[Any]) -> Node:
        opening, low, high, closing = parts
        return Range(_ABOVE, _end(low), _end(high), opening == "[", closing == "]")

    def name(self, parts: Sequence[Token]) -> Name:
        return Name(_name_of(parts[0]), _column(parts[0]))

    def word(self, parts: Sequence[Token]) -> Value:
        raw = str(parts[0])
        return Value("word", literals.unescape(raw), raw, _column(parts[0]))

    def quoted(self, parts: Sequence[Token]) -> Value:
        return Value("string", literals.unquote(parts[0]), str(parts[0]), _column(parts[0]))

    def dotted(self, parts: Sequence[Token]) -> Value:
        return Value("name", _name_of(parts[0]), str(parts[0]), _column(parts[0]))

    def number(self, parts: Sequence[Token]) -> Value:
        column = _column(parts[0])
        return Value("number", literals.number(parts[0], column), str(parts[0]), column)

    def date(self, parts: Sequence[Token]) -> Value:
        column = _column(parts[0])
        return Value("date", literals.date(parts[0], column), str(parts[0]), column)

    def true(self, parts: Sequence[Token]) -> Value:
        return Value("bool", True, str(parts[0]), _column(parts[0]))

    def false(self, parts: Sequence[Token]) -> Value:
        return Value("bool", False, str(parts[0]), _column(parts[0]))

    def null(self, parts: Sequence[Token]) -> Value:
        return Value("null", None, str(parts[0]), _column(parts[0]))


def _column(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _operator(token: Token) -> Operator:
    return cast(Operator, _SPELLINGS.get(token, str(token)))


def _name_of(token: Token) -> str:
    """A field's name, without quotation marks."""
    text = literals.name(token)
    if not text:
        raise Mistake("A field's name cannot be empty.", _column(token))
    return text


def _end(value: Value) -> Value | None:
    """An end of a range; None: it is open."""
    if value.kind == "null" or (value.kind == "word" and value.raw == "*"):
        if value.kind == "null":
            raise Mistake("A range cannot end at null: an open end is *.", value.column)
        return None
    return value

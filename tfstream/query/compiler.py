"""From a query's tree to SQL with bound parameters."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tfstream.query import literals
from tfstream.query.condition import Condition
from tfstream.query.fields import Column, Fields
from tfstream.query.mistakes import Mistake, nearest, query_error
from tfstream.query.tree import (
    And,
    Expr,
    Name,
    Not,
    OneOf,
    Operator,
    Or,
    Period,
    Query,
    Range,
    Truth,
    Value,
)

__all__ = ["bind", "compile_where"]

_MAX_PATTERN = 1_000  # characters: the engine's regular expressions have a limit

# What is said of a column's kind, and of a value's.
_HOLDS = {
    "string": "a string",
    "int": "an integer",
    "float": "a float",
    "bool": "a boolean",
    "labels": "a map of counts",
}
_IS = {
    "string": "a string",
    "word": "a string",
    "number": "a number",
    "bool": "a boolean",
    "date": "a date",
}

# A time with a zone. What a cast to TIMESTAMP makes of the zone differs between DuckDBs.
_ZONED = r":.*([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"


def compile_where(query: Query, fields: Fields) -> Condition:
    """Compiles what a query selects.

    Args:
        query: Of `parse`.
        fields: Of the dataset.

    Returns:
        A predicate over a relation with the index's columns and `split`. It is NULL or false
        for what is not selected: put it behind WHERE.

    Raises:
        QueryError: A field, a label or a split does not exist, or cannot be compared so.

    >>> from tfstream.query.parser import parse
    >>> compile_where(parse("width > 3 label:dog"), Fields({}, ["dog"], ["train"]))
    Condition(sql='("width" > ?) AND ("label" = ?)', parameters=(3, 'dog'))
    """
    bind(query, fields)
    if query.where is None:
        return Condition("TRUE")
    compiler = _Compiler(fields)
    try:
        sql = compiler.expression(query.where)
    except Mistake as mistake:
        raise query_error(mistake.message, query.text, mistake.column) from None
    return Condition(sql, tuple(compiler.parameters))


def bind(query: Query, fields: Fields) -> Query:
    """The query with the fields of its operators named as the columns are.

    Raises:
        QueryError: `@split`, `@group_by` or `@datapoint_by` names what is not a column.

    >>> from tfstream.query.parser import parse
    >>> bind(parse("@group_by:metadata.scene"), Fields({"scene": "string"}, [], [])).group_by
    'scene'
    """
    names: dict[str, Any] = {}
    for operator in ("split", "group_by", "datapoint_by"):
        name = getattr(query, operator)
        if not isinstance(name, str):
            continue
        place = query.place(operator)
        column = fields.resolve(name, place, query.text)
        if column.kind == "labels" or column.parameters:
            raise query_error(
                f"@{operator} takes a field with one value a record, such as label "
                f"(got {column.name}).",
                query.text,
                place,
            )
        names[operator] = column.name
    return dataclasses.replace(query, **names)


class _Compiler:
    """Compiles expressions.

    Attributes:
        parameters: The values bound so far, in the order of their `?`.
    """

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self.parameters: list[Any] = []

    def expression(self, expr: Expr) -> str:
        if isinstance(expr, (And, Or)):
            word = " AND " if isinstance(expr, And) else " OR "
            return word.join(self._part(part) for part in expr.parts)
        if isinstance(expr, Not):
            # NULL only comes from a comparison with what is not known, which counts as
            # false. AND and OR keep that sense; NOT needs it made explicit.
            return f"NOT coalesce({self.expression(expr.part)}, FALSE)"
        if isinstance(expr, Truth):
            return self._truth(expr.field)
        column = self._fields.find(expr.field.text, expr.field.column)
        if column.kind == "labels":
            raise Mistake(
                "labels holds a count for each label: write labels.NAME >= 1, or label:NAME "
                "for the main object.",
                expr.field.column,
            )
        if isinstance(expr, OneOf):
            return self._one_of(column, expr.values)
        if isinstance(expr, Range):
            return self._range(column, expr)
        return self._compare(column, expr.operator, expr.value)

    def _part(self, expr: Expr) -> str:
        sql = self.expression(expr)
        return sql if isinstance(expr, Not) else f"({sql})"

    def _truth(self, field: Name) -> str:
        column = self._fields.find(field.text, field.column)
        if column.kind != "bool":
            examples = {"string": ":front", "labels": ".dog >= 1"}
            raise Mistake(
                f"{column.name} is {_HOLDS[column.kind]}: it needs a comparison, as in "
                f"{column.name}{examples.get(column.kind, ' >= 1')}.",
                field.column,
            )
        return self._use(column)

    def _use(self, column: Column) -> str:
        """The column's SQL, its own parameters bound."""
        self.parameters += column.parameters
        return column.sql

    def _bound(self, value: Any) -> str:
        self.parameters.append(value)
        return "?"

    def _compare(self, column: Column, operator: Operator, value: Value) -> str:
        if value.kind == "null":
            return self._null(column, operator, value)
        if value.kind == "word" and literals.has_wildcards(value.raw):
            return self._match(column, operator, value)
        if column.kind in ("int", "float") and value.kind in ("word", "name"):
            return self._compare_fields(column, operator, value)
        self._check(column, value)
        if isinstance(value.value, Period):
            return self._compare_time(column, operator, value.value)
        if operator not in ("=", "!=") and column.kind == "bool":
            raise Mistake(
                f"{column.name} is a boolean: it equals true or false, and has no order "
                f"for {operator}.",
                value.column,
            )
        if operator in ("=", "!="):
            _check_known(column, value)
        return f"{self._use(column)} {operator} {self._bound(value.value)}"

    def _null(self, column: Column, operator: Operator, value: Value) -> str:
        if operator not in ("=", "!="):
            raise Mistake(f"null has no order: {operator} cannot be asked of it.", value.column)
        return f"{self._use(column)} IS {'NOT ' if operator == '!=' else ''}NULL"

    def _compare_fields(self, column: Column, operator: Operator, value: Value) -> str:
        """A number against a number of another field."""
        try:
            other = self._fields.find(str(value.value), value.column)
        except Mistake as mistake:
            raise Mistake(
                f"{column.name} is {_HOLDS[column.kind]}, and {value.raw!r} is neither a number "
                f"nor a field. {mistake.message}",
                value.column,
            ) from None
        if other.kind not in ("int", "float"):
            raise Mistake(
                f"{column.name} is {_HOLDS[column.kind]} and {other.name} is "
                f"{_HOLDS[other.kind]}: they cannot be compared.",
                value.column,
            )
        return f"{self._use(column)} {operator} {self._use(other)}"

    def _compare_time(self, column: Column, operator: Operator, period: Period) -> str:
        """A time against the period that a date names.

        Before it is before its beginning, after it is after its end, within is equal.
        """
        first, after = period.first, period.after
        if operator in ("<", ">="):
            return f"{self._time(column)} {operator} {self._bound(first)}"
        if operator in ("<=", ">"):
            half_open = "<" if operator == "<=" else ">="
            return f"{self._time(column)} {half_open} {self._bound(after)}"
        one = f"{self._time(column)} {'>=' if operator == '=' else '<'} {self._bound(first)}"
        two = f"{self._time(column)} {'<' if operator == '=' else '>='} {self._bound(after)}"
        return f"({one} {'AND' if operator == '=' else 'OR'} {two})"

    def _time(self, column: Column) -> str:
        """A string as a time in UTC; NULL where it is none."""
        sql = column.sql
        return (
            f"CASE WHEN regexp_matches({sql}, '{_ZONED}') "
            f"THEN make_timestamp(epoch_us(TRY_CAST({sql} AS TIMESTAMPTZ))) "
            f"ELSE TRY_CAST({sql} AS TIMESTAMP) END"
        )

    def _match(self, column: Column, operator: Operator, value: Value) -> str:
        """A string against a pattern."""
        pieces = literals.wildcards(value.raw)
        if operator not in ("=", "!="):
            raise Mistake(
                f"{value.raw} is a pattern, which has no order for {operator}. Quote what is "
                "meant as text.",
                value.column,
            )
        if all(piece[0] == "*" for piece in pieces):
            return f"{self._use(column)} IS {'' if operator == '!=' else 'NOT '}NULL"
        if column.kind != "string":
            raise Mistake(
                f"{column.name} is {_HOLDS[column.kind]}, and {value.raw} a pattern of strings.",
                value.column,
            )
        if len(value.raw) > _MAX_PATTERN:
            raise Mistake(
                f"A pattern can have {_MAX_PATTERN:,} characters (got {len(value.raw):,}).",
                value.column,
            )
        # Not LIKE: some DuckDBs take a time for it that grows with a power of the length.
        texts = [literals.unescape(piece) for piece in pieces if piece[0] not in "*?"]
        shape = "".join(piece[0] if piece[0] in "*?" else "a" for piece in pieces)
        call = {"a*": "starts_with", "*a": "ends_with", "*a*": "contains"}.get(shape)
        if call is not None:
            sql = f"{call}({self._use(column)}, {self._bound(texts[0])})"
        else:
            pattern = "".join(map(_expression_of, pieces))
            sql = f"regexp_full_match({self._use(column)}, {self._bound(pattern)}, 's')"
        return sql if operator == "=" else f"NOT {sql}"

    def _one_of(self, column: Column, values: tuple[Value, ...]) -> str:
        plain = []
        others = []
        for value in values:
            is_pattern = value.kind == "word" and literals.has_wildcards(value.raw)
            if value.kind in ("null", "date") or is_pattern:
                others.append(value)
            else:
                self._check(column, value)
                _check_known(column, value)
                plain.append(value)
        parts = []
        if plain:
            marks = f"{self._use(column)} IN ("
            parts.append(marks + ", ".join(self._bound(value.value) for value in plain) + ")")
        parts += [self._compare(column, "=", value) for value in others]
        return " OR ".join(parts)

    def _range(self, column: Column, expr: Range) -> str:
        low, high = expr.low, expr.high
        for end in (low, high):
            if end is not None and end.kind == "word" and literals.has_wildcards(end.raw):
                raise Mistake("An end of a range cannot be a pattern: * alone is open.", end.column)
        if low and high and low.kind == high.kind and _begin(low) > _begin(high):
            raise Mistake(
                f"The range's ends are the wrong way round: {low.raw} is above {high.raw}.",
                low.column,
            )
        parts = []
        if low is not None:
            parts.append(self._compare(column, ">=" if expr.with_low else ">", low))
        if high is not None:
            parts.append(self._compare(column, "<=" if expr.with_high else "<", high))
        return " AND ".join(parts) or f"{self._use(column)} IS NOT NULL"

    def _check(self, column: Column, value: Value) -> None:
        """Refuses a value that a column of that kind cannot equal."""
        kind = value.kind
        if value.kind == "word" and _ALMOST_DATE.fullmatch(str(value.value)) and column.free:
            raise Mistake(
                f"{value.raw} is not a date as it must be written: 2024-01-31. Where it is "
                "meant as text, quote it.",
                value.column,
            )
        fits = {
            "string": ("string", "word"),
            "int": ("number",),
            "float": ("number",),
            "bool": ("bool",),
            "labels": (),
        }[column.kind]
        if kind in fits or (kind == "date" and column.kind == "string" and column.free):
            return
        if kind == "name":
            raise Mistake(
                f"{column.name} is {_HOLDS[column.kind]}: only numbers can be compared with "
                f"another field. Text is quoted as a whole.",
                value.column,
            )
        advice = ""
        if column.kind == "string":
            advice = f' Where it is meant as text, write "{value.raw}".'
        elif column.kind == "bool":
            advice = " It equals true or false."
        elif kind == "string" and _NUMBER.fullmatch(str(value.value)):
            advice = f" Without quotation marks, {value.value} is a number."
        raise Mistake(
            f"{column.name} is {_HOLDS[column.kind]}, and {value.raw} is {_IS[kind]}: they "
            f"cannot be compared.{advice}",
            value.column,
        )


def _begin(value: Value) -> Any:
    """What orders values of one kind."""
    return value.value.first if isinstance(value.value, Period) else value.value


_ALMOST_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:T.*)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?")


def _check_known(column: Column, value: Value) -> None:
    """Refuses a label or a split that there is not."""
    if column.values is None or value.value in column.values:
        return
    near = nearest(str(value.value), column.values)
    names = list(column.values)
    more = ", …" if len(names) > 30 else ""
    known = f"There are {', '.join(names[:30])}{more}." if names else "There are none."
    advice = f"Did you mean {near}?" if near else known
    raise Mistake(f"There is no {column.name} {value.value!r}. {advice}", value.column)


def _expression_of(piece: str) -> str:
    """A piece of a pattern as a regular expression of RE2."""
    if piece[0] == "*":
        return ".*"
    if piece[0] == "?":
        return "."
    return "".join(
        character if character.isalnum() or ord(character) > 127 else f"\\x{{{ord(character):X}}}"
        for character in literals.unescape(piece)
    )

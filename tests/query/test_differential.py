"""Compiled queries select what an interpreter of the tree selects; and texts parse into the tree
that they were written from."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query import interpreter, table

from tfstream.query import compile_where, parse
from tfstream.query.literals import date
from tfstream.query.tree import And, Compare, Expr, Name, Not, OneOf, Or, Range, Truth, Value

RESERVED = ("and", "or", "not", "in", "is", "to", "null", "true", "false")
STRINGS = ("camera", "source.name", "my notes", "not", "key", "@path", "taken")
INTEGERS = ("width", "height", "objects", "bytes", "@size", "day", "exif.gain", 'a"b', "Width")
COUNTS = tuple(f"labels.{name}" for name in table.LABELS)
DATES = ("2024-01-31", "2024-02-01", "2024-01-31T12:30", "2024-01-31T12:30:59Z")
DATES += ("2024-01-31T12:30:59.25Z", "2024-01-31T23:59:59+02:00", "2024-01-31t22:00z")
PATTERNS = (
    "fr*",
    "*t",
    "*o*",
    "?r*t",
    "f?\\?nt",
    "*\\**",
    "*_*",
    "*%",
    "*",
    "x?y",
    "n?h*",
    "**a**b",
)
SIGNS = ("=", "!=", "<", "<=", ">", ">=")


@pytest.fixture(scope="module")
def world() -> Any:
    records = list(table.rows(150, seed=4))
    with table.connect(records) as connection:
        yield records, connection


# Trees ------------------------------------------------------------------------------------

texts = st.sampled_from(table.TEXTS).map(lambda text: Value("string", text))
numbers = st.one_of(st.sampled_from(table.NUMBERS), st.sampled_from([0.5, -1.5, 1e300])).map(
    lambda number: Value("number", number, repr(number))
)
dates = st.sampled_from(DATES).map(lambda raw: Value("date", date(raw, 1), raw))
patterns = st.sampled_from(PATTERNS).map(
    lambda raw: Value("word", re.sub(r"\\(.)", r"\1", raw), raw)
)
null = st.just(Value("null", None, "null"))
others = st.sampled_from(("width", "height", "iso", "day", *COUNTS)).map(
    lambda name: Value("name" if " " in name or "%" in name else "word", name)
)
string_fields = st.sampled_from(STRINGS).map(Name)
number_fields = st.sampled_from((*INTEGERS, "iso", *COUNTS)).map(Name)
signs = st.sampled_from(SIGNS)
equal = st.sampled_from(("=", "!="))
any_field = st.sampled_from((*STRINGS, *INTEGERS, "iso", "night", "label", "split")).map(Name)


def _range(field: Any, ends: Any, key: Any) -> Any:
    def ordered(field: Name, low: Any, high: Any, with_low: bool, with_high: bool) -> Range:
        if low is not None and high is not None and key(low) > key(high):
            low, high = high, low
        return Range(field, low, high, with_low, with_high)

    return st.builds(
        ordered, field, st.none() | ends, st.none() | ends, st.booleans(), st.booleans()
    )


leaves = st.one_of(
    st.builds(Compare, string_fields, signs, texts),
    st.builds(Compare, string_fields, equal, patterns),
    st.builds(Compare, number_fields, signs, numbers | others),
    st.builds(Compare, st.just(Name("taken")), signs, dates),
    st.builds(Compare, any_field, equal, null),
    st.builds(
        Compare,
        st.just(Name("label")),
        equal,
        st.sampled_from(table.LABELS).map(lambda name: Value("string", name)),
    ),
    st.builds(
        Compare,
        st.sampled_from(("split", "@phase")).map(Name),
        equal,
        st.sampled_from(table.SPLITS).map(lambda name: Value("word", name)),
    ),
    st.builds(
        Compare,
        st.just(Name("night")),
        equal,
        st.booleans().map(lambda value: Value("bool", value)),
    ),
    st.just(Truth(Name("night"))),
    st.builds(
        OneOf, string_fields, st.lists(texts | patterns | null, min_size=1, max_size=4).map(tuple)
    ),
    st.builds(OneOf, number_fields, st.lists(numbers | null, min_size=1, max_size=4).map(tuple)),
    _range(number_fields, numbers, lambda value: value.value),
    _range(string_fields, texts, lambda value: value.value),
    _range(st.just(Name("taken")), dates, lambda value: value.value.first),
)


def _joined(children: Any) -> Any:
    parts = st.lists(children, min_size=2, max_size=3)
    return st.one_of(
        children.map(Not),
        parts.map(lambda some: _flat(And, some)),
        parts.map(lambda some: _flat(Or, some)),
    )


def _flat(kind: Any, parts: list[Any]) -> Any:
    out: list[Any] = []
    for part in parts:
        out += part.parts if isinstance(part, kind) else [part]
    return kind(tuple(out))


trees = st.recursive(leaves, _joined, max_leaves=8)


# Texts ------------------------------------------------------------------------------------


class Writer:
    """Writes trees as queries, with as few parentheses as precedence needs, or some more."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def _pick(self, *choices: str) -> str:
        return self._draw(st.sampled_from(choices))

    def write(self, expr: Expr) -> str:
        if isinstance(expr, Or):
            return self._word(" or ").join(self._within(part, Or) for part in expr.parts)
        if isinstance(expr, And):
            parts = [self._within(part, And) for part in expr.parts]
            text = parts[0]
            for part in parts[1:]:
                text += self._pick(" ", self._word(" and ")) + part
            return text
        if isinstance(expr, Not):
            if isinstance(expr.part, OneOf) and self._draw(st.booleans()):
                return self._leaf(expr.part, " not in ")
            return self._word("not ") + self._within(expr.part, Not)
        return self._leaf(expr, " in ")

    def _within(self, expr: Expr, outer: Any) -> str:
        strength = {Or: 0, And: 1, Not: 2}
        text = self.write(expr)
        if strength.get(type(expr), 3) < strength[outer] or self._draw(st.integers(0, 9)) == 0:
            return f"({text})"
        return text

    def _word(self, word: str) -> str:
        return self._pick(word, word.upper(), word.title())

    def _leaf(self, expr: Any, word: str) -> str:
        field = self._name(expr.field.text)
        if isinstance(expr, Truth):
            return field
        if isinstance(expr, OneOf):
            values = ", ".join(map(self._value, expr.values))
            return field + self._word(word) + self._pick(f"[{values}]", f"({values})")
        if isinstance(expr, Range):
            low = "*" if expr.low is None else self._value(expr.low)
            high = "*" if expr.high is None else self._value(expr.high)
            bounds = ("[" if expr.with_low else "{") + low + self._word(" to ") + high
            return field + self._pick(":", " in ") + bounds + ("]" if expr.with_high else "}")
        if expr.value.kind == "null" and self._draw(st.booleans()):
            return field + self._word(" is null" if expr.operator == "=" else " is not null")
        sign = self._pick(expr.operator, {"=": "==", "!=": "<>"}.get(expr.operator, expr.operator))
        space = self._pick("", " ")
        if self._draw(st.booleans()):
            sign = ":" + ("" if expr.operator == "=" else sign)
        return field + space + sign + space + self._value(expr.value)

    def _name(self, name: str) -> str:
        if name.startswith("@"):
            return name
        if name.startswith("labels."):
            return "labels." + self._text(name.removeprefix("labels."))
        return self._text(name)

    def _text(self, text: str) -> str:
        plain = text.lower() not in RESERVED and re.fullmatch(r"[\w.%]+", text)
        if plain and self._draw(st.booleans()):
            return text
        quote = self._pick('"', "'")
        return quote + re.sub(r"([\\\"'])", r"\\\1", text) + quote

    def _value(self, value: Value) -> str:
        if value.kind == "string":
            quote = self._pick('"', "'")
            return quote + re.sub(r"([\\\"'])", r"\\\1", str(value.value)) + quote
        if value.kind == "name":
            return self._name(str(value.value))
        return value.raw or (
            self._word(str(value.value)) if value.kind == "bool" else str(value.value)
        )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), tree=trees)
def test_a_query_selects_what_its_tree_says(world: Any, data: st.DataObject, tree: Expr) -> None:
    records, connection = world
    text = Writer(data.draw).write(tree)
    query = parse(text)
    condition = compile_where(query, table.FIELDS)
    found = table.keys(connection, condition)
    expected = {row["key"] for row in records if interpreter.selects(tree, row)}
    assert _words(query.where) == _words(tree), text
    assert found == expected, text


def _words(expr: Any) -> Any:
    """The tree with names of fields on the right as words: which they are, is of the writing."""
    if isinstance(expr, (And, Or)):
        return type(expr)(tuple(map(_words, expr.parts)))
    if isinstance(expr, Not):
        return Not(_words(expr.part))
    if isinstance(expr, Compare) and expr.value.kind == "name":
        return dataclasses.replace(expr, value=dataclasses.replace(expr.value, kind="word"))
    return expr

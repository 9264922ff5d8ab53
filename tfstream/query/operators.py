"""From the nodes of the grammar to a `Query`: operators of the whole query, and the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfstream.query.building import Group, Node, Scoped
from tfstream.query.mistakes import Mistake, nearest
from tfstream.query.tree import And, Compare, Expr, Name, Not, OneOf, Or, Query, Range, Truth, Value

__all__ = ["ALIASES", "OPERATORS", "PHASES", "query"]

# What is said of the whole query, and an example of each.
OPERATORS = {
    "@split": "@split:0.8:0.1:0.1",
    "@seed": "@seed:1337",
    "@sample": "@sample:0.1",
    "@limit": "@limit:1000",
    "@offset": "@offset:1000",
    "@version": "@version:3",
    "@datapoint_by": "@datapoint_by:scene",
    "@group_by": "@group_by:scene",
}

# Fields under the names that they have among operators.
ALIASES = {"@path": "key", "@size": "bytes", "@phase": "split"}

# What the fractions of `@split` are of, in their order.
PHASES = ("train", "test", "validation")

MAX_DEPTH = 100
MAX_TERMS = 2_000

_LARGEST = (1 << 63) - 1
_ROUNDING = 1e-9  # of a sum of fractions


def query(node: Node | None, text: str) -> Query:
    """The query of a parsed text.

    Raises:
        Mistake: An operator is unknown, stands where none can, twice, or with a wrong value;
            or there is too much of everything.
    """
    if node is None:
        return Query(text=text)
    _measure(node)
    rest, found = _take(node, frozenset(OPERATORS))
    options: dict[str, Any] = {}
    places = []
    for operator in found:
        name = operator.field.text[1:]
        if name in options:
            raise Mistake(f"@{name} stands here for the second time.", operator.field.column)
        values = _values(operator)
        options[name] = _option(name, values)
        places.append((name, values[0].column))
    split = options.get("split")
    if split is not None and rest is not None:
        rest, found = _take(rest, frozenset({"@phase"}))
        for operator in found:
            if "phase" in options:
                raise Mistake("@phase stands here for the second time.", operator.field.column)
            options["phase"] = _phase(split, _values(operator))
            places.append(("phase", operator.field.column))
    where = None if rest is None else _plain(rest, None, split is not None)
    return Query(where=where, text=text, places=tuple(places), **options)


def _measure(node: Node) -> None:
    """Refuses what nests so deep, or has so many terms, that it could exhaust a stack."""
    terms = 0
    stack: list[tuple[Any, int]] = [(node, 0)]
    while stack:
        node, depth = stack.pop()
        if isinstance(node, Group):
            stack.append((node.part, depth))
        elif isinstance(node, Scoped):
            stack.append((node.test, depth))
        elif isinstance(node, Not):
            stack.append((node.part, depth + 1))
        elif isinstance(node, (And, Or)):
            stack.extend((part, depth + 1) for part in node.parts)
        else:
            terms += 1
        if depth > MAX_DEPTH:
            raise Mistake(f"The query nests more than {MAX_DEPTH} levels deep.", _column(node))
        if terms > MAX_TERMS:
            raise Mistake(
                f"The query has more than {MAX_TERMS:,} comparisons. "
                'Many values of one field can be a list: key in ["a", "b"].',
                1,
            )


def _column(node: Any) -> int:
    """Where a node's first value or field stands."""
    while not isinstance(node, (Compare, OneOf, Range, Truth)):
        if isinstance(node, Scoped):
            return node.field.column
        node = node.parts[0] if isinstance(node, (And, Or)) else node.part
    return node.field.column if node.field.text else 1


def _take(node: Node, names: frozenset[str]) -> tuple[Node | None, list[Scoped]]:
    """Parts a query from the operators of those names that stand outside all parentheses."""
    if isinstance(node, Or):
        kept: list[Any] = []
        found: list[Scoped] = []
        for part in node.parts:
            rest, taken = _take_of_conjunction(part, names)
            if rest is None:
                raise Mistake(
                    f"{taken[0].field.text} is no condition: `or` needs one on each side.",
                    taken[0].field.column,
                )
            kept.append(rest)
            found += taken
        return Or(tuple(kept)), found
    return _take_of_conjunction(node, names)


def _take_of_conjunction(node: Node, names: frozenset[str]) -> tuple[Node | None, list[Scoped]]:
    parts = node.parts if isinstance(node, And) else (node,)
    found = [part for part in parts if isinstance(part, Scoped) and part.field.text in names]
    kept: list[Any] = [
        part for part in parts if not (isinstance(part, Scoped) and part.field.text in names)
    ]
    if not kept:
        return None, found
    return (kept[0] if len(kept) == 1 else And(tuple(kept))), found


def _values(operator: Scoped) -> tuple[Value, ...]:
    """The values behind an operator's colons."""
    test = operator.test
    if not isinstance(test, Compare) or test.operator != "=" or test.value.kind == "null":
        name = operator.field.text
        raise Mistake(
            f"{name} takes a plain value, as in {OPERATORS.get(name, '@phase:train')}.",
            operator.field.column,
        )
    return test.value, *operator.extra


def _option(name: str, values: tuple[Value, ...]) -> Any:
    """What an operator says, as `Query` holds it."""
    value = values[0]
    if name == "split":
        return _split(values)
    if len(values) > 1:
        raise Mistake(
            f"@{name} takes one value, as in {OPERATORS['@' + name]}; "
            "quote it where a colon is part of it.",
            values[1].column - 1,
        )
    if name == "sample":
        if not isinstance(value.value, (int, float)) or value.kind != "number":
            raise _unfit(name, "a fraction", value)
        if not 0 < value.value <= 1:
            raise Mistake(
                f"@sample takes a fraction above 0 and up to 1 (got {value.raw}). "
                "For a number of records, write @limit.",
                value.column,
            )
        return float(value.value)
    if name in ("seed", "limit", "offset"):
        least = {"seed": -_LARGEST, "limit": 1, "offset": 0}[name]
        if not isinstance(value.value, int) or value.kind != "number":
            raise _unfit(name, "a whole number", value)
        if value.value < least:
            raise Mistake(f"@{name} must be at least {least} (got {value.raw}).", value.column)
        return value.value
    if name == "version":
        return value.value if value.kind in ("string", "word") else value.raw
    return _field(name, value)


def _unfit(name: str, wanted: str, value: Value) -> Mistake:
    example = OPERATORS["@" + name]
    return Mistake(f"@{name} takes {wanted}, as in {example} (got {value.raw}).", value.column)


def _field(name: str, value: Value) -> str:
    if value.kind not in ("string", "word", "name"):
        raise _unfit(name, "a field's name", value)
    return str(value.value)


def _split(values: tuple[Value, ...]) -> tuple[float, ...] | str:
    """The fractions of `@split`, or the field."""
    if len(values) == 1 and values[0].kind != "number":
        return _field("split", values[0])
    if len(values) > len(PHASES):
        raise Mistake(
            f"@split takes up to {len(PHASES)} fractions: {', '.join(PHASES)}.",
            values[len(PHASES)].column,
        )
    fractions = []
    for value in values:
        if value.kind != "number" or not isinstance(value.value, (int, float)):
            raise _unfit("split", "fractions, or one field", value)
        if not 0 <= value.value <= 1:
            raise Mistake(
                f"A fraction of @split is between 0 and 1 (got {value.raw}), "
                "as in @split:0.8:0.1:0.1.",
                value.column,
            )
        fractions.append(float(value.value))
    total = sum(fractions)
    if not 0 < total <= 1 + _ROUNDING:
        raise Mistake(
            f"The fractions of @split must sum to more than 0 and at most 1 (got {total:g}).",
            values[0].column,
        )
    return tuple(fractions)


def _phase(split: tuple[float, ...] | str, values: tuple[Value, ...]) -> str:
    """The part of `@split` that is wanted."""
    value = values[0]
    phase = str(value.value) if value.kind in ("string", "word") else value.raw
    names = PHASES[: len(split)] if isinstance(split, tuple) else None
    if len(values) > 1:
        raise Mistake("@phase takes one name, as in @phase:train.", values[1].column - 1)
    if names is not None and phase not in names:
        near = nearest(phase, names)
        meant = f" Did you mean {near!r}?" if near else ""
        raise Mistake(
            f"@split does not make a part {phase!r} here: it makes {', '.join(names)}.{meant}",
            value.column,
        )
    return phase


def _plain(node: Any, field: Name | None, has_split: bool) -> Expr:
    """The tree without the nodes that only parsing knows.

    Args:
        node: Of a tree that `_measure` has passed.
        field: Of the comparisons that have none of their own.
        has_split: Whether `@phase` is an operator of the whole query.
    """
    if isinstance(node, Group):
        return _plain(node.part, field, has_split)
    if isinstance(node, Scoped):
        _check_field(node.field, has_split)
        if node.extra:
            raise Mistake(
                "A value that has a colon in it must be quoted.", node.extra[0].column - 1
            )
        return _plain(node.test, node.field, has_split)
    if isinstance(node, Not):
        return Not(_plain(node.part, field, has_split))
    if isinstance(node, (And, Or)):
        kind = type(node)
        parts: list[Expr] = []
        for part in node.parts:
            plain = _plain(part, field, has_split)
            parts += plain.parts if isinstance(plain, kind) else [plain]
        return kind(tuple(parts))
    if field is not None:
        node = dataclasses.replace(node, field=field)
    _check_field(node.field, has_split)
    leaf: Expr = node
    return leaf


def _check_field(field: Name, has_split: bool) -> None:
    """Refuses an operator that cannot stand for a field."""
    name = field.text
    if not name.startswith("@"):
        return
    if name in OPERATORS or (name == "@phase" and has_split):
        example = OPERATORS.get(name, "@phase:train")
        raise Mistake(
            f"{name} is said of the whole query: it stands outside of parentheses, without "
            f"`not`, as in {example}.",
            field.column,
        )
    if name not in ALIASES:
        known = [*OPERATORS, *ALIASES]
        near = nearest(name, known)
        meant = f" Did you mean {near}?" if near else ""
        raise Mistake(
            f"There is no operator {name}.{meant} There are {', '.join(known)}.", field.column
        )

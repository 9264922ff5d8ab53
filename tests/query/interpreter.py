"""The query language once more, in plain Python: what the compiled SQL is held against."""

from __future__ import annotations

import datetime
import math
import operator
import re
from collections.abc import Mapping
from typing import Any

from tfstream.query.tree import And, Compare, Expr, Not, OneOf, Or, Period, Range, Truth, Value

OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ALIASES = {"@path": "key", "@size": "bytes", "@phase": "split"}


def selects(expr: Expr, row: Mapping[str, Any]) -> bool:
    """Whether a record fulfils an expression: true or false, nothing between."""
    if isinstance(expr, And):
        return all(selects(part, row) for part in expr.parts)
    if isinstance(expr, Or):
        return any(selects(part, row) for part in expr.parts)
    if isinstance(expr, Not):
        return not selects(expr.part, row)
    value = _field(expr.field.text, row)
    if isinstance(expr, Truth):
        return value is True
    if isinstance(expr, OneOf):
        return any(_compare(value, "=", other, row) for other in expr.values)
    if isinstance(expr, Range):
        if expr.low is None and expr.high is None:
            return value is not None
        above = expr.low is None or _compare(value, ">=" if expr.with_low else ">", expr.low, row)
        below = expr.high is None or _compare(
            value, "<=" if expr.with_high else "<", expr.high, row
        )
        return above and below
    assert isinstance(expr, Compare)
    return _compare(value, expr.operator, expr.value, row)


def _field(name: str, row: Mapping[str, Any]) -> Any:
    if name.startswith("labels."):
        return row["labels"].get(name.removeprefix("labels."), 0)
    value = row[ALIASES.get(name, name)]
    return None if isinstance(value, float) and math.isnan(value) else value


def _compare(value: Any, sign: str, other: Value, row: Mapping[str, Any]) -> bool:
    if other.kind == "null":
        return (value is None) == (sign == "=")
    pattern = _pattern(other)
    if pattern is not None and not pattern.strip("*"):
        return (value is not None) == (sign == "=")
    if value is None:
        return False
    if pattern is not None:
        return bool(_matches(pattern, value)) == (sign == "=")
    if isinstance(other.value, Period):
        return _compare_time(value, sign, other.value)
    wanted: Any = other.value
    if isinstance(value, (int, float)) and other.kind in ("word", "name"):
        wanted = _field(str(wanted), row)
        if wanted is None:
            return False
    return bool(OPERATORS[sign](value, wanted))


def _pattern(value: Value) -> str | None:
    """A word with wildcards; None: something else."""
    if value.kind != "word" or not re.search(r"[*?]", re.sub(r"\\.", "", value.raw)):
        return None
    return value.raw


def _matches(pattern: str, text: str) -> bool:
    """Tries all that a wildcard may stand for."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_matches(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    if pattern[0] == "\\":
        pattern = pattern[1:]
    elif pattern[0] == "?":
        return bool(text) and _matches(pattern[1:], text[1:])
    return text[:1] == pattern[0] and _matches(pattern[1:], text[1:])


def _compare_time(value: str, sign: str, period: Period) -> bool:
    try:
        time = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return False
    if time.tzinfo is not None:
        time = time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    place = -1 if time < period.first else (1 if time >= period.after else 0)
    return bool(OPERATORS[sign](place, 0))

"""The text of queries that a click makes: conditions, and a query with one more of them or less."""

from __future__ import annotations

import re

from tfstream.query.fields import Fields, word
from tfstream.query.operators import OPERATORS
from tfstream.query.parser import parse

__all__ = ["between", "equals", "field_name", "has_label", "is_missing", "refine", "text_value"]

# Text between quotation marks, or a character behind a backslash; the value of an operator.
_KEPT = r"""(?P<kept>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.)"""
_VALUE = r"""\s*:(?:"(?:[^"\\]|\\.)*"|[^\s()"])+"""


def field_name(name: str, fields: Fields) -> str:
    """A metadata column as a query names it.

    >>> field_name("width", Fields({"width": "int"}, [], []))
    'metadata.width'
    """
    column = fields.find(name)
    return word(name) if column.free else f"metadata.{word(name)}"


def text_value(value: str) -> str:
    r"""A text as a query writes it: never a pattern.

    >>> print(text_value('a "b"*'))
    "a \"b\"*"
    """
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def has_label(label: str) -> str:
    """There is such an object.

    >>> has_label("traffic light")
    'labels."traffic light" >= 1'
    """
    return f"labels.{word(label)} >= 1"


def equals(field: str, value: str | int | float | bool) -> str:
    """A field, as `field_name` writes it, has a value.

    >>> equals("day", 3), equals("night", False), equals("camera", "left")
    ('day = 3', 'night:false', 'camera = "left"')
    """
    if isinstance(value, bool):
        return f"{field}:{str(value).lower()}"
    return f"{field} = {text_value(value) if isinstance(value, str) else _number(value)}"


def between(field: str, low: float, high: float | None) -> str:
    """A field is at least `low` and below `high`; None: without an end.

    >>> between("width", 100, 200.0), between("width", 0.5, None)
    ('width >= 100 and width < 200', 'width >= 0.5')
    """
    begin = f"{field} >= {_number(low)}"
    return begin if high is None else f"{begin} and {field} < {_number(high)}"


def is_missing(field: str) -> str:
    """A field has no value."""
    return f"{field} is null"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.12g}"


def refine(query: str, condition: str) -> str:
    """A query with one more condition; without it, where it was the last to be added.

    Operators of the whole query, such as `@limit:5`, stay outside the parentheses that a query
    with `or` needs.

    Args:
        query: Any that can be parsed.
        condition: Of `has_label` and its like.

    Raises:
        QueryError: The query cannot be parsed.

    >>> refine("", "width > 3"), refine("label:dog", "width > 3"), refine("width > 3", "width > 3")
    ('width > 3', 'label:dog and width > 3', '')
    >>> refine("@limit:5 label:dog or label:cat", "width > 3")
    '(label:dog or label:cat) and width > 3 @limit:5'
    >>> refine("label:dog and width > 3", "width > 3")
    'label:dog'
    """
    names = [*OPERATORS, *(["@phase"] if parse(query).split is not None else [])]
    part = re.compile(f"{_KEPT}|(?:{'|'.join(names)}){_VALUE}", re.DOTALL)
    operators: list[str] = []

    def take(found: re.Match[str]) -> str:
        if found["kept"]:
            return found[0]
        operators.append(found[0])
        return " "

    rest = part.sub(take, query).strip()
    if rest == condition:
        rest = ""
    elif rest.endswith(f" and {condition}"):
        rest = _opened(rest.removesuffix(f" and {condition}"))
    elif rest:
        rest = f"{_closed(rest)} and {condition}"
    else:
        rest = condition
    return " ".join([*filter(None, [rest]), *operators])


def _closed(text: str) -> str:
    """Within parentheses, where it holds an `or`."""
    return f"({text})" if re.search(r"\bor\b", text, re.IGNORECASE) else text


def _opened(text: str) -> str:
    """Without the parentheses around all of it, which `_closed` may have put there."""
    inner = text[1:-1]
    if text.startswith("(") and text.endswith(")") and "(" not in inner and ")" not in inner:
        return inner
    return text

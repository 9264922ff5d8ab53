"""What to say of a text that does not follow the grammar."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tfstream.query.mistakes import Mistake

if TYPE_CHECKING:
    from lark.exceptions import UnexpectedInput

__all__ = ["explain"]

_QUOTED = r"""\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_BRACKET = re.compile(rf"{_QUOTED}|[()\[\]{{}}]", re.DOTALL)
_CLOSING = {"(": ")", "[": "]}", "{": "]}"}

_RESERVED = re.compile(r"(?:and|or|not|in|is|to|null|true|false)\b", re.IGNORECASE)

# What people write out of habit, and how it is written here.
_HABITS = {
    "&": "Write and, not &.",
    "|": "Write or, not |.",
    "!": "Write not before what shall not be, and != between unequal things.",
    ";": "A query is one expression: nothing follows it.",
    "“": 'Write straight quotation marks: "…".',
    "”": 'Write straight quotation marks: "…".',
    "„": 'Write straight quotation marks: "…".',
    "‘": "Write straight quotation marks: '…'.",
    "’": "Write straight quotation marks: '…'.",
}


def explain(error: UnexpectedInput, text: str) -> Mistake:
    """The mistake behind an error of the parser.

    Args:
        error: As lark raised it.
        text: The whole query.
    """
    end = len(text.rstrip())
    place = error.pos_in_stream
    if place is None or place < 0 or place >= end or _at_end(error):
        place = end
    if place < end and text[place] in "\"'":
        rest = re.compile(_QUOTED, re.DOTALL).match(text, place)
        if rest is None:
            return Mistake("This quotation mark is not closed.", place + 1)
    if place < end and text[place] == "\\" and place + 1 == end:
        return Mistake("Behind a backslash must be the character that it frees.", place + 1)
    if place == end or text[place] in "()[]{}":
        bracket = _unbalanced(text)
        if bracket is not None:
            return bracket
    wanted = _wanted(getattr(error, "expected", None) or getattr(error, "allowed", None) or ())
    if place == end:
        return Mistake(f"The query ends where {wanted} must be.", end + 1)
    found = text[place]
    reserved = _RESERVED.match(text, place)
    if reserved:
        return Mistake(
            f"Here must be {wanted}, and there is `{reserved.group()}`. "
            f'Where that is meant as text, write "{reserved.group()}".',
            place + 1,
        )
    habit = _HABITS.get(found, "")
    return Mistake(f"Here must be {wanted}, and there is {found!r}. {habit}".rstrip(), place + 1)


def _at_end(error: UnexpectedInput) -> bool:
    return getattr(getattr(error, "token", None), "type", "") == "$END"


def _unbalanced(text: str) -> Mistake | None:
    """The first bracket that lacks its fellow; None: all have theirs."""
    opened: list[tuple[str, int]] = []
    for match in _BRACKET.finditer(text):
        bracket, column = match.group(), match.start() + 1
        if bracket in _CLOSING:
            opened.append((bracket, column))
        elif bracket in (")", "]", "}"):
            if not opened:
                return Mistake(f"This {bracket!r} closes nothing.", column)
            opening, _ = opened.pop()
            if bracket not in _CLOSING[opening]:
                return Mistake(f"This {bracket!r} cannot close {opening!r}.", column)
    if opened:
        bracket, column = opened[-1]
        return Mistake(f"This {bracket!r} is not closed.", column)
    return None


def _wanted(expected: object) -> str:
    """What could have stood there, in words."""
    names = set(expected) if isinstance(expected, (set, frozenset, list, tuple)) else set()
    if "OP" in names and "_AND" in names:
        return "a comparison, such as `= 3`, or the next term"
    if "NUMBER" in names:
        return "a value"
    if "_TO" in names:
        return "`to` or a comma" if "COMMA" in names else "`to`"
    if "_AND" in names or "_OR" in names:
        return "`and`, `or` or the next term"
    if "AT" in names:
        return "a field"
    if "COMMA" in names:
        return "a comma or the list's end"
    if "NULL" in names:
        return "null"
    if "WITH_LOW" in names:
        return "a list"
    return "something else"

"""What a query may go on with, where the cursor is: fields, labels, splits, operators."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from tfstream.query.fields import Column, Fields, word
from tfstream.query.operators import OPERATORS

__all__ = ["Completion", "Suggestion", "complete"]

_MOST = 12  # suggestions
_LABELS = "labels."
# A word before the cursor: what is left of a quoted part counts as well.
_WORD = re.compile(r"""(?:[^\s()\[\]{}:=<>!,"']|"[^"]*"?)*$""")
# A field whose value stands at the cursor.
_FIELD = re.compile(r"""([^\s()\[\]{}:=<>!,"']+)\s*(?::|=|!=|<>)\s*$""")
_KEYWORDS = ("and", "or", "not", "in", "is null", "is not null")


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """What may stand there.

    Attributes:
        text: What is written.
        about: What it is: "string", "label", "operator" ...
    """

    text: str
    about: str


@dataclasses.dataclass(frozen=True)
class Completion:
    """What may stand in the place of the word at the cursor.

    Attributes:
        begin: Where that word begins.
        suggestions: The most likely first.
    """

    begin: int
    suggestions: tuple[Suggestion, ...]


def complete(text: str, fields: Fields, known: Sequence[Column]) -> Completion:
    """Completes a query.

    Args:
        text: The query up to the cursor.
        fields: Of the dataset.
        known: All its columns.

    >>> fields = Fields({"camera": "string"}, ["dog", "traffic light"], ["train"])
    >>> complete("width > 3 labels.tr", fields, []).suggestions[0].text
    'labels."traffic light"'
    >>> complete("label = d", fields, []).begin
    8
    """
    found = _WORD.search(text)
    typed = "" if found is None else found[0]
    begin = len(text) - len(typed)
    before = _FIELD.search(text[:begin])
    if before is not None:
        offered = _values(before[1], fields)
    elif typed.startswith("@"):
        offered = (Suggestion(example, "operator") for example in OPERATORS.values())
    else:
        offered = _names(fields, known)
    wanted = typed.replace('"', "").casefold()
    best = _best(wanted, offered)
    if wanted.startswith(_LABELS) and not best:  # no label begins so: those that hold it
        labels = (Suggestion(_LABELS + word(label), "label") for label in fields.labels)
        best = _best(wanted.removeprefix(_LABELS), labels)
    return Completion(begin, tuple(best))


def _values(field: str, fields: Fields) -> Iterator[Suggestion]:
    """The values that a field can have, where they are known."""
    names = {"label": fields.labels, "split": fields.splits, "@phase": fields.splits}
    for value in names.get(field, ()):
        yield Suggestion(word(value), field.lstrip("@"))


def _names(fields: Fields, known: Sequence[Column]) -> Iterator[Suggestion]:
    for column in known:
        yield Suggestion(word(column.name), column.kind)
    for label in fields.labels:
        yield Suggestion(_LABELS + word(label), "label")
    for keyword in _KEYWORDS:
        yield Suggestion(keyword, "keyword")


def _best(wanted: str, offered: Iterable[Suggestion]) -> list[Suggestion]:
    """Those that begin so, then those with a part that does, then those that hold it."""
    ranked: tuple[list[Suggestion], list[Suggestion], list[Suggestion]] = ([], [], [])
    for each in offered:
        folded = each.text.replace('"', "").casefold()
        if folded.startswith(wanted):
            ranked[0].append(each)
        elif f".{wanted}" in folded or f" {wanted}" in folded or f"_{wanted}" in folded:
            ranked[1].append(each)
        elif wanted in folded:
            ranked[2].append(each)
        if len(ranked[0]) == _MOST:
            break
    return [each for rank in ranked for each in rank][:_MOST]

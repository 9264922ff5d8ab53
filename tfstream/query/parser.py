"""From the text of a query to its tree."""

from __future__ import annotations

import functools
import importlib.resources
import re
from typing import TYPE_CHECKING

from tfstream.query import building, operators, syntax_mistakes
from tfstream.query.mistakes import Mistake, query_error
from tfstream.query.tree import Query

if TYPE_CHECKING:
    from lark import Lark

# lark takes a while to import: the function that needs it does so.

__all__ = ["MAX_LENGTH", "parse"]

MAX_LENGTH = 200_000  # characters of a query

_UNUSABLE = re.compile("[\0\ud800-\udfff]")


def parse(text: str) -> Query:
    """Parses a query.

    Args:
        text: As docs/query.md describes it; an empty one selects all records.

    Returns:
        The query. Whether its fields exist, and can be compared so, is yet to be seen: that
        is `compile_where`'s to say.

    Raises:
        QueryError: The text is not a query. The message shows where.

    >>> query = parse("@limit:5 labels.dog >= 1 width:>200")
    >>> query.limit, len(query.where.parts)
    (5, 2)
    """
    if not isinstance(text, str):
        raise query_error(f"A query is a text (got {type(text).__name__}).", "", 1)
    if len(text) > MAX_LENGTH:
        raise query_error(
            f"The query has {len(text):,} characters: {MAX_LENGTH:,} are the most.",
            text,
            MAX_LENGTH + 1,
        )
    unusable = _UNUSABLE.search(text)
    if unusable:
        raise query_error(
            f"The character U+{ord(unusable.group()):04X} cannot be part of a query.",
            text,
            unusable.start() + 1,
        )
    try:
        return operators.query(_tree(text), text)
    except Mistake as mistake:
        raise query_error(mistake.message, text, mistake.column) from None


def _tree(text: str) -> building.Node | None:
    from lark import exceptions

    try:
        node: building.Node | None = _parser().parse(text)  # type: ignore[assignment]
        return node
    except exceptions.UnexpectedInput as error:
        raise syntax_mistakes.explain(error, text) from None


@functools.cache
def _parser() -> Lark:
    from lark import Lark

    grammar = importlib.resources.files("tfstream.query").joinpath("grammar.lark")
    return Lark(
        grammar.read_text(encoding="utf-8"),
        parser="lalr",
        transformer=building.Builder(),
        maybe_placeholders=False,
    )

"""Whatever is typed into a query either compiles to SQL that runs, or is a clean error."""

from __future__ import annotations

import importlib.resources
import random
import re
from typing import Any

import lark
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query import table
from query.mutated import mutate

from tfstream.errors import QueryError
from tfstream.query import compile_where, parse
from tfstream.query.columns import identifiers

NAMES = (
    *("width", "key", "camera", "taken", "iso", "night", "label", "labels", "objects", "split"),
    *("labels.dog", "labels.cow", "source.name", "file.day", "metadata.night", "wdth", "labels."),
    *(
        "file.",
        "metadata.",
        "a.b",
        ".",
        "..",
        "*",
        "fr*t?",
        "-",
        "a\\ b",
        "\\*",
        "x~2",
        "/.*/",
        "ä\u0301",
    ),
)
QUOTED = (
    '"dog"',
    "'front'",
    '""',
    '"labels"',
    '"a\\"b"',
    "'x\\\\'",
    '"2024-01-31"',
    '"\n"',
    '"; --"',
)
DOTTED = (
    'labels."traffic light"',
    '"source".name',
    'labels."or".x',
    "file.'my notes'",
    'metadata."a\\"b"',
)
NUMBERS = ("0", "-1", "3", "0.25", ".5", "1e3", "1e999", "9" * 25, "00", "9223372036854775808")
DATES = (
    "2024-01-31",
    "2024-02-30",
    "9999-12-31",
    "0001-01-01T00:00+14:00",
    "2024-01-31T12:30:59.1Z",
)
OPERATORS = (
    *("@split", "@seed", "@sample", "@limit", "@offset", "@version", "@datapoint_by", "@group_by"),
    *("@path", "@size", "@phase", "@", "@spilt"),
)
TERMINALS = {
    "WORD": NAMES,
    "QUOTED": QUOTED,
    "DOTTED": DOTTED,
    "NUMBER": NUMBERS,
    "DATE": DATES,
    "AT": OPERATORS,
    "OP": ("=", "!=", "<>", "==", "<", "<=", ">", ">="),
    "_AND": ("and", "AND"),
    "_OR": ("or", "Or"),
    "_NOT": ("not",),
    "_IN": ("in",),
    "_NOT_IN": ("not  in",),
    "_IS": ("is",),
    "_IS_NOT": ("is not",),
    "_TO": ("TO",),
    "NULL": ("null",),
    "TRUE": ("true",),
    "FALSE": ("False",),
}
# Of what can stand somewhere, most is of the wrong type: here all fields and values are of one.
STRINGS = {
    **{"WORD": ("camera", "taken", "file.source.name"), "DOTTED": ("file.'my notes'",)},
    **{"QUOTED": ('"camera"', "'taken'"), "NUMBER": ('"3"',), "DATE": ("2024-01-31",)},
    **{"TRUE": ("f*",), "FALSE": ("*t?",), "AT": ("@path",)},
}
INTEGERS = {
    **{"WORD": ("width", "day", "labels.dog"), "DOTTED": ('labels."traffic light"',)},
    **{"QUOTED": ("'day'",), "NUMBER": ("3", "-0.5", "1e5"), "DATE": ("1e300",)},
    **{"TRUE": ("height",), "FALSE": ("objects",), "AT": ("@size",)},
}
PUNCTUATION = (*"()[]{}:,=<>!\"'\\@&|;*? \n\t", "\0", "\ud800", "--", "/*", "“", "\ufeff")

grammar = importlib.resources.files("tfstream.query").joinpath("grammar.lark").read_text()
parser = lark.Lark(grammar, parser="lalr")
expansions: dict[str, list[list[Any]]] = {}
for rule in parser.rules:
    expansions.setdefault(rule.origin.name, []).append(rule.expansion)


def generate(rng: random.Random) -> str:
    """A text that follows the grammar."""
    todo: list[Any] = [lark.grammar.NonTerminal("disjunction")]
    tokens: list[str] = []
    budget = rng.choice((10, 40, 200))
    kinds: dict[str, tuple[str, ...]] = rng.choice((STRINGS, INTEGERS, {}))
    while todo:
        symbol = todo.pop()
        if symbol.is_term:
            pattern = next(term.pattern for term in parser.terminals if term.name == symbol.name)
            texts = TERMINALS.get(symbol.name, (pattern.value,))
            tokens.append(rng.choice(kinds.get(symbol.name, texts)))
            continue
        budget -= 1
        choices = expansions[symbol.name]
        if budget < 0:  # what recursion there is in the grammar, has a shorter way round
            fewest = min(map(len, choices))
            choices = [choice for choice in choices if len(choice) == fewest]
        todo += reversed(rng.choice(choices))
    return " ".join(tokens)


any_token = st.sampled_from(
    [*PUNCTUATION, *(text for texts in TERMINALS.values() for text in texts)]
)
soup = st.lists(any_token, max_size=14).map(" ".join) | st.lists(any_token, max_size=14).map(
    "".join
)
any_text = st.text(st.characters(), max_size=40)

# All that SQL may consist of, beside identifiers, `?` and signs.
WORDS = {
    *(
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "NULL",
        "TRUE",
        "FALSE",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
    ),
    *("coalesce", "isnan", "starts_with", "ends_with", "contains", "regexp_full_match"),
    *("regexp_matches", "make_timestamp", "epoch_us", "TRY_CAST", "AS", "TIMESTAMP", "TIMESTAMPTZ"),
    "0",
}
LITERALS = ("'s'", "':.*([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$'")


@pytest.fixture(scope="module")
def connection() -> Any:
    with table.connect(list(table.rows(12, seed=1))) as connection:
        yield connection


def _compiles_or_is_refused(text: str, connection: Any) -> bool:
    try:
        condition = compile_where(parse(text), table.FIELDS)
    except QueryError as error:
        _is_clean(error, text)
        return False
    sql = condition.sql
    for literal in LITERALS:
        sql = sql.replace(literal, "")
    known = set(identifiers(table.METADATA).values())
    assert set(re.findall(r'"(?:[^"]|"")*"', sql)) <= known
    sql = re.sub(r'"(?:[^"]|"")*"', "", sql)
    assert set(re.findall(r"\w+", sql)) <= WORDS, condition.sql
    assert set(re.sub(r"\w+", "", sql)) <= set(" ?(),<>=![]"), condition.sql
    assert sql.count("?") == len(condition.parameters)
    table.keys(connection, condition)
    return True


def _is_clean(error: QueryError, text: str) -> None:
    message, shown, caret = str(error).rsplit("\n", 2)
    assert error.text == text
    assert 1 <= error.column <= len(text) + 1
    assert message.endswith(f"(column {error.column})")
    assert caret.strip() == "^"
    assert "\n" not in shown
    assert len(str(error)) < 2_000
    str(error).encode()


FEW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(FEW, max_examples=400)
@given(text=any_text)
def test_any_text_compiles_or_is_refused(connection: Any, text: str) -> None:
    _compiles_or_is_refused(text, connection)


@settings(FEW, max_examples=600)
@given(text=soup)
def test_any_row_of_tokens_compiles_or_is_refused(connection: Any, text: str) -> None:
    _compiles_or_is_refused(text, connection)


@settings(FEW, max_examples=1_000)
@given(seed=st.integers(0, (1 << 64) - 1))
def test_what_the_grammar_generates_compiles_or_is_refused(connection: Any, seed: int) -> None:
    _compiles_or_is_refused(generate(random.Random(seed)), connection)


VALID = (
    'labels.cars > 3 and not (width < 100 or source.name in ["a", "b"])',
    '@split:0.8:0.1:0.1 @datapoint_by:scene label:dog labels."traffic light":>2',
    'camera:(front "front left" r*) OR NOT taken:[2024-01-31 TO *] night:true',
    "width:{100 TO 200] and (label:dog or label:cat) objects:!=0 key:*\\ b?",
    '"my notes" is not null and day not in [1, 2.5, null] taken >= 2024-01-31T12:30:00+02:00',
    "@version:3 @sample:0.1 @seed:7 @group_by:scene @limit:100 @offset:20 @path:a/* @size:>1e3",
    "@split:scene @phase:north width > height or iso:(<100 OR >1000) and not night = false",
)


@settings(FEW, max_examples=1_000)
@given(seed=st.integers(0, (1 << 64) - 1))
def test_a_valid_query_that_was_changed_compiles_or_is_refused(connection: Any, seed: int) -> None:
    rng = random.Random(seed)
    _compiles_or_is_refused(mutate(rng, VALID), connection)


def test_all_of_what_is_changed_was_valid(connection: Any) -> None:
    assert all(_compiles_or_is_refused(text, connection) for text in VALID)


def test_much_of_what_the_grammar_generates_compiles(connection: Any) -> None:
    texts = [generate(random.Random(seed)) for seed in range(500)]
    compiled = [text for text in texts if _compiles_or_is_refused(text, connection)]
    assert len(compiled) > 50
    assert max(map(len, compiled)) > 100


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000 + "night" + ")" * 100_000,
        "(" * 200_000,
        ")" * 200_000,
        "not " * 50_000 + "night",
        "camera:" + "(" * 90_000 + "a" + ")" * 90_000,
        "camera:(" + "not " * 40_000 + "a)",
        "(night or " * 5_000 + "night" + ")" * 5_000,
        "(night and (night or " * 45 + "night" + "))" * 45,
        "not (night or " * 60 + "night" + ")" * 60,
        "night " * 2_000,
        " or ".join(["width:3"] * 2_001),
        "width in [" + ", ".join(["3"] * 40_000) + "]",
        "camera:" + "a*?" * 300,
        "camera:" + "a?" * 60_000,
        "width > " + "0" * 150_000 + "1",
        "width > 1" + "0" * 150_000,
        "x" * 200_000,
        "labels." + "x" * 190_000 + " > 3",
        '"' * 100_001,
        "\\" * 100_001,
        "labels." + '"a".' * 40_000 + "b > 3",
        "x" * 200_001,
        "\U0001f9b4\u200b\u202e > 3",
    ],
    ids=lambda text: f"{text[:12]}-{len(text)}",
)
def test_what_is_deep_or_long_compiles_or_is_refused(connection: Any, text: str) -> None:
    _compiles_or_is_refused(text, connection)

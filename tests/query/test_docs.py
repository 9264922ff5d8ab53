"""What docs/query.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from query import table

from tfstream.errors import QueryError
from tfstream.format.index import COLUMNS
from tfstream.query import Fields, compile_where, parse
from tfstream.query.operators import ALIASES, OPERATORS

PAGE = (Path(__file__).parents[2] / "docs" / "query.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RECORDS = 300


def _blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture(scope="module")
def fields() -> Any:
    names: dict[str, Any] = {}
    for text in _blocks("python"):
        exec(text, names)
    return names["fields"]


@pytest.mark.parametrize(
    "line", [line for text in _blocks("query") for line in text.splitlines()], ids=str
)
def test_the_queries_that_it_shows_compile(fields: Fields, line: str) -> None:
    query, _, same = line.partition("#")
    condition = compile_where(parse(query), fields)
    if same:
        assert compile_where(parse(same), fields) == condition


def _dialects() -> list[tuple[str, str]]:
    section = PAGE.partition("## Two dialects")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \| `(.+?)` \|", section, re.MULTILINE)


@pytest.fixture(scope="module")
def connection() -> Any:
    with table.connect(list(table.rows(RECORDS, seed=2))) as connection:
        yield connection


@pytest.mark.parametrize(("comparison", "lucene"), _dialects(), ids=str)
def test_both_dialects_select_the_same(
    fields: Fields, connection: Any, comparison: str, lucene: str
) -> None:
    one = compile_where(parse(comparison), fields)
    other = compile_where(parse(lucene), fields)
    found = table.keys(connection, one)
    assert found == table.keys(connection, other)
    assert 0 < len(found) < RECORDS


def test_the_table_of_dialects_has_all_its_rows() -> None:
    assert len(_dialects()) == 17


@pytest.mark.parametrize("text", _blocks("error"), ids=lambda text: text.partition("\n")[0])
def test_the_errors_that_it_shows_are_those(fields: Fields, text: str) -> None:
    query, _, message = text.partition("\n---\n")
    with pytest.raises(QueryError) as caught:
        compile_where(parse(query), fields)
    assert f"{caught.value}\n" == message


def test_each_operator_is_described() -> None:
    section = PAGE.partition("## Operators of the whole query")[2]
    for name in OPERATORS:
        assert re.search(rf"^\| .*`{name}:", section, re.MULTILINE), name
    for name in ALIASES:
        assert f"`{name}`" in PAGE


def test_each_column_of_an_index_is_described() -> None:
    section = PAGE.partition("## Fields")[2].partition("\n## ")[0]
    for name in COLUMNS:
        assert f"`{name}`" in section.replace("labels.NAME", "labels"), name

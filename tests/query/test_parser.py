"""Tests of the parser: what texts become, and where mistakes are found."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from typing import Any

import pytest

import tfstream
from tfstream.errors import InvalidArgumentError, QueryError
from tfstream.query import Query, parse
from tfstream.query.tree import And, Compare, Name, Not, Or, Truth, Value

A, B, C = (Truth(Name(name)) for name in "abc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a or b and c", Or((A, And((B, C))))),
        ("a and b or c", Or((And((A, B)), C))),
        ("a or b c", Or((A, And((B, C))))),
        ("not a and b", And((Not(A), B))),
        ("not a b", And((Not(A), B))),
        ("not a or b", Or((Not(A), B))),
        ("not (a or b)", Not(Or((A, B)))),
        ("not not a", Not(Not(A))),
        ("(a or b) c", And((Or((A, B)), C))),
        ("((a)) AND (b) Or (((c)))", Or((And((A, B)), C))),
        ("a and(b)and not(c)", And((A, B, Not(C)))),
        ("a (b (c))", And((A, B, C))),
    ],
)
def test_not_binds_before_and_and_before_or(text: str, tree: Any) -> None:
    assert parse(text).where == tree


@pytest.mark.parametrize(
    ("text", "field", "operator", "kind", "value"),
    [
        ("label:dog", "label", "=", "word", "dog"),
        ("label = 'dog'", "label", "=", "string", "dog"),
        ("label==dog", "label", "=", "word", "dog"),
        ("width<>-3", "width", "!=", "number", -3),
        ("width:>=.5", "width", ">=", "number", 0.5),
        ("size > 1e3", "size", ">", "number", 1000.0),
        ('labels."traffic light" >= 1', "labels.traffic light", ">=", "number", 1),
        ("labels.'St. Bernard'.x:1", "labels.St. Bernard.x", "=", "number", 1),
        ('"my field":TRUE', "my field", "=", "bool", True),
        ("my\\ field:False", "my field", "=", "bool", False),
        ("a.b.c : null", "a.b.c", "=", "null", None),
        ("x is NOT Null", "x", "!=", "null", None),
        ("path:images/a-b_c.jpg", "path", "=", "word", "images/a-b_c.jpg"),
        ("path:a\\:b\\(c", "path", "=", "word", "a:b(c"),
        (r'path:"a\"b\\c\d"', "path", "=", "string", r'a"b\c\d'),
        ("path:'it\\'s'", "path", "=", "string", "it's"),
        ("scene:3d", "scene", "=", "word", "3d"),
        ("version:1.2.3", "version", "=", "word", "1.2.3"),
        ("width > height", "width", ">", "word", "height"),
        ('width > labels."a b"', "width", ">", "name", "labels.a b"),
        ('"and" = "or"', "and", "=", "string", "or"),
        ("notes:android", "notes", "=", "word", "android"),
    ],
)
def test_a_comparison_has_a_field_an_operator_and_a_value(
    text: str, field: str, operator: Any, kind: Any, value: Any
) -> None:
    assert parse(text).where == Compare(Name(field), operator, Value(kind, value))


def test_fields_and_values_know_their_columns() -> None:
    where = parse("  width > 3 or  labels.dog:7").where
    assert isinstance(where, Or)
    first, second = where.parts
    assert isinstance(first, Compare)
    assert isinstance(second, Compare)
    assert (first.field.column, first.value.column) == (3, 11)
    assert (second.field.column, second.value.column) == (17, 28)


def test_values_side_by_side_behind_a_field_are_alternatives() -> None:
    one = Compare(Name("x"), "=", Value("word", "a"))
    two = Compare(Name("x"), "=", Value("word", "b"))
    three = Compare(Name("x"), ">", Value("number", 3))
    assert parse("x:(a b)").where == Or((one, two)) == parse("x:(a OR b)").where
    assert parse("x:(a b and not >3)").where == Or((one, And((two, Not(three)))))
    assert parse("x:((a))").where == one


def test_operators_of_the_whole_query_are_taken_out_of_it() -> None:
    query = parse(
        "@split:0.7:0.2:0.1 a @seed:-5 @sample:.5 @limit:10 @offset:3 "
        '@version:v1.0-rc @datapoint_by:"my scene" and @group_by:meta.day'
    )
    assert query == Query(
        where=A,
        split=(0.7, 0.2, 0.1),
        seed=-5,
        sample=0.5,
        limit=10,
        offset=3,
        version="v1.0-rc",
        datapoint_by="my scene",
        group_by="meta.day",
        text=query.text,
    )
    assert query.text[query.place("sample") - 1 :].startswith(".5")


def test_a_query_without_conditions_selects_all() -> None:
    assert parse("") == Query(text="")
    assert parse(" \n") == Query(text=" \n")
    assert parse("@limit:3").where is None


def test_operators_of_the_whole_query_do_not_bind() -> None:
    for text in ("@limit:3 a or b", "a or b @limit:3", "@limit:3 and a or b", "a or @limit:3 b"):
        assert parse(text).where == Or((A, B)), text
        assert parse(text).limit == 3


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("@version:3", "3"),
        ("@version:007", "007"),
        ("@version:stable", "stable"),
        ('@version:"or"', "or"),
        ("@version:2024-01-31", "2024-01-31"),
        ("@version:2024-01-31T12:30:00Z", "2024-01-31T12:30:00Z"),
    ],
)
def test_a_version_is_kept_as_it_is_written(text: str, version: str) -> None:
    assert parse(text).version == version


def test_a_split_is_made_of_fractions_or_of_a_field() -> None:
    assert parse("@split:0.8").split == (0.8,)
    assert parse("@split:0.1:0.2:0.7").split == (0.1, 0.2, 0.7)
    assert parse("@split:1:0").split == (1.0, 0.0)
    assert parse("@split:scene").split == "scene"
    assert parse('@split:"my scene"').split == "my scene"


def test_phase_picks_a_part_of_the_split_there_is() -> None:
    query = parse("@split:0.8:0.2 @phase:test a")
    assert (query.phase, query.where) == ("test", A)
    assert parse("@split:scene @phase:north").phase == "north"
    query = parse("@phase:test a")
    assert query.phase is None
    assert query.where == And((Compare(Name("@phase"), "=", Value("word", "test")), A))


MISTAKES = [
    ("(a or b", 1, "This '(' is not closed."),
    ("a or (b or (c)", 6, "This '(' is not closed."),
    ("a or b)", 7, "This ')' closes nothing."),
    ("a in [1, 2", 6, "This '[' is not closed."),
    ("a:{1 to 2)", 10, "This ')' cannot close '{'."),
    ('a = "b', 5, "This quotation mark is not closed."),
    ("a:'b\\'", 3, "This quotation mark is not closed."),
    ("a:it's", 5, "This quotation mark is not closed."),
    ("a = ", 4, "The query ends where a value must be."),
    ("a = b and", 10, "The query ends where a field must be."),
    ("and a", 1, "Here must be a field, and there is `and`."),
    ("a:and", 3, 'Where that is meant as text, write "and".'),
    ("a > > 3", 5, "Here must be a value, and there is '>'."),
    ("a in b", 6, "Here must be a list, and there is 'b'."),
    ("a in []", 7, "Here must be a value, and there is ']'."),
    ("a in [1 2]", 9, "and there is '2'."),
    ("a:[1 - 2]", 6, "Here must be `to`, and there is '-'."),
    ("a is 3", 6, "Here must be null, and there is '3'."),
    ("a && b", 3, "Write and, not &."),
    ("a || b", 3, "Write or, not |."),
    ("!a", 1, "Write not before"),
    ("a = “b”", 5, "Write straight quotation marks"),
    ("1 < a < 3", 7, "there is '<'"),
    ("a:b:c", 4, "A value that has a colon in it must be quoted."),
    ("a:1 \\", 5, "Behind a backslash"),
    ('"" = 3', 1, "A field's name cannot be empty."),
    ("a:[null to 3]", 4, "an open end is *"),
    ("a > 1e999", 5, "The number 1e999 is too large."),
    ("a > 2024-02-30", 5, "There is no date 2024-02-30."),
    ("a > 2024-01-31T25:00", 5, "There is no date 2024-01-31T25:00."),
    ("a > 2024-01-31T12:00+99:00", 5, "There is no date"),
    ("a = 'x\0'", 7, "The character U+0000 cannot be part of a query."),
    ("a = '\udcff'", 6, "The character U+DCFF cannot be part of a query."),
    ("@limt:3", 1, "There is no operator @limt. Did you mean @limit?"),
    ("a:3 @:3", 5, "There is no operator @."),
    ("@limit:3 @limit:4", 10, "@limit stands here for the second time."),
    ("not @limit:3", 5, "@limit is said of the whole query"),
    ("(@limit:3 a) b", 2, "@limit is said of the whole query"),
    ("@limit > 3", 1, "@limit is said of the whole query"),
    ("a or @limit:3", 6, "@limit is no condition: `or` needs one on each side."),
    ("@limit:>3", 1, "@limit takes a plain value, as in @limit:1000."),
    ("@limit:0", 8, "@limit must be at least 1 (got 0)."),
    ("@limit:1.5", 8, "@limit takes a whole number"),
    ("@limit:true", 8, "@limit takes a whole number"),
    ("@limit:3:4", 9, "@limit takes one value"),
    ("@offset:-1", 9, "@offset must be at least 0"),
    ("@seed:x", 7, "@seed takes a whole number"),
    ("@sample:10", 9, "@sample takes a fraction above 0 and up to 1 (got 10)."),
    ("@sample:0", 9, "@sample takes a fraction above 0"),
    ("@sample:x", 9, "@sample takes a fraction, as in"),
    ("@group_by:3", 11, "@group_by takes a field's name"),
    ("@split:0.8:0.3", 8, "must sum to more than 0 and at most 1 (got 1.1)."),
    ("@split:0:0", 8, "must sum to more than 0"),
    ("@split:80:20", 8, "A fraction of @split is between 0 and 1 (got 80)"),
    ("@split:.1:.1:.1:.1", 17, "@split takes up to 3 fractions: train, test, validation."),
    ("@split:a:b", 8, "@split takes fractions, or one field"),
    ("@split:0.8:0.2 @phase:tets", 23, "it makes train, test. Did you mean 'test'?"),
    ("@split:0.8:0.2 @phase:validation", 23, "it makes train, test."),
    ("@split:0.8:0.2 not @phase:test", 20, "@phase is said of the whole query"),
]


@pytest.mark.parametrize(("text", "column", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_shown_where_it_is(text: str, column: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.column == column
    assert caught.value.text == text
    *_, shown, caret = str(caught.value).splitlines()
    if text.isascii() and text.isprintable():
        assert shown == "  " + text
        assert caret == " " * (column + 1) + "^"


def test_the_caret_stands_below_wide_characters_and_in_long_texts() -> None:
    with pytest.raises(QueryError) as caught:
        parse("犬:猫 e\u0301:1 > 3")
    *_, shown, caret = str(caught.value).splitlines()
    assert shown[2:] == "犬:猫 e\u0301:1 > 3"
    assert len(caret) - 1 == 2 + len("xx:xx e:1 ")
    with pytest.raises(QueryError) as caught:
        parse("width:3 " * 100 + "> " + "width:3 " * 100)
    *_, shown, caret = str(caught.value).splitlines()
    assert len(shown) < 80
    assert shown[len(caret) - 1] == ">"
    assert caught.value.column == 801


def test_an_error_of_a_query_can_be_caught_as_a_value_error_and_sent_to_another_process() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse("a >")
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, QueryError)
    assert (str(again), again.text, again.column) == (str(caught.value), "a >", 4)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(QueryError, match="got int"):
        parse(3)  # type: ignore[arg-type]


def test_parsing_takes_milliseconds_after_the_first_time() -> None:
    text = "@limit:5 (labels.dog >= 1 or label:cat) and not (width < 100 or camera in [a, b]) "
    parse(text)
    start = time.thread_time()
    for _ in range(20):
        parse(text)
    assert (time.thread_time() - start) / 20 < 0.02


def test_the_parser_is_not_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, tfstream.query; "
        "heavy = ('lark', 'duckdb', 'pandas', 'pyarrow', 'tensorflow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    root = str(tfstream.__path__[0]).removesuffix("tfstream")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "[]\n"

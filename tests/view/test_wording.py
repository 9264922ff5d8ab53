"""Tests of tfstream/view/wording.py and completion.py: query text that clicks and typing make."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from tfstream.query import compile_where, parse
from tfstream.query.fields import Fields
from tfstream.query.tree import And
from tfstream.view import wording
from tfstream.view.completion import complete

LABELS = ["dog", "cat", "traffic light", 'a "b"', "and", "<b>"]
FIELDS = Fields(
    {"camera": "string", "width": "int", "my notes": "string"}, LABELS, ["train", "val"]
)


@pytest.mark.parametrize("label", LABELS)
def test_the_condition_of_a_label_means_that_label(label: str) -> None:
    condition = compile_where(parse(wording.has_label(label)), FIELDS)
    assert condition.parameters == (label, 1)


@hypothesis.given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_compared_as_it_is(value: str) -> None:
    written = wording.equals(wording.field_name("camera", FIELDS), value)
    assert compile_where(parse(written), FIELDS).parameters == (value,)


@hypothesis.given(st.floats(-1e12, 1e12), st.floats(0.001, 1e12))
def test_any_numbers_can_be_ends(low: float, width: float) -> None:
    parse(wording.between("width", low, low + width))


def test_metadata_called_like_a_field_keeps_its_name() -> None:
    assert wording.field_name("width", FIELDS) == "metadata.width"
    assert wording.field_name("my notes", FIELDS) == '"my notes"'


@pytest.mark.parametrize(
    "query",
    [
        "label:dog",
        "label:dog or label:cat",
        'labels."traffic light" >= 1 @limit:5',
        "@split:0.8:0.1 @phase:train label:dog or camera:x",
        'camera = "a or @limit:3 b"',
        'camera = "a \\" @seed:3"',
        '@split:"my notes" not label:dog',
        "(label:dog or label:cat) and width > 3",
        "@version:2024-01-31T12:30:00Z width > 1",
    ],
)
def test_a_refined_query_asks_for_both(query: str) -> None:
    condition = "objects >= 2 and objects < 4"
    before, refined = parse(query), parse(wording.refine(query, condition))
    added = parse(condition).where
    assert isinstance(refined.where, And)
    assert isinstance(added, And)
    assert refined.where.parts[-2:] == added.parts
    rest = refined.where.parts[:-2]
    assert before.where in (rest[0], And(rest)) or before.where is None
    for option in ("split", "phase", "limit", "seed", "version", "sample"):
        assert getattr(refined, option) == getattr(before, option)


@pytest.mark.parametrize("query", ["label:dog", "label:dog or label:cat", "", "@limit:5"])
def test_what_was_added_last_goes_again(query: str) -> None:
    once = wording.refine(query, "width >= 3")
    assert wording.refine(once, "width >= 3") == query


@pytest.mark.parametrize(
    ("typed", "begin", "first"),
    [
        ("", 0, "key"),
        ("wi", 0, "width"),
        ("width > 3 and la", 14, "label"),
        ("labels.c", 0, "labels.cat"),
        ('labels."traf', 0, 'labels."traffic light"'),
        ("labels.light", 0, 'labels."traffic light"'),
        ("traf", 0, 'labels."traffic light"'),
        ("label:", 6, "dog"),
        ("label = c", 8, "cat"),
        ("not split != v", 13, "val"),
        ("@phase:", 7, "train"),
        ("@sp", 0, "@split:0.8:0.1:0.1"),
        ("my", 0, '"my notes"'),
        ("(ob", 1, "objects"),
    ],
)
def test_a_query_is_completed(typed: str, begin: int, first: str) -> None:
    made = complete(typed, FIELDS, FIELDS.columns)
    assert made.begin == begin
    assert made.suggestions[0].text == first


def test_of_thousands_of_labels_a_few_are_proposed() -> None:
    fields = Fields({}, [f"n{number:05d}" for number in range(20_000)], ["train"])
    assert complete("labels.n0199", fields, fields.columns).suggestions[0].text == "labels.n01990"
    assert len(complete("labels.", fields, fields.columns).suggestions) == 12


def test_where_nothing_fits_nothing_is_proposed() -> None:
    assert complete("width > 3 xyzzy", FIELDS, FIELDS.columns).suggestions == ()

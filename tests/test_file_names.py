"""Tests of tfstream/file_names.py."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream.errors import InvalidArgumentError
from tfstream.file_names import Template, path_fault, path_of

COLUMNS = ["key", "split", "label", "width", "file.source", "my column"]
ROW = {
    "key": "train/n01/7",
    "split": "val",
    "label": None,
    "format": "jpeg",
    "width": 500,
    "file.source": "a",
    "my column": None,
}
PIECES = ["/", ".", "..", "%", "a", "b", ".jpg", ".png", "2E", "\n", "é", "\0", " ", "~", "\\"]
KEYS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=300)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{key}{ext}", "train/n01/7.jpg"),
        ("{split}/{label}/{name}{ext}", "val/background/7.jpg"),
        ("{file.source}_{my column}_{width}px{ext}", "a_none_500px.jpg"),
        ("{{{name}}}{ext}", "{7}.jpg"),
    ],
)
def test_a_template_is_filled_from_the_metadata(text: str, name: str) -> None:
    assert Template(text, COLUMNS).fill(ROW) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{labl}/{name}{ext}", r"names \{labl\}.* did you mean \{label\}\? There are key, split"),
        ("{name{ext}", "a brace alone at character 1"),
        ("{name}}", "a brace alone at character 7"),
        ("{key.__class__}", r"names \{key.__class__\}"),
        ("{key!r}", r"names \{key!r\}"),
        ("{}", r"names \{\}"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        Template(text, COLUMNS)


@given(KEYS, st.sampled_from(["jpeg", "png", "gif", "what"]))
def test_a_key_always_makes_a_path_that_stays_below(key: str, format: str) -> None:
    path = path_of(key, format)
    assert path_fault(path) is None
    assert os.path.normpath(path) == path
    assert len(path.encode()) <= 1000


@given(st.lists(KEYS, min_size=2, max_size=6, unique=True), st.data())
def test_two_keys_never_have_one_path_nor_one_within_the_other(
    keys: list[str], data: st.DataObject
) -> None:
    paths = [path_of(key, data.draw(st.sampled_from(["jpeg", "png", "x"]))) for key in keys]
    for one, other in itertools.permutations(paths, 2):
        assert one != other
        assert not one.startswith(f"{other}/")


def test_plain_keys_keep_their_names() -> None:
    assert path_of("train/n01 (2)/été 7.1", "jpeg") == "train/n01 (2)/été 7.1.jpg"

"""Tests of tfstream/view/histograms.py: their bars count what their conditions select."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import tfstream
from tfstream.view.histograms import histograms, number_bars


@pytest.mark.parametrize("query", ["", "labels.cat >= 2", "scene is null"])
def test_each_bar_counts_the_records_of_its_condition(packed: Path, query: str) -> None:
    data = tfstream.open(packed).slice(query)
    made = {each.title: each for each in histograms(data.stored, data.fields)}
    assert list(made) == [
        "labels", "boxes an image", "width, px", "height, px",
        "camera", "day", "file.night", "scene",
    ]  # fmt: skip
    for title, histogram in made.items():
        bars = [*histogram.bars, *([histogram.missing] if histogram.missing else [])]
        for bar in bars:
            found = data.slice(bar.condition)
            if title == "labels" and bar is not histogram.missing:
                rows = found.metadata["labels"].to_pylist()
                assert bar.count == sum(dict(row)[bar.text] for row in rows)
            else:
                assert bar.count == len(found), bar
        if title != "labels":
            assert sum(bar.count for bar in bars) == len(data)


def test_values_that_are_too_many_are_not_shown(packed: Path, monkeypatch) -> None:
    monkeypatch.setattr("tfstream.view.histograms._MOST_TEXTS", 10)
    data = tfstream.open(packed)
    made = {each.title: each for each in histograms(data.stored, data.fields)}
    assert made["day"].bars == ()
    assert made["day"].others is None
    assert len(made["camera"].bars) == 3
    assert made["camera"].others == 0


_NUMBERS = st.one_of(
    st.lists(st.integers(-1000, 1_000_000), min_size=1, max_size=60),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60),
)


@hypothesis.given(_NUMBERS)
def test_every_number_is_in_one_column(values: list[float]) -> None:
    bars = number_bars("x", np.array(values, np.float64))
    assert 1 <= len(bars) <= 32
    assert sum(bar.count for bar in bars) == len(values)


def test_a_few_large_values_do_not_squeeze_the_others() -> None:
    bars = number_bars("objects", np.array([*range(10)] * 100 + [5000]))
    assert len(bars) == 10
    assert bars[-1].text == "9 or more"
    assert bars[-1].condition == "objects >= 9"
    assert bars[-1].count == 101

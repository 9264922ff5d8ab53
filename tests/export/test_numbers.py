"""Fractions as decimals: whoever reads them comes to the same float32."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfstream.export.numbers import corner, edge, middle, plain, shortest, span

fractions = st.floats(0, 1, width=32)
sides = st.integers(1, 40_000)
intervals = st.tuples(fractions, fractions).map(sorted).filter(lambda pair: pair[0] < pair[1])


@given(fractions, sides)
def test_an_edge_gives_the_fraction_back(fraction: float, side: int) -> None:
    shown = edge(fraction, side)
    assert np.float32(float(shown) / side) == np.float32(fraction)
    assert 0 <= float(shown) <= side


@given(intervals, sides)
def test_a_beginning_and_a_size_give_both_ends_back(interval: list[float], side: int) -> None:
    start, size = span(*interval, side)
    ends = [np.float32(start / side), np.float32(min(start + size, side) / side)]
    assert ends == [np.float32(end) for end in interval]
    assert size > 0


@given(intervals.filter(lambda pair: pair[0] == 0 or pair[0] > 1e-8))
def test_a_middle_and_a_size_give_both_ends_back(interval: list[float]) -> None:
    at, size = map(float, middle(*interval))
    ends = [np.float32(max(at - size / 2, 0)), np.float32(min(at + size / 2, 1))]
    assert ends == [np.float32(end) for end in interval]


@given(fractions)
def test_the_shortest_number_is_the_same_float32(fraction: float) -> None:
    assert np.float32(shortest(fraction)) == np.float32(fraction)


@given(fractions, sides)
def test_a_corner_that_is_read_as_float32_is_off_by_no_more_than_that(
    fraction: float, side: int
) -> None:
    read = np.float32(float(np.float32(float(corner(fraction, side)))) / side)
    np.testing.assert_allclose(read, np.float32(fraction), rtol=1.2e-7, atol=1e-44)


@given(st.integers(0, 4_000_000), sides)
def test_a_corner_that_came_from_pixels_is_given_back(hundredths: int, side: int) -> None:
    told = min(hundredths / 100, float(side))
    stored = float(np.float32(float(np.float32(told)) / side))
    assert np.float32(float(np.float32(float(corner(stored, side)))) / side) == np.float32(stored)


@given(fractions, sides)
def test_json_has_the_same_number(fraction: float, side: int) -> None:
    shown = edge(fraction, side)
    assert plain(shown) == float(shown)

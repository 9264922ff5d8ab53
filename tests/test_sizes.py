"""Tests of tfstream/sizes.py."""

from __future__ import annotations

import pytest

from tfstream.errors import InvalidArgumentError
from tfstream.sizes import parse_size


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (1, 1),
        ("7", 7),
        ("9007199254740993", 9_007_199_254_740_993),
        ("1kB", 1000),
        ("64 MB", 64_000_000),
        ("1GiB", 1 << 30),
        ("1.5k", 1500),
    ],
)
def test_sizes_have_units(given, size):
    assert parse_size(given) == size


@pytest.mark.parametrize(
    "wrong", ["", "MB", "-1", "1XB", "0", 0, -5, 1.5, True, None, "1e3", 2**63, "9" * 400 + "TB"]
)
def test_what_is_no_size_is_named(wrong):
    with pytest.raises(InvalidArgumentError, match="cache_limit=.* is not a size"):
        parse_size(wrong, "cache_limit")

"""The arithmetic of a pack."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream.errors import InvalidArgumentError
from tfstream.packing.options import Options
from tfstream.packing.plan import cut, key_hash, order, order_splits


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 400))
def test_shards_hold_all_records_and_are_as_long_as_the_limit_allows(sizes, limit):
    bounds = cut(np.array(sizes, np.int64), limit)
    assert bounds[0] == 0
    assert bounds[-1] == len(sizes)
    shards = [sizes[a:b] for a, b in itertools.pairwise(bounds)]
    assert all(sum(shard) <= limit or len(shard) == 1 for shard in shards)
    for shard, after in itertools.pairwise(shards):
        assert sum(shard) + after[0] > limit


def test_the_keyed_hash_is_pinned():
    # Another hash would move every record of every dataset that is packed again.
    assert key_hash("a", 7) == 7_078_814_453_563_312_774
    assert key_hash("train/n01440764/n01440764_00000", 7) == 15_941_402_344_234_232_532
    assert key_hash("ü", 7) == 11_109_336_287_761_530_442


def test_the_order_is_that_of_the_hashes_and_then_of_the_listing():
    assert order(np.array([5, 1, 5, 0, 1], np.uint64)).tolist() == [3, 1, 4, 0, 2]


def test_splits_come_in_the_conventional_order():
    names = ["zebra", "test", "val", "train", "extra"]
    assert order_splits(names) == ["train", "val", "test", "extra", "zebra"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": -1}, "seed=-1 must be a whole number from 0"),
        ({"seed": 2**64}, "seed="),
        ({"seed": 0.5}, "seed=0.5"),
        ({"on_invalid": "ignore"}, "on_invalid='ignore' is not one of 'error', 'skip', 'clip'"),
        ({"max_side": 0}, "max_side=0"),
        ({"quality": 101}, "quality=101 must be a whole number from 1 to 100"),
    ],
)
def test_options_out_of_range_are_named(wrong, words):
    with pytest.raises(InvalidArgumentError) as caught:
        Options(format="voc", **wrong)
    assert words in str(caught.value)

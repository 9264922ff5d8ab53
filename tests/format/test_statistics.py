"""Tests of tfstream/format/statistics.py."""

from __future__ import annotations

import itertools
import pickle
import random

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tfstream.format import index, statistics
from tfstream.format.index import Row
from tfstream.v1.manifest_pb2 import Range, Statistics

_labels = st.dictionaries(st.sampled_from(["cat", "dog", "cow"]), st.integers(1, 5))


@st.composite
def _rows(draw: st.DrawFn) -> Row:
    labels = draw(_labels)
    return Row(
        key="k",
        offset=0,
        length=16,
        width=draw(st.integers(1, 9000)),
        height=draw(st.integers(1, 9000)),
        format=draw(st.sampled_from(["jpeg", "png"])),
        orientation=draw(st.integers(1, 8)),
        bytes=draw(st.integers(0, 2**40)),
        label=next(iter(labels), None),
        objects=sum(labels.values()),
        labels=labels,
        metadata={},
    )


def _row(width: int, orientation: int, **labels: int) -> Row:
    return Row(
        "k", 0, 16, width, 10, "jpeg", orientation, 50, None, sum(labels.values()), labels, {}
    )


def test_each_sum_is_what_the_manifest_says_it_is() -> None:
    rows = [_row(10, 1, cat=2, dog=1), _row(20, 6, cat=1), _row(60, 1)]
    assert statistics.to_proto(statistics.summarize(rows)) == Statistics(
        records=3,
        image_bytes=150,
        objects=4,
        background=1,
        label_objects={"cat": 3, "dog": 1},
        label_records={"cat": 2, "dog": 1},
        formats={"jpeg": 3},
        rotated=1,
        width=Range(min=10, mean=30, max=60),
        height=Range(min=10, mean=10, max=10),
        boxes=Range(min=0, mean=4 / 3, max=3),
    )


@given(st.lists(_rows(), max_size=12), st.lists(st.integers(0, 12), max_size=4), st.randoms())
def test_parts_merge_to_the_whole_in_any_order(
    rows: list[Row], cuts: list[int], rng: random.Random
) -> None:
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [statistics.summarize(rows[a:b]) for a, b in itertools.pairwise(edges)]
    rng.shuffle(parts)
    parts = [pickle.loads(pickle.dumps(part)) for part in parts]
    whole = statistics.summarize(rows)
    assert statistics.merge(parts) == whole
    assert statistics.to_proto(statistics.merge(parts)) == statistics.to_proto(whole)


def test_no_records_make_empty_statistics() -> None:
    empty = Statistics(width=Range(), height=Range(), boxes=Range())
    assert statistics.to_proto(statistics.merge([])) == empty


@given(st.lists(_rows(), max_size=20), st.integers(0, 20))
def test_rows_of_a_table_have_the_sums_of_the_rows(rows: list[Row], begin: int) -> None:
    cells = [index.cells(row, {}) for row in rows]
    table = pa.Table.from_pylist(cells, schema=index.schema({})).slice(begin)
    batches = table.combine_chunks().to_batches()
    found = statistics.merge(map(statistics.summarize_batch, batches))
    assert found == statistics.summarize(rows[begin:])

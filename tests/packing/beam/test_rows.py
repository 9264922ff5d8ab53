"""Buckets one after the other are all records as they are stored, and cut as they are cut."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfstream.packing import plan
from tfstream.packing.beam.rows import Cutter, Numbers, Rows, bucket_of, by_bucket, sort
from tfstream.packing.spool import Batch

hashes = st.integers(0, 2**64 - 1) | st.integers(0, 3)
records = st.lists(st.tuples(hashes, st.sampled_from(["train", "val"]), st.integers(1, 90)))


def rows_of(some, ordinal=0):
    batch = Batch(
        entries=b"".join(bytes([size]) * (size % 3 + 1) for _, _, size in some),
        lengths=[size % 3 + 1 for _, _, size in some],
        hashes=[each for each, _, _ in some],
        frame_bytes=[size for _, _, size in some],
        slack=[1] * len(some),
        splits=[split for _, split, _ in some],
    )
    return Rows.of(batch, bytes(8 * len(some)), ordinal)


@given(records, st.integers(1, 7), st.integers(0, 200), st.integers(1, 5))
def test_shards_are_those_of_a_sort_of_all_records(some, buckets, limit, parts):
    grouped = {}
    bounds = [len(some) * part // parts for part in range(parts + 1)]
    for begin, end in pairwise(bounds):
        if begin < end:
            for bucket, rows in by_bucket(rows_of(some[begin:end], begin), buckets):
                grouped.setdefault(bucket, []).insert(0, rows)  # in any order
    cutters, found, entries = {}, {}, {}
    for bucket in sorted(grouped):
        whole = sort(Rows.join(grouped[bucket]))
        numbers = Numbers.from_bytes(whole.numbers.to_bytes())
        entries[bucket] = whole.entries
        for code, split in enumerate(numbers.names):
            mine = np.flatnonzero(numbers.splits == code)
            cutter = cutters.setdefault(split, Cutter(limit))
            sizes, begins = numbers.frame_bytes[mine], numbers.offsets[mine]
            found.setdefault(split, []).extend(
                cutter.add(bucket, sizes, begins, numbers.lengths[mine])
            )
    for split, cutter in cutters.items():
        found[split].extend(cutter.end())

    expected = {}
    stored = plan.order(np.array([each for each, _, _ in some], np.uint64)).tolist()
    for split in {split for _, split, _ in some}:
        mine = [some[place] for place in stored if some[place][1] == split]
        cuts = plan.cut(np.array([size for _, _, size in mine]), limit)
        for begin, end in pairwise(cuts):
            part = [size for _, _, size in mine[begin:end]]
            text = b"".join(bytes([size]) * (size % 3 + 1) for size in part)
            expected.setdefault(split, []).append((text, sum(part), len(part)))
    assert expected == {
        split: [
            (b"".join(entries[run.bucket][run.begin : run.end] for run in runs), size, count)
            for runs, size, count in shards
        ]
        for split, shards in found.items()
    }


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(1, 2**31))
def test_larger_hashes_are_in_later_buckets_of_which_there_are_so_many(some, buckets):
    found = bucket_of(np.array(sorted(some), np.uint64), buckets).tolist()
    assert found == sorted(found)
    assert found == [each * buckets >> 64 for each in sorted(some)] or buckets > 2**20
    assert 0 <= found[0] <= found[-1] < buckets

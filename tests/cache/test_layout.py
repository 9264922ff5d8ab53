"""Tests of tfstream/cache/layout.py."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tfstream.cache.layout import MARK, OBJECT_NAME, PAGE, About, Layout, missing_runs, read_about

ABOUT = About("gs://bucket/det/shards/a.tfrecord", "shards/a.tfrecord", "17", 3 * PAGE + 5)


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 5), st.integers(0, PAGE - 1))
def test_missing_runs_are_the_bytes_of_the_missing_pages(present, first, cut) -> None:
    size = (first + len(present)) * PAGE - (cut if present else 0)
    runs = missing_runs(bytes(present), first, size)
    covered = [byte // PAGE for begin, end in runs for byte in (*range(begin, end, PAGE), end - 1)]
    assert set(covered) == {first + page for page, there in enumerate(present) if not there}
    assert all(begin % PAGE == 0 and begin < end <= size for begin, end in runs)
    assert all(end % PAGE == 0 or end == size for _, end in runs)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(runs)), "joined, and in order"


@given(st.integers(0, 1 << 45))
def test_the_parts_of_a_file_follow_one_another(size) -> None:
    layout = Layout(About("gs://b/d/n", "n", "1", size))
    assert size <= layout.map_begin < size + PAGE
    assert layout.footer_begin - layout.map_begin == layout.pages == -(-size // PAGE)
    assert layout.end == layout.footer_begin + len(layout.footer)
    assert layout.footer.endswith(MARK)
    assert layout.mark_begin + len(MARK) == layout.end


@given(st.text(), st.text(), st.text(), st.integers(0, 10_000))
def test_a_file_says_what_it_holds(uri, name, generation, size) -> None:
    about = About(uri, name, generation, size)
    layout = Layout(about)
    descriptor = os.memfd_create("object")
    try:
        os.pwrite(descriptor, layout.footer, layout.footer_begin)
        assert read_about(descriptor) == about
        assert OBJECT_NAME.fullmatch(about.file_name)
    finally:
        os.close(descriptor)


@given(st.binary(max_size=200), st.booleans())
def test_a_file_of_anything_else_says_nothing(data, marked) -> None:
    descriptor = os.memfd_create("object")
    try:
        os.pwrite(descriptor, data + (MARK if marked else b""), 0)
        assert read_about(descriptor) is None
    finally:
        os.close(descriptor)


def test_a_file_that_was_cut_or_stretched_says_nothing(tmp_path: Path) -> None:
    layout = Layout(ABOUT)
    whole = bytes(layout.footer_begin) + layout.footer
    for data in (whole[:-1], whole[1:], b"\0" + whole, whole + b"\0", b""):
        path = tmp_path / "object"
        path.write_bytes(data)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            assert read_about(descriptor) is None
        finally:
            os.close(descriptor)


def test_names_differ_by_object_and_by_generation() -> None:
    other = About("gs://bucket/det/shards/b.tfrecord", "shards/b.tfrecord", "17", ABOUT.size)
    newer = About(ABOUT.uri, ABOUT.name, "18", ABOUT.size)
    assert len({about.file_name for about in (ABOUT, other, newer)}) == 3
    assert ABOUT.file_name[:32] == newer.file_name[:32] != other.file_name[:32]
    assert ABOUT.dataset == "gs://bucket/det"


def test_no_name_leads_out_of_the_cache() -> None:
    about = About("gs://bucket/../../etc/passwd", "../../etc/passwd\0", "/", 1)
    assert OBJECT_NAME.fullmatch(about.file_name)

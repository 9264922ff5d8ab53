"""Tests of tfstream/cache/space.py: the limit holds, and what was used longest ago goes first."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cached
from cached import SIZE, fill
from hypothesis import given
from hypothesis import strategies as st

from tfstream.cache import PAGE, PageCache
from tfstream.cache.space import Space, Stored, victims

Start = Callable[..., "subprocess.Popen[str]"]


def _age(cache: PageCache, number: int, seconds: float, generation: str = "1") -> None:
    then = time.time() - seconds
    path = cached.cached(cache, number, generation=generation)._path
    os.utime(path, (then, then))


def _stored(cache: PageCache, number: int, generation: str = "1") -> bool:
    return cached.cached(cache, number, generation=generation).missing(0, SIZE) == []


def _ledger(directory: Path) -> int:
    return int(struct.unpack("<q", (directory / "ledger").read_bytes())[0])


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1e6)),
        unique_by=(lambda file: file[:2], lambda file: file[2]),
    )
)
def test_old_generations_go_first_and_then_what_was_used_longest_ago(files) -> None:
    stored = [Stored(f"/c/{which:032x}-{state}", 1, at) for which, state, at in files]
    order = victims(stored)
    assert sorted(order, key=str) == sorted(stored, key=str)
    newest = {which: max(at for other, _, at in files if other == which) for which, _, _ in files}
    rank = [(file.used_at == newest[int(file.path[3:35], 16)], file.used_at) for file in order]
    assert rank == sorted(rank)


def test_the_least_recently_used_objects_go_down_to_nine_tenths(tmp_path: Path) -> None:
    each = SIZE + 3 * PAGE
    cache = PageCache(tmp_path, 10 * each)
    for number in range(9):
        assert fill(cached.cached(cache, number), number)
        _age(cache, number, 1000 - number)
    _age(cache, 0, 1)
    for number in range(9, 12):
        assert fill(cached.cached(cache, number), number)
        assert cached.disk_use(tmp_path) <= 10 * each
    assert [n for n in range(12) if not _stored(cache, n)][:2] == [1, 2]
    assert _stored(cache, 0)
    assert _stored(cache, 11)


def test_using_an_object_keeps_it(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, 3 * SIZE)
    for number in (0, 1):
        fill(cached.cached(cache, number), number)
        _age(cache, number, 100 - number)
    cached.cached(cache, 0)._touched_at = 0.0  # as if a second had passed
    with cached.cached(cache, 0).use():
        pass
    fill(cached.cached(cache, 2), 2)
    assert _stored(cache, 0)
    assert not _stored(cache, 1)


def test_an_old_generation_goes_before_older_objects(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, 4 * SIZE)
    fill(cached.cached(cache, 0), 0)
    _age(cache, 0, 1000)
    fill(cached.cached(cache, 1, generation="1"), 1)
    _age(cache, 1, 10)
    fill(cached.cached(cache, 1, generation="2"), 1)
    fill(cached.cached(cache, 2), 2)
    assert _stored(cache, 0)
    assert not _stored(cache, 1, "1")
    assert _stored(cache, 1, "2")


def test_nothing_is_stored_where_all_is_in_use_and_streaming_goes_on(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, 2 * SIZE)
    target = cached.cached(cache, 0)
    with target.use():
        assert fill(target, 0)
        assert not fill(cached.cached(cache, 1), 1)
        assert cached.check(target, 0, 0, SIZE) == SIZE
    assert cached.disk_use(tmp_path) <= 2 * SIZE


def test_more_than_the_limit_at_once_is_refused(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, 40 * PAGE)
    assert not fill(cached.cached(cache, 0), 0)
    assert fill(cached.cached(cache, 0), 0, 0, 10 * PAGE)


def test_a_ledger_that_counts_too_much_is_corrected_before_anything_goes(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, 4 * SIZE)
    fill(cached.cached(cache, 0), 0)
    (tmp_path / "ledger").write_bytes(struct.pack("<q", 4 * SIZE))  # a process died
    assert fill(cached.cached(cache, 1), 1)
    assert _stored(cache, 0)
    assert cached.disk_use(tmp_path) <= _ledger(tmp_path) <= cached.disk_use(tmp_path) + 3 * PAGE


def test_a_ledger_that_is_damaged_or_gone_is_counted_anew(tmp_path: Path) -> None:
    for damage in (b"", b"abc", b"\xff" * 8, None):
        cache = PageCache(tmp_path, 3 * SIZE)
        fill(cached.cached(cache, 0), 0)
        if damage is None:
            (tmp_path / "ledger").unlink()
        else:
            (tmp_path / "ledger").write_bytes(damage)
        for number in range(1, 5):
            assert fill(cached.cached(cache, number), number)
            assert cached.disk_use(tmp_path) <= 3 * SIZE
        cache.close()


def test_a_smaller_limit_than_before_takes_effect_at_the_next_store(tmp_path: Path) -> None:
    cache = PageCache(tmp_path)
    for number in range(8):
        fill(cached.cached(cache, number), number)
    small = PageCache(tmp_path, 3 * SIZE)
    assert fill(cached.cached(small, 9), 9, 0, PAGE)
    assert cached.disk_use(tmp_path) <= 3 * SIZE


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, 2 * SIZE)
    mine = [tmp_path / "photo.jpg", tmp_path / "objects" / "notes.txt"]
    mine.append(tmp_path / "objects" / f"{'a' * 32}-{'b' * 16}.pages.bak")
    for path in mine:
        path.write_bytes(bytes(5 * SIZE))
    for number in range(6):
        assert fill(cached.cached(cache, number), number)
    assert all(path.stat().st_size == 5 * SIZE for path in mine)


def test_four_writers_at_once_stay_below_the_limit(tmp_path: Path, start: Start) -> None:
    limit = 6 * SIZE  # of twelve objects
    writers = [start("train", tmp_path, limit, seed) for seed in range(4)]
    for writer in writers:
        assert writer.stdout.readline() == "1\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    most = 0
    while any(writer.poll() is None for writer in writers):
        most = max(most, cached.disk_use(tmp_path))
        time.sleep(0.001)
    outputs = [writer.communicate(timeout=120)[0].splitlines()[-1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4
    assert all(int(output.split()[2]) > 100 for output in outputs), "much was kept by all"
    assert limit / 2 < most <= limit + 4 * 62 * PAGE
    cache = PageCache(tmp_path, limit)
    space = Space(str(tmp_path), limit)
    space.recount()
    assert _ledger(tmp_path) == cached.disk_use(tmp_path)
    assert fill(cached.cached(cache, 0), 0)
    assert cached.disk_use(tmp_path) <= limit

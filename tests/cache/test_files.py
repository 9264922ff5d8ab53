"""Tests of tfstream/cache/files.py."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tfstream.cache.files import FileCache
from tfstream.errors import CacheError


def nothing() -> bytes:
    raise AssertionError("it is in the cache")


def put(cache: FileCache, name: str, content: bytes, at: float) -> None:
    with cache.hold(name, len(content), lambda: content) as path:
        os.utime(path, (at, at))


def test_a_file_is_made_once_and_found_again_by_others(tmp_path: Path) -> None:
    with FileCache(tmp_path, None).hold("a/b.jpg", 3, lambda: b"abc") as path:
        assert Path(path).read_bytes() == b"abc"
        assert path.endswith("/a/b.jpg")
    other = FileCache(tmp_path, None)
    assert other.has("a/b.jpg", 3)
    assert not other.has("a/b.jpg", 4)
    with other.hold("a/b.jpg", 3, nothing) as again:
        assert again == path


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 3 * 4096)
    for number in range(3):
        put(cache, f"{number}", b"x" * 4000, at=100 + number)
    with cache.hold("0", 4000, nothing):  # which makes it the newest
        pass
    put(cache, "3", b"x" * 4000, at=200)
    assert [cache.has(str(number), 4000) for number in range(4)] == [True, False, False, True]


def test_the_limit_holds_for_all_caches_of_the_directory_together(tmp_path: Path) -> None:
    one, two = FileCache(tmp_path, 40_960), FileCache(tmp_path, 40_960)
    for number in range(40):
        put(one if number % 2 else two, f"d/{number}", b"x" * 4096, at=number)
        used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        assert used <= 40_960 + 8  # and the ledger


def test_a_file_that_is_held_is_not_evicted(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 2 * 4096)
    with cache.hold("held", 4096, lambda: b"x" * 4096) as path:
        os.utime(path, (1, 1))
        for number in range(5):
            put(cache, str(number), b"y" * 4096, at=100 + number)
        assert Path(path).read_bytes() == b"x" * 4096


def test_what_does_not_fit_is_there_while_it_is_held_and_gone_then(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 10_000)
    with cache.hold("a/large.png", 20_000, lambda: b"x" * 20_000) as path:
        assert Path(path).stat().st_size == 20_000
        assert path.endswith("/a/large.png")
    assert not Path(path).exists()
    assert not cache.has("a/large.png", 20_000)


def test_without_a_directory_nothing_is_kept() -> None:
    cache = FileCache(None, None)
    with cache.hold("a/b", 1, lambda: b"1") as path:
        assert Path(path).read_bytes() == b"1"
    assert not Path(path).exists()


def test_half_a_file_that_a_crash_left_is_made_anew(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, None)
    with cache.hold("a", 4, lambda: b"abcd") as path:
        pass
    Path(path).write_bytes(b"ab")
    with cache.hold("a", 4, lambda: b"abcd") as again:
        assert Path(again).read_bytes() == b"abcd"


def test_nothing_but_its_own_files_is_deleted(tmp_path: Path) -> None:
    foreign = tmp_path / "objects" / "precious"
    foreign.parent.mkdir()
    foreign.write_bytes(b"x" * 50_000)
    cache = FileCache(tmp_path, 8192)
    for number in range(5):
        put(cache, str(number), b"y" * 4096, at=number)
    assert foreign.read_bytes() == b"x" * 50_000


def test_threads_that_want_one_file_all_get_it_whole(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 6 * 65_536)
    wrong: list[object] = []

    def use(first: int) -> None:
        for step in range(60):
            number = (first + step) % 12
            content = bytes([number]) * 65_536
            with cache.hold(f"d{number}/f", len(content), lambda c=content: c) as path:
                if Path(path).read_bytes() != content:
                    wrong.append(path)

    threads = [threading.Thread(target=use, args=(3 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


_USER = """
import pathlib, sys
from tfstream.cache.files import FileCache
cache = FileCache(sys.argv[1], 6 * 65536)
for step in range(80):
    number = (int(sys.argv[2]) + step) % 12
    content = bytes([number]) * 65536
    with cache.hold(f"d{number}/f", len(content), lambda: content) as path:
        assert pathlib.Path(path).read_bytes() == content
"""


def test_processes_share_it_while_files_come_and_go(tmp_path: Path) -> None:
    users = [
        subprocess.Popen([sys.executable, "-c", _USER, str(tmp_path), str(3 * number)])
        for number in range(3)
    ]
    assert [user.wait(60) for user in users] == [0, 0, 0]
    left = sum(path.stat().st_size for path in tmp_path.rglob("f"))
    assert left <= 6 * 65_536


def test_a_directory_that_cannot_be_one_is_told_of_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="Name another cache_directory"):
        FileCache(tmp_path / "file", None)

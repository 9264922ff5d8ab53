"""Tests of tfstream/storage/local.py."""

from __future__ import annotations

import concurrent.futures
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from tfstream import errors
from tfstream.storage import local


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.bin"
    with local.write_atomically(path) as file:
        file.write(b"abc")
        file.flush()
        assert not path.exists()
        (beside,) = path.parent.iterdir()
        assert beside.name.startswith(".")
        assert beside.name.endswith(local.TEMPORARY_SUFFIX)
    assert path.read_bytes() == b"abc"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]


def test_nothing_appears_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")

    def write_half(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match=r"stop"), local.write_atomically(path) as file:
        write_half(file)
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_an_error_of_the_blocks_own_keeps_its_name(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"image-that-is-not-there") as caught,
        local.write_atomically(tmp_path / "sub" / "a.bin"),
    ):
        Path("/image-that-is-not-there").read_bytes()
    assert not isinstance(caught.value, errors.TfstreamError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_no_space_left_is_said_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with (
        pytest.raises(errors.StorageError, match=r"Cannot write .*a\.bin: No space left") as caught,
        local.write_atomically(path),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert isinstance(caught.value, OSError)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(errors.StorageError, match=r"Cannot write .*Not a directory"),
        local.write_atomically(tmp_path / "file" / "sub" / "a.bin"),
    ):
        pass


@pytest.mark.parametrize("links", [True, False])
def test_a_file_there_already_is_left_as_it_was(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        # A file system without hard links cannot be had here: make its answer.
        def no_link(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_link)
    path = tmp_path / "deep" / "a.json"
    local.create_exclusively(path, b"one")
    with pytest.raises(errors.DatasetExistsError, match=r"a\.json exists already"):
        local.create_exclusively(path, b"two")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_of_racing_writers_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.json"

    def write(number: int) -> bool:
        try:
            local.create_exclusively(path, b"%d" % number)
        except errors.DatasetExistsError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(40)))
    assert sum(won) == 1
    assert path.read_bytes() == b"%d" % won.index(True)


def test_what_is_not_a_regular_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(errors.StorageError, match=r"pipe is not a regular file"),
        local.write_atomically(tmp_path / "pipe") as file,
    ):
        file.write(b"x")
    assert (tmp_path / "pipe").is_fifo()

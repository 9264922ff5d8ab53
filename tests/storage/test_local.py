"""Tests of tfstream/storage/local.py."""

from __future__ import annotations

import concurrent.futures
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from tfstream import errors
from tfstream.storage import local
from tfstream.storage.directory import Attempt
from tfstream.storage.local import LocalDirectory


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


@pytest.fixture
def directory(tmp_path: Path) -> LocalDirectory:
    return LocalDirectory(str(tmp_path / "data"))


def test_what_was_made_is_listed_and_read(directory: LocalDirectory) -> None:
    assert list(directory.list()) == []
    made = directory.create("a/b.json", b"0123456789")
    directory.create("c", b"")
    (directory.path / "a" / f".x{local.TEMPORARY_SUFFIX}").write_bytes(b"being written")
    assert (made.name, made.size) == ("a/b.json", 10)
    assert [info.name for info in directory.list()] == ["a/b.json", "c"]
    assert list(directory.list("a/")) == list(directory.list("a/b")) == [made]
    assert list(directory.list("b/")) == list(directory.list("c/")) == []
    assert directory.stat("a/b.json") == made
    assert directory.read("a/b.json", generation=made.generation) == b"0123456789"
    buffer, attempt = bytearray(4), Attempt()
    directory.read_range(made, 3, memoryview(buffer), attempt)
    assert (bytes(buffer), attempt.received) == (b"3456", 4)
    assert directory.locate("a/b.json") == str(directory.path / "a" / "b.json")


def test_an_object_that_is_there_is_not_replaced(directory: LocalDirectory, tmp_path: Path) -> None:
    directory.create("a", b"first")
    with pytest.raises(errors.ObjectExistsError, match=r"data/a exists already"):
        directory.create("a", b"other")
    (tmp_path / "same").write_bytes(b"first")
    (tmp_path / "other").write_bytes(b"other")
    assert directory.upload("a", tmp_path / "same") == directory.stat("a")
    with pytest.raises(errors.ObjectExistsError, match=r"data/a exists already, with other bytes"):
        directory.upload("a", tmp_path / "other")
    assert directory.read("a") == b"first"


def test_a_file_is_uploaded_with_its_progress(directory: LocalDirectory, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := os.urandom(3_000_000))
    told: list[int] = []
    assert directory.upload("deep/er/a", tmp_path / "file", told.append).size == len(data)
    assert sum(told) == len(data)
    assert directory.read("deep/er/a") == data
    with pytest.raises(errors.StorageError, match=r"Cannot read .*gone"):
        directory.upload("b", tmp_path / "gone")


def test_an_object_that_is_gone_or_changed_is_not_read(directory: LocalDirectory) -> None:
    info = directory.create("a", b"12345")
    directory.delete(info)
    directory.delete(info)
    for call in (directory.stat, directory.read):
        with pytest.raises(errors.ObjectNotFoundError, match=r"Cannot read .*data/a"):
            call("a")
    with pytest.raises(errors.ObjectChangedError, match=r"data/a was deleted"):
        directory.read_range(info, 0, memoryview(bytearray(5)), Attempt())
    other = directory.create("a", b"123456")
    directory.delete(info)
    assert directory.stat("a") == other
    with pytest.raises(errors.ObjectChangedError, match=r"data/a was overwritten"):
        directory.read("a", generation=info.generation)
    with pytest.raises(errors.ObjectChangedError, match=r"data/a ends at byte 6"):
        directory.read_range(other, 2, memoryview(bytearray(5)), Attempt())

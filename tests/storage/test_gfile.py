"""Tests of tfstream/storage/gfile.py, on TensorFlow's file system in memory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
import tiny_dataset

from tfstream import errors
from tfstream.format import manifest, verify
from tfstream.storage.directory import Attempt, Directory
from tfstream.storage.uri import open_directory

pytest.importorskip("tensorflow")


@pytest.fixture
def directory() -> Directory:
    return open_directory(f"ram://{secrets.token_hex(4)}/data")


def test_what_was_made_is_listed_and_read(directory: Directory) -> None:
    assert list(directory.list()) == []
    assert manifest.versions(directory) == []
    made = directory.create("a/b.json", b"0123456789")
    directory.create("c", b"")
    assert (made.name, made.size) == ("a/b.json", 10)
    assert [info.name for info in directory.list()] == ["a/b.json", "c"]
    assert list(directory.list("a/")) == [made]
    assert directory.stat("a/b.json") == made
    assert directory.read("a/b.json", generation=made.generation) == b"0123456789"
    buffer, attempt = bytearray(4), Attempt()
    directory.read_range(made, 3, memoryview(buffer), attempt)
    assert (bytes(buffer), attempt.received) == (b"3456", 4)


def test_what_is_there_is_not_replaced(directory: Directory, tmp_path: Path) -> None:
    directory.create("a", b"first")
    with pytest.raises(errors.ObjectExistsError, match=r"ram://.*/data/a exists already"):
        directory.create("a", b"other")
    (tmp_path / "same").write_bytes(b"first")
    (tmp_path / "other").write_bytes(b"other")
    assert directory.upload("a", tmp_path / "same").size == 5
    with pytest.raises(errors.ObjectExistsError, match=r"other bytes"):
        directory.upload("a", tmp_path / "other")
    assert directory.read("a") == b"first"
    assert [info.name for info in directory.list()] == ["a"]


def test_a_file_is_uploaded_with_its_progress(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := os.urandom(3_000_000))
    told: list[int] = []
    made = directory.upload("deep/er/a", tmp_path / "file", told.append)
    assert (made.size, sum(told)) == (3_000_000, 3_000_000)
    assert directory.read("deep/er/a") == data


def test_an_object_that_is_gone_or_changed_is_not_read(directory: Directory) -> None:
    info = directory.create("a", b"12345")
    directory.delete(info)
    directory.delete(info)
    with pytest.raises(errors.ObjectNotFoundError, match=r"/data/a does not exist"):
        directory.read("a")
    with pytest.raises(errors.ObjectChangedError, match=r"deleted"):
        directory.read_range(info, 0, memoryview(bytearray(5)), Attempt())
    other = directory.create("a", b"123456")
    directory.delete(info)
    assert directory.stat("a") == other
    with pytest.raises(errors.ObjectChangedError, match=r"overwritten"):
        directory.read("a", generation=info.generation)


def test_a_read_that_was_cut_short_ends(directory: Directory) -> None:
    info = directory.create("a", bytes(3 << 20))
    attempt = Attempt()
    attempt.cancel()
    with pytest.raises(errors.TransientError, match=r"cut short"):
        directory.read_range(info, 0, memoryview(bytearray(3 << 20)), attempt)


def test_an_unknown_scheme_is_told_with_the_way_out() -> None:
    unknown = open_directory("xyz://place/data")
    for call in (lambda: unknown.stat("a"), lambda: list(unknown.list("a/"))):
        with pytest.raises(errors.InvalidArgumentError, match=r"xyz://place.*tfstream\[io\]"):
            call()
    with pytest.raises(errors.InvalidArgumentError, match=r"names no directory"):
        open_directory("ram://")


def test_a_dataset_is_looked_at_and_verified_there(directory: Directory, tmp_path: Path) -> None:
    tiny = tiny_dataset.tiny(tmp_path / "data")
    for path in sorted(tiny.root.rglob("*.*")):
        directory.upload(path.relative_to(tiny.root).as_posix(), path)
    assert manifest.load(directory) == manifest.load(tiny.root)
    assert verify.verify(directory, processes=1) == []

"""Tests of tfstream/storage/reader.py and retry.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from emulator import Bucket
from hypothesis import given
from hypothesis import strategies as st

from tfstream import errors
from tfstream.storage import reader, retry
from tfstream.storage.directory import Attempt, Directory, ObjectInfo
from tfstream.storage.local import LocalDirectory
from tfstream.storage.uri import open_directory

DATA = os.urandom(10_000)


class _Distant(LocalDirectory):
    """A local directory that is read as one without a path."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._local = LocalDirectory(text)
        self.path = None  # type: ignore[assignment]

    def locate(self, name: str) -> str:
        return self._local.locate(name)

    def read_range(
        self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
    ) -> None:
        self._local.read_range(info, offset, buffer, attempt)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 11_000), st.integers(-1, 11_000)), min_size=1, max_size=8
    ),
    piece=st.integers(1, 4000),
)
def test_a_remote_file_reads_as_a_local_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]], piece: int
) -> None:
    root = tmp_path_factory.getbasetemp() / "reader"
    local = LocalDirectory(str(root))
    if not (root / "a").exists():
        local.create("a", DATA)
    info = local.stat("a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_PIECE", piece)
        with (
            reader.open_object(_Distant(str(root)), info) as far,
            reader.open_object(local, info) as near,
        ):
            for place, size in steps:
                assert far.seek(place) == near.seek(place)
                assert far.read(size) == near.read(size)
                assert far.tell() == near.tell()
            assert far.seek(-3, os.SEEK_END) == near.seek(-3, os.SEEK_END)
            assert far.read() == near.read()


def test_an_object_overwritten_amid_reading_is_told(bucket: Bucket) -> None:
    bucket.put("x", DATA)
    directory: Directory = open_directory(bucket.uri)
    file = reader.open_object(directory, directory.stat("x"))
    bucket.put("x", DATA[::-1])
    with pytest.raises(errors.ObjectChangedError, match=r"/x was overwritten"):
        file.read(5)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    local = LocalDirectory(str(tmp_path))
    with pytest.raises(errors.StorageError, match=r"Cannot read .*gone: No such file"):
        reader.open_object(local, ObjectInfo("gone", 1, "1"))


def test_patience_counts_from_the_last_success(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "_LONGEST_PAUSE", 0.05)
    bucket.put("x", DATA)
    directory = open_directory(bucket.uri)
    info = directory.stat("x")
    # Each try brings half of what is missing: 10,000 bytes take more than ten.
    bucket.proxy.script("truncate", count=10)
    assert reader.read_exactly(directory, info, 0, len(DATA), patience=0.2) == DATA
    bucket.proxy.script("503", count=10_000)
    with pytest.raises(errors.StorageError, match=r"given up") as caught:
        reader.read_exactly(directory, info, 0, len(DATA), patience=0.2)
    assert not isinstance(caught.value, errors.TransientError)

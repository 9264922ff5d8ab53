"""Tests of tfstream/versions/history.py and tags.py."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
from pathlib import Path

import pyarrow as pa
import pytest
import tiny_dataset
from memory_directory import MemoryDirectory
from tiny_dataset import Tiny

from tfstream import errors
from tfstream.format import manifest
from tfstream.format.verify import verify
from tfstream.versions import relabel, resolve, rollback, tag, versions


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


def _edit(root: object, number: int, time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(time))
    table = pa.table({"key": ["train/0"], "number": [number]})
    relabel(root, table, message=f"number {number}", author="ann")


@pytest.fixture
def grown(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Versions 1, without a time, 2 of noon and 3 of an hour later on 1970-01-02."""
    _edit(tiny.root, 70, 129_600, monkeypatch)
    _edit(tiny.root, 71, 133_200, monkeypatch)
    return tiny


def test_versions_are_listed_oldest_first(grown: Tiny) -> None:
    tag(grown.root, "gold", 2)
    tag(grown.root, "best", 2)
    first, second, third = versions(grown.root)
    assert (first.number, first.time, first.author, first.message) == (1, None, "", "")
    assert (first.operation, first.parent, first.commit) == ("", 0, "ab")
    assert second.time == datetime.datetime(1970, 1, 2, 12, tzinfo=datetime.timezone.utc)
    assert (second.author, second.message, second.operation) == ("ann", "number 70", "relabel")
    assert (second.parent, third.parent) == (1, 2)
    assert (second.tags, third.tags) == (("best", "gold"), ())
    assert [info.records for info in (first, second, third)] == [10, 10, 10]
    assert {info.bytes for info in (first, second, third)} == {7523}
    assert second.splits == {"train": 8, "val": 2}


def test_there_are_no_versions_where_there_is_no_dataset(tmp_path: Path) -> None:
    for call in (
        versions,
        lambda root: resolve(root, None),
        lambda root: resolve(root, "1970-01-01"),
    ):
        with pytest.raises(errors.DatasetNotFoundError, match="no dataset"):
            call(tmp_path)


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        (None, 3),
        (2, 2),
        ("2", 2),
        ("gold", 1),
        ("1970-01-02", 3),
        ("2026-01-31", 3),
        ("1970-01-02T12:00:00Z", 2),
        ("1970-01-02t12:59", 2),
        ("1970-01-02 13:00:00", 3),
        ("1970-01-02T14:00+02:00", 2),
        ("1970-01-02T13:00:00.5Z", 3),
        (datetime.datetime(1970, 1, 2, 12, 30), 2),
        (
            datetime.datetime(
                1970, 1, 2, 15, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
            ),
            3,
        ),
    ],
)
def test_a_version_goes_by_number_tag_or_time(grown: Tiny, asked: object, number: int) -> None:
    tag(grown.root, "gold", 1)
    assert resolve(grown.root, asked) == number


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("golf", r"no version 'golf'.*Nearest: 'gold'"),
        ("", r"no version ''"),
        ("../gold", r"no version"),
        ("1970-01-01", r"no version of 1970-01-01T23:59:59\+00:00 or before: version 2 is of 1970"),
        ("1970-01-02T11:59:59Z", r"Ask for a version by its number"),
    ],
)
def test_a_version_that_is_not_there_is_told(grown: Tiny, asked: str, told: str) -> None:
    tag(grown.root, "gold", 1)
    with pytest.raises(errors.DatasetNotFoundError, match=told):
        resolve(grown.root, asked)


@pytest.mark.parametrize("asked", ["1970-13-02", "1970-01-02T25:00", True, 1.5, []])
def test_what_is_no_version_is_refused(grown: Tiny, asked: object) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="version="):
        resolve(grown.root, asked)


def test_versions_without_a_time_are_found_by_number_alone(tiny: Tiny) -> None:
    with pytest.raises(errors.DatasetNotFoundError, match="no version says when it was made"):
        resolve(tiny.root, "2026-01-31")


def test_a_tag_stays_with_its_version(grown: Tiny) -> None:
    made = tag(grown.root, "gold", author="ann")
    assert (made.version, made.author) == (3, "ann")
    assert made.commit == manifest.load(grown.root, 3).commit
    plain = json.loads((grown.root / "tags" / "gold.json").read_text())
    assert plain.keys() == {"version", "commit", "time", "author"}
    assert tag(grown.root, "gold", 3, author="bob") == made
    with pytest.raises(errors.DatasetExistsError, match=r"'gold' is taken.*version 3.*never"):
        tag(grown.root, "gold", 2)
    assert resolve(grown.root, "gold") == 3


@pytest.mark.parametrize("name", ["", "7", "a/b", "..", "ü", "x" * 101])
def test_a_name_that_cannot_be_a_tag_is_refused(tiny: Tiny, name: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="cannot be"):
        tag(tiny.root, name)
    assert not (tiny.root / "tags").exists()


def test_only_a_version_that_there_is_gets_a_tag(tiny: Tiny) -> None:
    with pytest.raises(errors.DatasetNotFoundError, match="no version 9"):
        tag(tiny.root, "gold", 9)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": "1", "commit": "a"}', "[" * 100_000])
def test_a_damaged_tag_is_named(tiny: Tiny, text: str) -> None:
    tag(tiny.root, "gold")
    (tiny.root / "tags" / "gold.json").write_text(text)
    for call in (lambda: resolve(tiny.root, "gold"), lambda: versions(tiny.root)):
        with pytest.raises(errors.ManifestError, match=r"gold\.json is damaged"):
            call()


def test_a_tag_of_another_dataset_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    tag(tiny.root, "gold")
    other = json.loads((tiny.root / "manifests" / "00000001.json").read_text())
    (tiny.root / "manifests" / "00000001.json").write_text(json.dumps({**other, "commit": "cd"}))
    with pytest.raises(errors.ManifestError, match=r"commit ab as version 1, which is commit cd"):
        resolve(tiny.root, "gold")


def test_rolling_back_commits_an_old_version_anew(grown: Tiny) -> None:
    made = rollback(grown.root, 1, message="the labels were right", author="ann")
    assert (made.number, made.parent, made.operation) == (4, 3, "rollback")
    one, four = manifest.load(grown.root, 1), manifest.load(grown.root)
    assert (four.commit, four.splits, four.schema) == (one.commit, one.splits, one.schema)
    assert four.change.message == "the labels were right"
    assert verify(grown.root, processes=1) == []
    assert rollback(grown.root, "3", message="no, they were not").number == 5


def test_there_is_no_rolling_back_to_the_newest(grown: Tiny) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=r"Version 3 is the newest"):
        rollback(grown.root, 3, message="")
    with pytest.raises(errors.DatasetNotFoundError, match=r"no version 9"):
        rollback(grown.root, 9, message="")


def test_of_many_writers_one_makes_the_next_version(grown: Tiny) -> None:
    def attempt(number: int) -> str:
        try:
            return str(rollback(grown.root, 1, message=f"by {number}").number)
        except errors.DatasetExistsError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, range(8)))
    made = [number for number in results if number.isdecimal()]
    assert all("run it again" in text for text in results if text not in made)
    assert sorted(made) == sorted(str(n) for n in range(4, 4 + len(made)))
    assert manifest.versions(grown.root) == list(range(1, 4 + len(made)))


def test_a_dataset_elsewhere_has_versions_and_tags_too(grown: Tiny) -> None:
    remote = MemoryDirectory(
        {
            path.relative_to(grown.root).as_posix(): path.read_bytes()
            for path in grown.root.rglob("*")
            if path.is_file()
        }
    )
    tag(remote, "gold", 2)
    with pytest.raises(errors.DatasetExistsError, match="is taken"):
        tag(remote, "gold", 1)
    rollback(remote, "gold", message="")
    assert [(info.number, info.tags) for info in versions(remote)] == [
        (1, ()),
        (2, ("gold",)),
        (3, ()),
        (4, ()),
    ]

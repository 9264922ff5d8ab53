"""Tests of the verbs remove, relabel and versions; what they do is tested in tests/versions/."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import tiny_dataset
from tiny_dataset import Tiny


@pytest.fixture(autouse=True)
def _author(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFSTREAM_AUTHOR", "ann")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "129600")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    path = tmp_path / "night.csv"
    path.write_text("key,night\ntrain/6,true\n")
    return path


def test_removing_says_what_is_left(tfstream, tiny: Tiny) -> None:
    result = tfstream("remove", tiny.root, "number in [1, 8]", "-m", "blurred")
    assert (result.status, result.err) == (0, "")
    assert result.out == "removed 2 records: version 2 has 8 records (train 7, val 1)\n"
    result = tfstream("remove", tiny.root, "split = val", "-m", "none", "--force", "--json")
    told = json.loads(result.out)
    assert (told["number"], told["splits"]) == (3, {"train": 7, "val": 0})
    assert (told["author"], told["time"]) == ("ann", "1970-01-02T12:00:00Z")


def test_a_remove_that_is_not_done_is_status_2(tfstream, tiny: Tiny) -> None:
    for words, told in (
        (("number > 100", "-m", ""), "No record of version 1"),
        (("split = val", "-m", ""), "--force"),
        (("nmber > 1", "-m", ""), "number"),
        (("number > 1",), "message"),
    ):
        result = tfstream("remove", tiny.root, *words)
        assert result.status == 2
        assert told in result.err
    assert sorted(path.name for path in (tiny.root / "manifests").iterdir()) == ["00000001.json"]


def test_relabelling_shows_in_every_verb(tfstream, tiny: Tiny, edits: Path) -> None:
    result = tfstream("relabel", tiny.root, edits, "-m", "night", "--author", "bob")
    assert result.status == 0
    assert result.out.endswith("night.csv: version 2 has 10 records (train 8, val 2)\n")
    assert "night (bool)" in tfstream("info", tiny.root).out
    assert json.loads(tfstream("cat", tiny.root, "train/6").out)["metadata"] == {
        "half": 3.0,
        "night": True,
        "number": 6,
    }
    # Of the same shard, but with nothing in the new column; and of one that is as it was.
    for key in ("train/5", "val/8"):
        number = int(key[-1])
        told = json.loads(tfstream("cat", tiny.root, key).out)["metadata"]
        assert told == {"half": number / 2, "number": number}
    assert "night" not in tfstream("cat", tiny.root, "train/6", "--version", 1).out
    assert tfstream("verify", tiny.root).status == 0
    assert tfstream("query", tiny.root, "night", "--count").out == "1\n"
    edits.write_text("key,number\ntrain/6,x\n")
    result = tfstream("relabel", tiny.root, edits, "-m", "")
    assert result.status == 2
    assert "row 1, column 'number'" in result.err


def test_versions_are_listed(tfstream, tiny: Tiny) -> None:
    tfstream("remove", tiny.root, "number = 1", "-m", "a\nb\x1b[31m")
    tfstream("versions", tiny.root, "tag", "gold")
    result = tfstream("versions", tiny.root)
    assert result.status == 0
    heads, first, second = result.out.splitlines()
    assert heads.split()[:4] == ["version", "records", "bytes", "made"]
    assert first.split() == ["1", "10", "7.5", "kB", "-", "-", "-", "-"]
    assert " ".join(second.split()) == (
        "2 9 7.5 kB remove 1970-01-02 12:00:00 ann gold a b\\x1b[31m"
    )
    assert tfstream("versions", tiny.root, "list").out == result.out
    told = json.loads(tfstream("versions", tiny.root, "--json").out)
    assert [each["number"] for each in told] == [1, 2]
    assert told[1]["tags"] == ["gold"]
    assert told[0]["time"] is None


def test_a_dataset_may_have_the_name_of_an_action(
    tfstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_dataset.tiny(tmp_path / "list")
    assert "10  7.5 kB" in tfstream("versions", "list").out
    assert tfstream("versions", "--project", "p", "list", "tag", "gold").status == 0
    assert "gold" in tfstream("versions", "--project", "p", "list", "list").out


def test_help_is_there_with_a_dataset_and_without(tfstream, tiny: Tiny) -> None:
    for words in (["--help"], ["-h"], [tiny.root, "--help"]):
        result = tfstream("versions", *words)
        assert result.status == 0
        assert "rollback" in result.out
    assert "--grace" in tfstream("versions", tiny.root, "gc", "--help").out
    for words in ([], [tiny.root, "nope"], [tiny.root, "--nope"], ["nowhere"]):
        assert tfstream("versions", *words).status == 2


def test_a_difference_is_shown_record_by_record(tfstream, tiny: Tiny, edits: Path) -> None:
    tfstream("remove", tiny.root, "number in [1, 8]", "-m", "")
    tfstream("relabel", tiny.root, edits, "-m", "")
    assert tfstream("versions", tiny.root, "diff", "1").out.splitlines() == [
        "from version 1 to version 3: 0 added, 2 removed, 1 changed",
        "- train/1",
        "~ train/6 (night)",
        "- val/8",
    ]
    told = json.loads(tfstream("versions", tiny.root, "diff", "2", "1", "--json").out)
    assert (told["before"], told["after"], told["added"]) == (2, 1, 2)
    assert told["records"][1] == {"kind": "added", "key": "val/8", "columns": []}
    assert json.loads(tfstream("versions", tiny.root, "diff", 1, 1, "--json").out)["records"] == []
    assert tfstream("versions", tiny.root, "diff", "1", "7").status == 2


def test_a_long_difference_is_cut(tfstream, tiny: Tiny) -> None:
    for query in ("split = train", "split = val"):
        tfstream("remove", tiny.root, query, "-m", "", "--force")
    tfstream("versions", tiny.root, "rollback", 1, "-m", "")
    edits = tiny.root / "all.csv"
    edits.write_text("key,x\n" + "".join(f"train/{n},1\n" for n in range(8)) + "val/8,1\nval/9,1\n")
    (tiny.root / "manifests" / "x").mkdir()
    tfstream("relabel", tiny.root, edits, "-m", "")
    assert len(tfstream("versions", tiny.root, "diff", "1").out.splitlines()) == 11


def test_going_back_and_forgetting_and_collecting(tfstream, tiny: Tiny) -> None:
    tfstream("remove", tiny.root, "number = 1", "-m", "")
    tfstream("remove", tiny.root, "number = 2", "-m", "")
    result = tfstream("versions", tiny.root, "rollback", "1", "-m", "better before")
    assert result.out == "rolled back to 1: version 4 has 10 records (train 8, val 2)\n"
    assert tfstream("versions", tiny.root, "retire", 2, 3).out == (
        "versions 2, 3 would be forgotten with --yes\n"
    )
    assert "cannot be retired" in tfstream("versions", tiny.root, "retire", 4).err
    assert "nothing that no version needs" in tfstream("versions", tiny.root, "gc").out
    assert tfstream("versions", tiny.root, "retire", 2, 3, "--yes").out.startswith(
        "forgot versions 2, 3"
    )
    out = tfstream("versions", tiny.root, "gc").out.splitlines()
    assert out[0] == "there is nothing that no version needs"
    assert out[1].startswith("2 files, ")
    then = time.time() - 8 * 86400
    for path in (tiny.root / "shards").iterdir():
        os.utime(path, (then, then))
    told = json.loads(tfstream("versions", tiny.root, "gc", "--json").out)
    assert (len(told["files"]), told["deleted"], told["freed"]) == (2, False, 0)
    assert "2 files" in tfstream("versions", tiny.root, "gc").out
    assert "would be deleted with --yes" in tfstream("versions", tiny.root, "gc").out
    assert len(list((tiny.root / "shards").iterdir())) == 8
    assert (
        tfstream("versions", tiny.root, "gc", "--yes")
        .out.splitlines()[-1]
        .startswith("deleted 2 files: ")
    )
    assert len(list((tiny.root / "shards").iterdir())) == 6
    assert tfstream("verify", tiny.root).status == 0
    assert tfstream("versions", tiny.root, "gc", "--grace", "soon").status == 2


def test_a_tag_and_a_time_name_a_version_to_every_verb(tfstream, tiny: Tiny) -> None:
    tfstream("remove", tiny.root, "number = 1", "-m", "")
    tfstream("remove", tiny.root, "number = 2", "-m", "")
    assert tfstream("versions", tiny.root, "tag", "gold", 2).out == "version 2 has the tag 'gold'\n"
    assert tfstream("versions", tiny.root, "tag", "gold", 1).status == 1
    assert (
        tfstream("info", tiny.root, "--version", "gold").out.splitlines()[1].startswith("version 2")
    )
    assert "version 3" in tfstream("verify", tiny.root, "--version", "1970-01-02").out
    assert tfstream("cat", tiny.root, "train/2", "--version", "gold").status == 0
    assert tfstream("query", tiny.root, "number = 2", "--count", "--version", "gold").out == "1\n"
    assert tfstream("info", tiny.root, "--version", "golf").status == 2

"""Tests of tfstream/cli/query.py."""

from __future__ import annotations

import json
from pathlib import Path

import numbered
import pytest
from emulator import Bucket

import tfstream as package


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return numbered.write(tmp_path / "packed", train=30, val=10)


def test_the_first_rows_are_shown_and_all_records_counted(tfstream, root: Path) -> None:
    result = tfstream("query", root, "labels.cat >= 1 and labels.dog = 0", "--limit", 2)
    assert result.status == 0
    head, first, second, blank, last = result.out.splitlines()
    assert head.split()[:6] == ["key", "split", "label", "objects", "width", "height"]
    assert head.split()[-3:] == ["night", "number", "scene"]
    assert first.split()[:4] == ["train/0001", "train", "cat", "1"]
    assert second.split()[0] == "train/0005"
    assert blank == ""
    assert last == "10 records (train 8, val 2), the first 2 shown"


def test_columns_are_chosen_and_their_values_written_plainly(tfstream, root: Path) -> None:
    shown = tfstream("query", root, "number<=1", "--columns", "key, labels,night,label").out
    assert shown.splitlines()[:3] == [
        "key         labels  night  label",
        "train/0000          false      -",
        "train/0001   cat 1   true    cat",
    ]
    result = tfstream("query", root, "--columns", "nihgt")
    assert result.status == 2
    assert "did you mean 'night'? There are key, split," in result.err


def test_a_terminal_shows_the_columns_that_fit(
    tfstream, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    lines = tfstream("query", root, "number=3").out.splitlines()
    assert lines[0].split() == ["key", "split", "label", "objects", "width"]
    assert lines[3].startswith("there are also the columns height, format, bytes, labels, night")


def test_count_prints_the_number_alone(tfstream, root: Path) -> None:
    assert tfstream("query", root, "--count").out == "40\n"
    assert tfstream("query", root, "number:>1000", "--count").out == "0\n"
    told = json.loads(tfstream("query", root, "number:<7", "--count", "--json").out)
    assert told == {"records": 7}
    assert tfstream("query", root, "number:>1000").out == "0 records\n"


def test_json_holds_rows_as_the_metadata_has_them(tfstream, root: Path) -> None:
    told = json.loads(tfstream("query", root, "number >= 3", "--json", "--limit", 1).out)
    assert told["records"] == 37
    (row,) = told["rows"]
    assert row["labels"] == {"cat": 1, "dog": 1}
    assert (row["key"], row["night"], row["scene"]) == ("train/0003", True, "scene 1")
    told = json.loads(tfstream("query", root, "--json", "--limit", 1, "--columns", "key").out)
    assert told["rows"] == [{"key": "train/0000"}]


def test_the_sql_is_shown_with_its_parameters_apart(tfstream, root: Path) -> None:
    evil = "x' OR 1=1; --"
    result = tfstream("query", root, f'scene:"{evil}" labels.cat=2', "--sql")
    predicate, *parameters = result.out.splitlines()
    assert predicate.count("?") == len(parameters)
    assert "1=1" not in predicate
    assert f"?1 = {evil!r}" in parameters
    told = json.loads(tfstream("query", root, f'scene:"{evil}"', "--sql", "--json").out)
    assert told["parameters"] == [evil]
    assert tfstream("query", root, "--sql").out == "TRUE\n"


def test_splits_and_data_points_of_a_query_are_told(tfstream, root: Path) -> None:
    last = tfstream("query", root, "@split:0.5:0.5").out.splitlines()[-1]
    assert last.startswith("40 records (train ")
    shown = tfstream("query", root, "@datapoint_by:scene", "--limit", 1).out.splitlines()
    assert shown[-1] == "14 data points, the first 1 shown"
    assert [line.split()[0] for line in shown[1:4]] == ["train/0000", "train/0001", "train/0002"]


def test_a_mistake_is_shown_where_it_is(tfstream, root: Path) -> None:
    result = tfstream("query", root, "night:true numbr:3")
    assert result.status == 2
    assert result.out == ""
    first, *_, text, caret = result.err.splitlines()
    assert first.startswith("error: ")
    assert "number" in result.err
    assert caret.index("^") - text.index("night") == len("night:true ")


def test_what_is_selected_is_exported(tfstream, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = tfstream(
        "query", root, "number:<9", "--export", out, "--template", "{scene}/{name}{ext}"
    )
    assert result.status == 0
    assert "wrote 9 images, " in result.err
    assert (out / "JPEGImages/scene 2/0007.png").read_bytes() == numbered.image(7).encoded
    assert (out / "Annotations/scene 2/0007.xml").is_file()
    again = tfstream("query", root, "number:<9", "--export", out)
    assert again.status == 2
    assert "is not empty" in again.err
    result = tfstream("query", root, "--template", "{name}")
    assert result.status == 2
    assert "--template is for --export" in result.err


def test_what_a_format_cannot_hold_is_told(tfstream, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = tfstream("query", root, "number:<9", "--export", out, "--format", "imagefolder")
    assert result.status == 0
    assert f"as imagefolder to {out}" in result.err
    assert "imagefolder cannot hold: objects beside the main one (2)" in result.err
    assert (out / "train/cat/train/0001.png").is_file()
    result = tfstream("query", root, "--export", tmp_path / "new", "--format", "yola")
    assert result.status == 2
    assert "did you mean 'yolo'?" in result.err
    result = tfstream("query", root, "--format", "yolo")
    assert result.status == 2
    assert "--format is for --export" in result.err


def test_what_is_selected_is_drawn(tfstream, root: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    assert tfstream("query", root, "number:<9", "--plot", picture).status == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    nothing = tfstream("query", root, "number:>1000", "--plot", tmp_path / "nothing.png")
    assert nothing.status == 2
    assert "there are no records to draw" in nothing.err
    assert not (tmp_path / "nothing.png").exists()
    result = tfstream("query", root, "--plot", picture)
    assert result.status == 1
    assert "exists already, and nothing is overwritten" in result.err


def test_what_is_selected_is_kept_and_asked_again(tfstream, root: Path) -> None:
    result = tfstream("query", root, "night:true", "--save", "nights", "--count")
    assert (result.status, result.out) == (0, "20\n")
    assert "kept as slice 'nights' of version 1" in result.err
    assert len(package.open(root, slice="nights")) == 20
    result = tfstream("query", root, "labels.dog>0", "--slice", "nights", "--count")
    assert result.out == "10\n"
    assert tfstream("query", root, "--version", 1, "--count").out == "40\n"
    result = tfstream("query", root, "--save", "nights")
    assert result.status == 1
    assert "nights" in result.err


def test_nothing_is_kept_where_something_else_goes_wrong(tfstream, root: Path) -> None:
    assert tfstream("query", root, "--save", "nights", "--export", root).status == 2
    unfit = tfstream("query", root, "--save", "no/name", "--export", root / "never")
    assert unfit.status == 2
    assert "'no/name' cannot be the name of a slice" in unfit.err
    assert not (root / "never").exists()
    assert tfstream("query", root, "--slice", "nights").status == 2


def test_a_bucket_is_asked_as_a_directory_is(tfstream, root: Path, bucket: Bucket) -> None:
    bucket.upload(root)
    local = tfstream("query", root, "night:true and width > 3", "--limit", 3)
    remote = tfstream("query", bucket.uri, "night:true and width > 3", "--limit", 3)
    assert (remote.status, remote.out) == (0, local.out)

"""Tests of tfstream/cli/info.py."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import tiny_dataset

from tfstream.format import manifest
from tfstream.v1.manifest_pb2 import Manifest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny_dataset.tiny(tmp_path / "data")
    return tmp_path / "data"


def test_splits_sizes_and_labels_are_shown(tfstream, root: Path) -> None:
    result = tfstream("info", root)
    assert result.status == 0
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[:2] == [str(root), "version 1"]
    assert "split records objects background shards bytes" in lines
    assert any(line.startswith("train 8 12 2 2 ") for line in lines)
    assert any(line.startswith("all 10 13 3 3 ") for line in lines)
    assert any(line.startswith("images: jpeg 6, png 4, 1 of them rotated") for line in lines)
    assert "width, px 100 104.5 109" in lines
    assert "objects 0 1.3 3" in lines
    assert "labels: 2 and background" in lines
    assert any(line.startswith("cat Cat 9 7 █") for line in lines)
    assert "metadata: half (float), number (int)" in lines


def test_json_has_all_of_it(tfstream, root: Path) -> None:
    told = json.loads(tfstream("info", root, "--json").out)
    assert (told["version"], told["versions"], told["records"]) == (1, [1], 10)
    train, val = told["splits"]
    assert train["records"] == 8
    assert train["label_objects"] == {"cat": 8, "dog": 4}
    assert train["width"] == {"min": 100.0, "mean": 103.5, "max": 107.0}
    assert val["bytes"] == (root / "shards" / "val-ab-00000.tfrecord").stat().st_size
    assert told["labels"][0] == {"index": 0, "name": "cat", "title": "Cat"}
    assert told["background"] == 2
    assert told["metadata"] == {"half": "float", "number": "int"}


def test_a_version_can_be_named(tfstream, root: Path) -> None:
    newer = manifest.load(root)
    newer.version = 2
    del newer.splits[1:]
    manifest.commit(root, newer)
    assert "version 2 (there are also: 1)" in tfstream("info", root).out
    assert "version 1 (there are also: 2)" in tfstream("info", root, "--version", 1).out
    result = tfstream("info", root, "--version", 3)
    assert result.status == 2
    assert "has no version 3: it has 1, 2." in result.err


def _many_labels(root: Path) -> None:
    many = Manifest(version=1)
    split = many.splits.add(name="train")
    split.statistics.records = 100
    split.shards.add(path="a", index_path="b", records=100)
    for number in range(50):
        title = f"a thing of the kind {number}, which has a long title indeed, and synonyms"
        many.labels.labels.add(name=f"n{number:08d}", title=title)
        split.statistics.label_objects[f"n{number:08d}"] = 1000 * (50 - number)
        split.statistics.label_records[f"n{number:08d}"] = 100
    manifest.commit(root, many)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_of_many_labels_the_most_frequent_are_shown(
    tfstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    _many_labels(tmp_path)
    lines = tfstream("info", tmp_path).out.splitlines()
    at = lines.index("labels: 50")
    assert len(lines[at + 2 :]) == 21
    assert lines[-1].split() == ["...", "and", "30", "more", "(--all)", "465,000"]
    assert max(map(len, lines[at:])) <= columns
    every = tfstream("info", tmp_path, "--all").out.splitlines()
    assert "n00000049" in every[-1]


def test_a_dataset_without_records_is_shown(tfstream, tmp_path: Path) -> None:
    manifest.commit(tmp_path, Manifest(version=1))
    result = tfstream("info", tmp_path)
    assert result.status == 0
    assert "all          0" in result.out


def test_a_terminal_without_blocks_gets_plain_bars(
    tfstream, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii", write_through=True))
    assert tfstream("info", root).status == 0
    assert b"9        7  ####" in written.getvalue()

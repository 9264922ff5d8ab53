"""Tests of tfstream/cli/split.py."""

from __future__ import annotations

import json
from pathlib import Path

import numbered
import pytest

import tfstream as package


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return numbered.write(tmp_path / "packed", train=60)


def test_the_sizes_of_the_parts_are_shown(tfstream, root: Path) -> None:
    result = tfstream("split", root, "train=0.5", "val=0.25")
    assert result.status == 0
    head, train, val, rest, last = result.out.splitlines()
    assert head.split() == ["part", "records", "share"]
    sizes = [int(line.split()[-3]) for line in (train, val, rest)]
    assert sum(sizes) == 60
    assert sizes[0] > sizes[1] > 0
    assert rest.startswith("(in none)")
    assert last == "of 60 records of version 1"


def test_the_parts_are_those_of_partition(tfstream, root: Path) -> None:
    told = json.loads(
        tfstream("split", root, "a=0.6", "b=0.4", "--by", "scene", "--seed", 7, "--json").out
    )
    made = package.open(root).partition(a=0.6, b=0.4, by="scene", seed=7)
    sizes = {"a": {"records": len(made.a)}, "b": {"records": len(made.b)}}
    assert told == {"records": 60, "version": 1, "seed": 7, "parts": sizes}
    told = json.loads(tfstream("split", root, "a=0.5", "--stratify", "night", "--json").out)
    assert told["parts"]["a"]["records"] == 30


def test_kept_parts_are_slices_that_share_nothing(tfstream, root: Path) -> None:
    result = tfstream(
        "split", root, "train=0.7", "val=0.3", "--query", "night:true", "--save", "nights"
    )
    assert result.status == 0
    assert result.out.splitlines()[1].split()[-1] == "nights-train"
    parts = [package.open(root, slice=f"nights-{name}") for name in ("train", "val")]
    keys = [part.metadata["key"].to_pylist() for part in parts]
    assert sorted(keys[0] + keys[1]) == [f"train/{n:04d}" for n in range(1, 60, 2)]
    told = tfstream("split", root, "a=0.5", "b=0.5", "--slice", "nights-train", "--json").out
    assert json.loads(told)["records"] == len(parts[0])


def test_where_one_name_is_taken_no_part_is_kept(tfstream, root: Path) -> None:
    package.open(root).save("x-val")
    result = tfstream("split", root, "train=0.5", "val=0.5", "--save", "x")
    assert result.status == 1
    assert "has a slice 'x-val' already" in result.err
    assert not (root / "slices" / "x-train.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["train=0.8", "val=0.3"], "more than 1"),
        (["train"], "'train' is not a part: write a name and a fraction"),
        (["train=much"], "'train=much' is not a part"),
        (["by=0.5"], "'by' cannot name a part"),
        (["class=0.5"], "'class' cannot name a part"),
        (["a=0.5", "a=0.1"], "the part 'a' is given twice"),
        (["a=0.5", "--by", "scen"], "scene"),
        (["a=0.5", "--query", "numbr:3"], "number"),
        (["a=nan"], "nan"),
        (["a=-0.5"], "-0.5"),
    ],
)
def test_what_cannot_be_split_is_told(tfstream, root: Path, arguments: list[str], why: str) -> None:
    result = tfstream("split", root, *arguments)
    assert result.status == 2
    assert why in result.err

"""Tests of `tfstream bench`."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest
import trees

from tfstream.packing.packer import pack


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    trees.make_ilsvrc_tree(root / "tree", train=20, val=4)
    pack(root / "tree", root / "packed", progress=False)
    return root / "packed"


def test_a_table_and_a_picture_say_where_the_time_goes(tfstream, packed: Path, tmp_path: Path):
    picture = tmp_path / "bench.png"
    options = ("--size", 32, "--batch-size", 4, "--boxes", "--seconds", 1, "--plot", picture)
    done = tfstream("bench", packed, "--split", "train", *options)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"{packed}: 20 records, batches of 4, 32x32 uint8"
    named = [line.split("  ")[0] for line in lines[3:11]]
    assert named == [
        "read", "parse", "decode", "augment", "batch", "together", "the stream", "from memory",
    ]  # fmt: skip
    assert "bottleneck: " in done.out
    assert "what to change:\n  - " in done.out
    with PIL.Image.open(picture) as drawn:
        assert drawn.size[0] > 800


def test_json_holds_all_of_it(tfstream, packed: Path):
    query = ("--query", "width > 0 and @limit:10")
    done = tfstream("bench", packed, "--size", "16x24", "--seconds", 0.5, *query, "--json")
    told = json.loads(done.out)
    assert told["records"] == 10
    assert told["summed_cpu"] == pytest.approx(sum(each["cpu"] for each in told["stages"]))
    assert told["whole"]["slowest"] <= told["whole"]["rate"] <= told["whole"]["fastest"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "big"), "--size 'big' is not the size of an image: give pixels"),
        (("--mode", "stretch"), "mode must be one of 'resize'"),
        (("--split", "dev"), "has no split 'dev'"),
        (("--seconds", 0), "seconds must be positive"),
        (("--query", "width > 9999"), "holds no record to make a stream of"),
    ],
)
def test_wrong_options_are_one_line(tfstream, packed: Path, options, message):
    done = tfstream("bench", packed, *options)
    assert (done.status, done.out) == (2, "")
    assert message in done.err

"""Tests of tfstream/cli/verify.py; what is found is tested with format/verify.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_dataset
from tiny_dataset import Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


def test_a_sound_dataset_is_status_0(tfstream, tiny: Tiny) -> None:
    result = tfstream("verify", tiny.root)
    assert result.status == 0
    assert result.out.startswith("version 1: 10 records in 3 shards, 7.5 kB, in ")
    assert result.out.endswith(": all is well\n")
    assert result.err == ""


def test_each_problem_is_a_line_and_the_status_1(tfstream, tiny: Tiny) -> None:
    tiny.shard(1).unlink()
    tiny.index(0).write_bytes(b"")
    result = tfstream("verify", tiny.root, "--version", 1, "--processes", 1)
    assert result.status == 1
    lines = result.out.splitlines()
    assert lines[0].startswith(f"{tiny.index(0)}: ")
    assert lines[1] == f"{tiny.shard(1)}: the shard is missing"
    assert lines[2].endswith(": 2 problems")


def test_json_lists_the_problems(tfstream, tiny: Tiny) -> None:
    data = bytearray(tiny.shard().read_bytes())
    data[40] ^= 1
    tiny.shard().write_bytes(data)
    result = tfstream("verify", tiny.root, "--json")
    assert result.status == 1
    told = json.loads(result.out)
    assert (told["shards"], told["records"], told["bytes"]) == (3, 10, 7523)
    (problem,) = told["problems"]
    assert problem["path"] == str(tiny.shard())
    assert (problem["offset"], problem["key"]) == (0, "train/0")
    assert "CRC32C" in problem["reason"]
    assert tfstream("verify", tiny.root, "--processes", 0).status == 2

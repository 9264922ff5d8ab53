"""`tfstream index` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign_records
import pytest
import scenes

IMAGES = [scenes.image(scene, "left") for scene in range(1, 5)]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return foreign_records.write_tfds(tmp_path / "scenes", IMAGES)


def test_it_says_what_the_features_are_and_what_was_made(
    shards: Path, tfstream: Callable[..., Any]
) -> None:
    result = tfstream("index", shards)
    assert result.status == 0
    assert "Features: image=image, filename=image/filename, boxes=objects/bbox" in result.err
    assert result.out.startswith("indexed 4 images (train 4)")
    assert f"tfstream verify {shards}" in result.out
    assert tfstream("verify", shards).status == 0
    told = tfstream("cat", shards, f"{IMAGES[0].key}.jpg")
    assert json.loads(told.out)["objects"][0]["label"] == IMAGES[0].objects[0].label
    assert '"records": 4' in tfstream("info", shards, "--json").out


def test_options_are_read_and_json_is_printed(
    shards: Path, tmp_path: Path, tfstream: Callable[..., Any]
) -> None:
    result = tfstream(
        *("index", f"{shards}/*.tfrecord*", "--into", tmp_path / "made", "--json"),
        *("--split", "a=*00000-of*", "--split", "b=*00001-of*", "--feature", "key="),
    )
    assert result.status == 0
    plain = json.loads(result.out)
    assert plain["splits"] == {"a": 2, "b": 2}
    assert "key" not in plain["features"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--split", "train"], "--split 'train' is not of the form NAME=GLOB"),
        (["--feature", "image=a", "--feature", "image=b"], "--feature 'image=b' is given twice"),
        (["--feature", "picture=image"], "A feature cannot be the 'picture' of a record"),
        (["--ignore", "nothing"], "has a feature 'nothing'"),
    ],
)
def test_a_mistake_is_told_and_the_status_is_two(
    shards: Path, tfstream: Callable[..., Any], options: list[str], told: str
) -> None:
    result = tfstream("index", shards, *options)
    assert result.status == 2
    assert told in result.err

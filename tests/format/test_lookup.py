"""Tests of tfstream/format/lookup.py."""

from __future__ import annotations

from pathlib import Path

from tfstream.format import index
from tfstream.format.lookup import key_at


def _row(number: int) -> index.Row:
    return index.Row(
        key=f"train/{number}",
        offset=number * 100,
        length=100,
        width=640,
        height=480,
        format="jpeg",
        orientation=1,
        bytes=80,
        label=None,
        objects=0,
        labels={},
        metadata={},
    )


def test_the_key_at_a_place_comes_from_the_index_beside_the_shard(tmp_path: Path) -> None:
    index.write(tmp_path / "s-0.parquet", [_row(0), _row(1), _row(2)], {})
    assert key_at(tmp_path / "s-0.tfrecord", 200) == "train/2"
    assert key_at(tmp_path / "s-0.tfrecord", 1) is None
    assert key_at(tmp_path / "s-1.tfrecord", 0) is None
    (tmp_path / "s-0.parquet").rename(tmp_path / "s-0-c0ffee.parquet")  # a later version's
    assert key_at(tmp_path / "s-0.tfrecord", 200) == "train/2"

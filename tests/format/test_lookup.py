"""Tests of tfstream/format/lookup.py."""

from __future__ import annotations

from pathlib import Path

from tfstream.format import index
from tfstream.format.lookup import key_at
from tfstream.v1.annotated_image_pb2 import AnnotatedImage


def _row(number: int) -> index.Row:
    image = AnnotatedImage(key=f"train/{number}", format="jpeg", width=640, height=480)
    return index.Row.of(image, offset=number * 100, length=100)


def test_the_key_at_a_place_comes_from_the_index_beside_the_shard(tmp_path: Path) -> None:
    index.write(tmp_path / "s-0.parquet", [_row(0), _row(1), _row(2)], {})
    assert key_at(tmp_path / "s-0.tfrecord", 200) == "train/2"
    assert key_at(tmp_path / "s-0.tfrecord", 1) is None
    assert key_at(tmp_path / "s-1.tfrecord", 0) is None
    (tmp_path / "s-0.parquet").rename(tmp_path / "s-0-c0ffee.parquet")  # a later version's
    assert key_at(tmp_path / "s-0.tfrecord", 200) == "train/2"

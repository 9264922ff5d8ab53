"""Tests of tfstream/format/keys.py."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import tiny_dataset
from tiny_dataset import Tiny

from tfstream import errors
from tfstream.format import example, keys, manifest, record


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


def test_every_key_leads_to_its_record(tiny: Tiny) -> None:
    loaded = manifest.load(tiny.root)
    for number in range(10):
        key = f"{'train' if number < 8 else 'val'}/{number}"
        place = keys.find(tiny.root, loaded, key)
        assert place.split == key.split("/")[0]
        payload = record.read_record(place.shard, place.offset, place.length, key=key)
        assert example.decode(payload).key == key


def test_a_key_that_is_not_there_is_answered_with_the_nearest(tiny: Tiny) -> None:
    loaded = manifest.load(tiny.root)
    with pytest.raises(errors.NoSuchKeyError, match=r"10 records of .*'val/7'\. Nearest: 'val/"):
        keys.find(tiny.root, loaded, "val/7")
    with pytest.raises(errors.NoSuchKeyError, match=r"Nothing comes near"):
        keys.find(tiny.root, loaded, "")


def test_a_damaged_index_matters_only_where_the_key_may_be_in_it(tiny: Tiny) -> None:
    loaded = manifest.load(tiny.root)
    tiny.index(0).write_bytes(b"nonsense")
    assert keys.find(tiny.root, loaded, "train/5").split == "train"
    with pytest.raises(errors.CorruptRecordError, match=r"00000\.parquet cannot be read"):
        keys.find(tiny.root, loaded, "train/1")


def test_the_nearest_keys_do_not_depend_on_the_shards() -> None:
    every = [f"train/n{folder:04d}/n{folder:04d}_{i}" for folder in range(30) for i in range(40)]
    wanted = "train/n0017/n0017_390"
    for parts in (1, 7):
        columns = [pa.chunked_array([every[part::parts]]) for part in range(parts)]
        found = keys.nearest(columns, wanted)
        assert found[0] == "train/n0017/n0017_39"
        assert found == keys.nearest([pa.chunked_array([every])], wanted)
    assert keys.nearest([], wanted) == []

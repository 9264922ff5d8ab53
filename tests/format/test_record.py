"""Tests of tfstream/format/record.py."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream import errors
from tfstream.format import record

PAYLOADS = [b"first", b"", b"\0" * 5000, b"last"]


def _shard(path: Path) -> list[tuple[int, int]]:
    with open(path, "wb") as file:
        writer = record.ShardWriter(file)
        return [writer.append(payload) for payload in PAYLOADS]


@given(st.binary(max_size=300))
def test_a_frame_gives_its_payload_back(payload: bytes) -> None:
    framed = record.frame(payload)
    assert len(framed) == len(payload) + record.FRAME_BYTES
    assert record.unframe(framed, path="x", offset=0) == payload


@given(st.binary(max_size=60), st.data())
def test_no_flipped_bit_goes_unseen(payload: bytes, data: st.DataObject) -> None:
    framed = bytearray(record.frame(payload))
    bit = data.draw(st.integers(0, len(framed) * 8 - 1))
    framed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.CorruptRecordError, match=r"byte 7 of x\.tfrecord \(key 'a/b'\)"):
        record.unframe(bytes(framed), path="x.tfrecord", offset=7, key="a/b")


@given(st.binary(max_size=60), st.data())
def test_no_missing_byte_goes_unseen(payload: bytes, data: st.DataObject) -> None:
    framed = record.frame(payload)
    short = framed[: data.draw(st.integers(0, len(framed) - 1))]
    with pytest.raises(errors.CorruptRecordError):
        record.unframe(short, path="x", offset=0)
    with pytest.raises(errors.CorruptRecordError, match=r"states a payload of"):
        record.unframe(framed + b"\0", path="x", offset=0)


def test_the_writer_knows_where_each_record_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    places = _shard(path)
    assert places == [(0, 21), (21, 16), (37, 5016), (5053, 20)]
    assert path.read_bytes() == b"".join(map(record.frame, PAYLOADS))
    assert [record.read_record(path, *place) for place in places] == PAYLOADS
    with record.OpenShard(path) as shard:
        assert [shard.read(*place) for place in reversed(places)] == PAYLOADS[::-1]


def test_a_shard_that_was_cut_while_it_is_open_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    places = _shard(path)
    with record.OpenShard(path) as shard:
        os.truncate(path, places[2][0] + 100)
        assert shard.read(*places[1]) == PAYLOADS[1]
        for place in places[2:]:
            with pytest.raises(errors.CorruptRecordError, match=f"at byte {place[0]} of"):
                shard.read(*place)


def test_tensorflow_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    ours, theirs = tmp_path / "ours.tfrecord", tmp_path / "theirs.tfrecord"
    _shard(ours)
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert ours.read_bytes() == theirs.read_bytes()
    assert list(tf.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == PAYLOADS


def test_a_place_where_no_record_can_lie_is_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    _shard(path)
    for offset, length in [(0, 1 << 60), (1 << 62, 20), (-1, 20), (0, 15), (5053, 21)]:
        with pytest.raises(errors.CorruptRecordError, match=r"cannot lie there: the file has 5073"):
            record.read_record(path, offset, length, key="k")
    with pytest.raises(errors.CorruptRecordError, match=r"byte 1 of .*a\.tfrecord \(key 'k'\)"):
        record.read_record(path, 1, 21, key="k")


def test_a_length_that_lies_is_refused() -> None:
    lie = struct.pack("<Q", 1 << 31)
    header = lie + struct.pack("<I", record.masked_crc(lie))
    assert record.header_fault(header) == (
        "it states 2147483648 bytes; a record has less than 2 GiB"
    )


def test_a_shard_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match=r"Cannot read shard .*gone\.tfrecord: No such"):
        record.read_record(tmp_path / "gone.tfrecord", 0, 16)
    with pytest.raises(errors.StorageError, match=r"Is a directory"):
        record.read_record(tmp_path, 0, 16)

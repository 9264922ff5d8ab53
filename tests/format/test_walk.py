"""Tests of tfstream/format/walk.py."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream import errors
from tfstream.format import record
from tfstream.format.walk import walk

PAYLOADS = [b"first", b"", b"\x05" * 5000, b"fourth", b"last"]
STARTS = [0, *itertools.accumulate(len(payload) + record.FRAME_BYTES for payload in PAYLOADS)]
SHARD = b"".join(map(record.frame, PAYLOADS))


def _walk(path: Path, data: bytes, starts: list[int] | None = None) -> list[bytes | str | None]:
    """Payloads, and what is wrong where there is none; frames must cover the file."""
    path.write_bytes(data)
    frames = list(walk(path, starts=starts or ()))
    assert [frame.offset for frame in frames] == [
        0,
        *itertools.accumulate(frame.length for frame in frames[:-1]),
    ][: len(frames)]
    assert sum(frame.length for frame in frames) == len(data)
    for frame in frames:
        assert (frame.payload is None) == (frame.damage is not None)
    return [frame.damage if frame.damage else frame.payload for frame in frames]


def _flip(place: int) -> bytes:
    return SHARD[:place] + bytes([SHARD[place] ^ 1]) + SHARD[place + 1 :]


def test_a_sound_shard_gives_its_records(tmp_path: Path) -> None:
    assert _walk(tmp_path / "s", SHARD) == PAYLOADS
    assert _walk(tmp_path / "s", b"") == []


def test_a_damaged_payload_loses_its_record_alone(tmp_path: Path) -> None:
    found = _walk(tmp_path / "s", _flip(STARTS[2] + 100))
    assert "5000 bytes do not match" in str(found.pop(2))
    assert found == PAYLOADS[:2] + PAYLOADS[3:]


@pytest.mark.parametrize("byte", range(12))
def test_a_damaged_header_loses_its_record_alone_where_the_index_knows_the_next(
    tmp_path: Path, byte: int
) -> None:
    found = _walk(tmp_path / "s", _flip(STARTS[1] + byte), STARTS)
    assert "does not match the length's CRC32C" in str(found.pop(1))
    assert found == PAYLOADS[:1] + PAYLOADS[2:]


@pytest.mark.parametrize("byte", range(8, 12))
def test_a_length_is_believed_without_its_crc_where_a_record_follows(
    tmp_path: Path, byte: int
) -> None:
    found = _walk(tmp_path / "s", _flip(STARTS[2] + byte))
    assert len(found) == 5
    assert found[3:] == PAYLOADS[3:]


def test_without_a_way_on_the_walk_ends(tmp_path: Path) -> None:
    found = _walk(tmp_path / "s", _flip(STARTS[2]))
    assert found[:2] == PAYLOADS[:2]
    assert len(found) == 3


def test_a_cut_shard_says_how_much_is_missing(tmp_path: Path) -> None:
    found = _walk(tmp_path / "s", SHARD[:-3], STARTS)
    assert found[:4] == PAYLOADS[:4]
    assert "needs 20 bytes, and the file has 17 from there" in str(found[4])
    assert "only 9 of its 12 header bytes" in str(_walk(tmp_path / "s", SHARD[:-11])[4])


def test_a_length_that_lies_claims_no_memory(tmp_path: Path) -> None:
    def header(length: int) -> bytes:
        raw = struct.pack("<Q", length)
        return raw + struct.pack("<I", record.masked_crc(raw))

    tracemalloc.start()
    try:
        assert "needs" in str(_walk(tmp_path / "s", header((1 << 31) - 1) + b"rest"))
        assert "less than 2 GiB" in str(_walk(tmp_path / "s", header(1 << 62) + b"rest"))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@given(st.data())
def test_any_bytes_are_covered_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shard = bytearray(SHARD)
    for _ in range(data.draw(st.integers(0, 3))):
        begin = data.draw(st.integers(0, len(shard)))
        end = data.draw(st.integers(begin, min(len(shard), begin + 40)))
        shard[begin:end] = data.draw(st.binary(max_size=30))
    starts = sorted(data.draw(st.lists(st.integers(-5, len(SHARD) + 50), max_size=5)))
    _walk(tmp_path_factory.getbasetemp() / "any", bytes(shard), starts)


def test_a_shard_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match=r"Cannot read shard .*gone: No such file"):
        list(walk(tmp_path / "gone"))

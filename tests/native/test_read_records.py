"""The reading kernel, and its stand-in, against files and indexes that lie."""

import struct

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfstream import ops
from tfstream.format import record

needs_kernel = pytest.mark.skipif(
    ops.library() is None, reason="tfstream was installed without its kernel (no compiler)"
)
pytestmark = needs_kernel
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]  # each example rewrites its files


def frames(payloads):
    """The bytes of a TFRecord file, and each frame's offset and length."""
    data, places = b"", []
    for payload in payloads:
        frame = record.frame(payload)
        places.append((len(data), len(frame)))
        data += frame
    return data, places


def read(files, shards, offsets, lengths, *, skip=False, stream=1):
    return ops.read_records(
        tf.constant([str(f) for f in files], tf.string),
        tf.constant(shards, tf.int32),
        tf.constant(offsets, tf.int64),
        tf.constant(lengths, tf.int32),
        stream=stream,
        skip_corrupt=skip,
    )


@pytest.fixture
def shard(tmp_path):
    payloads = [bytes([i]) * size for i, size in enumerate((0, 1, 22, 23, 5000, 70_000))]
    data, places = frames(payloads)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(data)
    return path, payloads, places


def test_tensorflow_reads_the_same_records(shard):
    path, payloads, places = shard
    records, sound = read([path], [0] * 6, *zip(*places, strict=True))
    assert records.numpy().tolist() == payloads
    assert sound.numpy().all()
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(path))] == payloads


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_any_records_in_any_order_come_as_asked(tmp_path, data):
    files, places, payloads = [], [], []
    for number in range(data.draw(st.integers(1, 3))):
        mine = data.draw(st.lists(st.binary(max_size=200), min_size=1, max_size=6))
        content, where = frames(mine)
        path = tmp_path / f"{number}.tfrecord"
        path.write_bytes(content)
        files.append(path)
        places += [(number, *place) for place in where]
        payloads += mine
    wanted = data.draw(st.lists(st.integers(0, len(places) - 1), max_size=20))
    columns = [[places[i][c] for i in wanted] for c in range(3)]
    records, sound = read(files, *columns)
    assert records.numpy().tolist() == [payloads[i] for i in wanted]
    assert sound.numpy().tolist() == [True] * len(wanted)


def test_neighbouring_records_are_read_by_one_request(shard):
    path, _, places = shard
    read([path], [0] * 6, *zip(*places, strict=True), stream=77)
    assert (
        ops.counters(77).items()
        >= {
            "samples": 6,
            "bytes_read": path.stat().st_size,
            "requests": 1,
            "corrupt": 0,
        }.items()
    )


def test_more_records_than_one_system_call_can_take(tmp_path):
    payloads = [struct.pack("<Q", i) for i in range(3000)]
    data, places = frames(payloads)
    path = tmp_path / "many.tfrecord"
    path.write_bytes(data)
    records, _ = read([path], [0] * 3000, *zip(*places, strict=True), stream=78)
    assert records.numpy().tolist() == payloads
    assert 2 <= ops.counters(78)["requests"] <= 12


def test_nothing_asked_is_nothing_read(shard):
    records, sound = read([shard[0]], [], [], [])
    assert records.shape == sound.shape == (0,)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("offset", range(0, 60, 3))
def test_each_flipped_byte_of_a_frame_is_found(tmp_path, offset, skip):
    data, places = frames([b"first", b"x" * 40, b"last"])
    begin, length = places[1]
    broken = bytearray(data)
    broken[begin + min(offset, length - 1)] ^= 0x10
    path = tmp_path / "broken.tfrecord"
    path.write_bytes(broken)
    if skip:
        records, sound = read([path], [0] * 3, *zip(*places, strict=True), skip=True)
        assert records.numpy().tolist() == [b"first", b"", b"last"]
        assert sound.numpy().tolist() == [True, False, True]
    else:
        with pytest.raises(tf.errors.DataLossError) as error:
            read([path], [0] * 3, *zip(*places, strict=True))
        assert str(path) in str(error.value)
        assert f"at byte {begin}" in str(error.value)
        assert "on_corrupt" in str(error.value)


@pytest.mark.parametrize("keep", range(0, 75, 5))
def test_a_truncated_file_loses_only_what_is_missing(tmp_path, keep):
    data, places = frames([b"first", b"x" * 20, b"last"])
    path = tmp_path / "short.tfrecord"
    path.write_bytes(data[:keep])
    whole = [offset + length <= keep for offset, length in places]
    _, sound = read([path], [0] * 3, *zip(*places, strict=True), skip=True)
    assert sound.numpy().tolist() == whole
    with pytest.raises(tf.errors.DataLossError, match=r"in a file of \d+ bytes"):
        read([path], [0] * 3, *zip(*places, strict=True))


LIES = [0, 1, 15, 16, 18, -1, -(2**31), 2**31 - 1, 2**31 - 17]


@pytest.mark.parametrize("length", LIES)
def test_a_length_that_lies_is_a_clear_error(shard, length):
    with pytest.raises(tf.errors.DataLossError, match=r"corrupt record.*index"):
        read([shard[0]], [0], [16], [length])


@pytest.mark.parametrize("offset", [-1, -(2**63), 2**63 - 1, 2**40, 80_000])
def test_an_offset_outside_the_file_is_a_clear_error(shard, offset):
    with pytest.raises(tf.errors.DataLossError, match=f"from byte {offset}, in a file of"):
        read([shard[0]], [0], [offset], [17])


def test_a_length_field_that_disagrees_with_the_index_shows_both(tmp_path):
    data, _ = frames([b"x" * 100])
    path = tmp_path / "a.tfrecord"
    path.write_bytes(data)
    with pytest.raises(tf.errors.DataLossError, match="length is 100 bytes.* index says 60"):
        read([path], [0], [0], [76])


def test_a_huge_length_field_with_a_valid_checksum_allocates_nothing(tmp_path):
    header = struct.pack("<Q", 2**62)
    crc = google_crc32c.value(header)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    path = tmp_path / "huge.tfrecord"
    path.write_bytes(header + struct.pack("<I", masked) + b"\0" * 50)
    with pytest.raises(tf.errors.DataLossError, match=f"length is {2**62} bytes"):
        read([path], [0], [0], [40])


def test_vectors_of_different_lengths_are_refused(shard):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"of one size \(got 2, 1 and 1\)"):
        read([shard[0]], [0, 0], [0], [16])


def test_a_file_number_out_of_range_is_refused(shard):
    for number in (-1, 1):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"file number {number}"):
            read([shard[0]], [number], [0], [16])


def test_a_matrix_is_refused(shard):
    with pytest.raises(tf.errors.InvalidArgumentError, match="offsets must be a vector"):
        read([shard[0]], [0], [[0]], [16])


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(tf.errors.NotFoundError, match="nowhere.tfrecord"):
        read([tmp_path / "nowhere.tfrecord"], [0], [0], [16], skip=True)
    with pytest.raises(tf.errors.UnavailableError, match="directory"):
        read([tmp_path], [0], [0], [16])


def test_a_file_replaced_by_another_is_opened_anew(tmp_path):
    path = tmp_path / "a.tfrecord"
    for payload in (b"old", b"new"):
        data, places = frames([payload])
        (tmp_path / "new").write_bytes(data)
        (tmp_path / "new").rename(path)
        records, _ = read([path], [0], *zip(*places, strict=True))
        assert records.numpy().tolist() == [payload]


def test_more_files_than_are_kept_open(tmp_path):
    data, places = frames([b"x"])
    files = [tmp_path / f"{i}.tfrecord" for i in range(300)]
    for path in files:
        path.write_bytes(data)
    records, _ = read(files, list(range(300)), [0] * 300, [places[0][1]] * 300)
    assert records.numpy().tolist() == [b"x"] * 300


def test_the_same_record_may_be_asked_twice(shard):
    path, payloads, places = shard
    records, _ = read([path], [0] * 3, [places[4][0]] * 3, [places[4][1]] * 3)
    assert records.numpy().tolist() == [payloads[4]] * 3


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_no_garbage_crashes_the_kernel(tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(frames([rng.bytes(int(n)) for n in rng.integers(0, 300, 6)])[0])
    for _ in range(rng.integers(0, 4)):
        data[rng.integers(len(data))] ^= int(rng.integers(1, 256))
    path = tmp_path / "fuzz.tfrecord"
    path.write_bytes(bytes(data[: rng.integers(len(data) + 1)]))
    n = int(rng.integers(0, 9))
    offsets = rng.integers(-20, len(data) + 40, n)
    lengths = rng.integers(-20, 400, n)
    _, sound = read([path], [0] * n, offsets, lengths, skip=True)
    for ok, offset, length in zip(sound.numpy(), offsets, lengths, strict=True):
        if ok:  # then it really is a whole frame
            record.unframe(path.read_bytes()[offset : offset + length], path=path, offset=offset)


def test_crc32c_agrees_with_the_reference_at_every_length(tmp_path):
    rng = np.random.default_rng(0)
    sizes = [*range(70), *range(3060, 3090), 6144, 6145, 100_003]
    data, places = frames([rng.bytes(n) for n in sizes])
    path = tmp_path / "sizes.tfrecord"
    path.write_bytes(data)
    _, sound = read([path], [0] * len(sizes), *zip(*places, strict=True))
    assert sound.numpy().all()

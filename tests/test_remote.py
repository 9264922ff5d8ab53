"""Streams of remote datasets: the local ones' samples, through every fault."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import trees

import tfstream
from tfstream.errors import (
    AccessDeniedError,
    CacheError,
    CorruptRecordError,
    DatasetNotFoundError,
    InvalidArgumentError,
    ObjectNotFoundError,
)
from tfstream.fetch.fetcher import fetcher


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("remote")
    trees.make_ilsvrc_tree(root / "tree", train=60, val=10)
    tfstream.pack(root / "tree", root / "packed", shard_bytes=40_000, progress=False)
    return root / "packed"


@pytest.fixture
def uri(bucket, packed):
    bucket.upload(packed)
    return bucket.uri


def stream(data, **arguments):
    arguments = {"image": tfstream.RAW, "label": None, "batch_size": 7, "seed": 5} | arguments
    return data.split("train").stream(elements="dict", block_size=4, **arguments)


def samples(ds):
    """Everything that an iteration yields, as one list of (key, image); the cache has it then."""
    found = [
        (key, image)
        for element in ds.as_numpy_iterator()
        for key, image in zip(element["key"].tolist(), element["image"].tolist(), strict=True)
    ]
    fetcher()._writer.flush()
    return found


@pytest.fixture(scope="module")
def expected(packed):
    ds = stream(tfstream.open(packed))
    return [samples(ds) for _ in range(3)]


@pytest.mark.parametrize("cached", [False, True])
def test_a_remote_stream_gives_the_samples_of_a_local_one(uri, expected, cached, tmp_path):
    ds = stream(tfstream.open(uri, cache_dir=tmp_path if cached else None), read_ahead="40KB")
    assert [samples(ds) for _ in range(3)] == expected
    stats = ds.stats()
    assert stats["samples"] == 180
    assert stats["cache_hits"] + stats["cache_misses"] == 180
    assert (stats["cache_hits"] >= 120) == cached


def test_decoded_augmented_images_are_those_of_a_local_stream(uri, packed):
    spec = tfstream.ImageSpec(size=(20, 24), mode="random_crop", flip=True)
    remote, local = (
        list(
            stream(tfstream.open(root), image=spec, boxes=2, label="multi_hot").as_numpy_iterator()
        )
        for root in (uri, packed)
    )
    for mine, theirs in zip(remote, local, strict=True):
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_workers_share_an_epoch_between_them(uri, expected, tmp_path):
    data = tfstream.open(uri, cache_dir=tmp_path)
    parts = [samples(stream(data, world=(worker, 3))) for worker in range(3)]
    woven = [parts[place % 3][place // 3] for place in range(60)]
    assert woven == expected[0]


def test_a_selection_of_records_is_fetched_alone(uri, packed, bucket):
    numbers = [3, 40, 7, 22]
    before = bucket.proxy.stats()["bytes"]
    remote = samples(tfstream.open(uri)[numbers].stream(elements="dict", image=tfstream.RAW))
    assert bucket.proxy.stats()["bytes"] - before < 45_000  # indexes, manifest and few records
    local = tfstream.open(packed)[numbers].stream(elements="dict", image=tfstream.RAW)
    assert sorted(remote) == sorted(samples(local))


def test_records_are_taken_by_number_key_and_iteration(uri, packed):
    remote, local = tfstream.open(uri), tfstream.open(packed)
    assert len(remote) == len(local) == 70
    assert remote.metadata.equals(local.metadata)
    for number in (0, 33, -1):
        np.testing.assert_equal(remote[number], local[number])
    np.testing.assert_equal(remote[remote[5]["key"]], local[5])
    assert [r["key"] for r in remote[10:14]] == [r["key"] for r in local[10:14]]


def test_the_same_graph_runs_in_a_session(uri, expected):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        ds = stream(tfstream.open(uri))
        batch = tf.compat.v1.data.make_one_shot_iterator(ds).get_next()
        found = []
        for _ in range(9):
            got = session.run(batch)
            found += zip(got["key"].tolist(), got["image"].tolist(), strict=True)
    assert found == expected[0]


@pytest.mark.parametrize("cached", [False, True])
def test_no_fault_loses_repeats_or_damages_a_sample(uri, expected, bucket, cached, tmp_path):
    bucket.proxy.stall_seconds = 0.1
    data = tfstream.open(uri, cache_dir=tmp_path if cached else None)
    ds = stream(data, read_ahead="10KB")
    faults = ("reset", "truncate", "break", "503", "429", "500", "stall", "silence")
    bucket.proxy.inject(0.4, faults, seed=11)
    assert samples(ds) == expected[0]
    assert sum(bucket.proxy.stats()["faults"].values()) >= 5
    assert ds.stats()["retries"] >= 2


@pytest.mark.parametrize("cached", [False, True])
def test_bytes_damaged_on_the_way_are_fetched_again(uri, expected, bucket, cached, tmp_path):
    ds = stream(tfstream.open(uri, cache_dir=tmp_path if cached else None), read_ahead="10KB")
    bucket.proxy.script("flip", count=1, match=r"tfrecord.*alt=media")
    assert [samples(ds), samples(ds)] == expected[:2]
    assert ds.stats()["repaired"] == 1
    assert ds.stats()["corrupt"] == 0


def test_an_index_damaged_on_the_way_is_fetched_again(uri, expected, bucket):
    bucket.proxy.script("flip", count=1, match=r"parquet.*alt=media")
    ds = stream(tfstream.open(uri))
    assert samples(ds) == expected[0]
    assert ds.stats()["repaired"] == 1


def test_a_page_that_went_bad_on_disk_is_fetched_again_and_counted(uri, expected, tmp_path):
    ds = stream(tfstream.open(uri, cache_dir=tmp_path))
    assert samples(ds) == expected[0]
    pages = max((tmp_path / "objects").iterdir(), key=lambda path: path.stat().st_size)
    with open(pages, "r+b") as file:
        file.seek(20_000)
        file.write(b"spoilt")
    assert samples(ds) == expected[1]
    assert ds.stats()["repaired"] == 1
    assert ds.stats()["corrupt"] == 0
    fetched = ds.stats()["bytes_fetched"]
    assert samples(ds) == expected[2]
    assert ds.stats()["bytes_fetched"] == fetched


def test_a_cached_file_that_cannot_be_read_any_more_costs_no_sample(uri, expected, tmp_path):
    data = tfstream.open(uri, cache_dir=tmp_path).split("train")
    ds = stream(data)
    assert samples(ds) == expected[0]
    target = data.stored._source.shard(0)
    broken = os.open(tmp_path / "nothing", os.O_WRONLY | os.O_CREAT)
    with target.use() as descriptor:
        os.dup2(broken, descriptor)  # reading fails from now on
    assert [samples(ds), samples(ds)] == expected[1:]


def test_a_cached_file_that_somebody_cut_short_is_fetched_again(uri, expected, tmp_path):
    ds = stream(tfstream.open(uri, cache_dir=tmp_path))
    assert samples(ds) == expected[0]
    largest = max((tmp_path / "objects").iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(largest, 10_000)
    assert samples(ds) == expected[1]


@pytest.fixture
def corrupted(bucket, packed):
    """The URI of a dataset with one bad record in its storage, and the record's key."""
    bucket.upload(packed)
    data = tfstream.open(packed).split("train")
    row = 11
    key = data.metadata["key"][row].as_py()
    shard, offset, length = (
        getattr(data.stored.table, name)[row] for name in ("shards", "offsets", "lengths")
    )
    name = data.stored.table.files[shard].split("packed/")[1]
    content = bytearray(bucket.get(name))
    content[offset + length // 2] ^= 1
    bucket.put(name, bytes(content))
    return bucket.uri, name, int(offset), key


@pytest.mark.kernel  # the stand-in's errors have TensorFlow's code for unknown ones
def test_a_record_that_is_bad_in_the_storage_is_named(corrupted, tmp_path):
    uri, name, offset, key = corrupted
    data = tfstream.open(uri, cache_dir=tmp_path)
    with pytest.raises(tf.errors.DataLossError) as caught:
        samples(stream(data))
    assert f"corrupt record '{key}' in {uri}/{name} at byte {offset}" in str(caught.value)
    with pytest.raises(CorruptRecordError, match=key):
        data[key]


def test_a_record_that_is_bad_in_the_storage_is_skipped_alone(corrupted, expected, capfd):
    uri, _, _, key = corrupted
    ds = stream(tfstream.open(uri), on_corrupt="skip")
    assert samples(ds) == [each for each in expected[0] if each[0].decode() != key]
    assert ds.stats()["corrupt"] == 1
    assert f"skipped a corrupt record '{key}'" in capfd.readouterr().err


@pytest.mark.kernel  # the stand-in's errors have TensorFlow's code for unknown ones
def test_an_object_overwritten_under_a_running_stream_is_named_with_both_generations(uri, bucket):
    data = tfstream.open(uri)
    ds = stream(data)
    samples(ds)
    name = next(name for name in bucket.names() if name.endswith("00000.tfrecord"))
    new = bucket.put(name, bucket.get(name))
    with pytest.raises(tf.errors.FailedPreconditionError) as caught:
        samples(ds)
    assert name in str(caught.value)
    assert new in str(caught.value)
    assert len(samples(stream(tfstream.open(uri)))) == 60  # what the message advises


@pytest.mark.kernel  # the stand-in's errors have TensorFlow's code for unknown ones
def test_a_shard_of_another_size_than_the_manifest_says_is_refused(uri, bucket):
    name = next(name for name in bucket.names() if name.endswith("00000.tfrecord"))
    bucket.put(name, bucket.get(name)[:-100])
    with pytest.raises(tf.errors.FailedPreconditionError, match=r"bytes, and the manifest"):
        samples(stream(tfstream.open(uri)))


@pytest.mark.kernel  # the stand-in's errors have TensorFlow's code for unknown ones
def test_a_shard_that_is_gone_is_named(uri, bucket):
    name = next(name for name in bucket.names() if name.endswith("00000.tfrecord"))
    bucket.delete(name)
    with pytest.raises(tf.errors.NotFoundError, match=name):
        samples(stream(tfstream.open(uri)))


def test_a_running_stream_goes_on_when_the_manifest_is_deleted(uri, bucket, expected):
    ds = stream(tfstream.open(uri))
    bucket.delete("manifests/00000001.json")
    assert samples(ds) == expected[0]
    with pytest.raises(DatasetNotFoundError, match="holds no manifest"):
        tfstream.open(uri)


@pytest.mark.kernel  # the stand-in's errors have TensorFlow's code for unknown ones
def test_a_right_that_is_taken_away_is_one_error_that_names_the_role(uri, bucket):
    ds = stream(tfstream.open(uri))
    bucket.proxy.script("403", count=10_000)
    with pytest.raises(tf.errors.PermissionDeniedError, match=r"roles/storage\.objectViewer"):
        samples(ds)
    with pytest.raises(AccessDeniedError, match=r"roles/storage\.objectViewer"):
        tfstream.open(uri)


def test_what_cannot_be_opened_is_said_when_it_is_opened(uri, bucket, tmp_path):
    (tmp_path / "file").write_text("mine")
    cases = [
        (f"{uri}x", {}, DatasetNotFoundError, "no dataset at gs://"),
        ("gs://no-such-bucket-0123/x", {}, ObjectNotFoundError, "no-such-bucket-0123"),
        (uri, {"cache_dir": tmp_path / "file"}, CacheError, "file"),
        (uri, {"cache_dir": tmp_path, "cache_limit": "lots"}, InvalidArgumentError, "lots"),
        (uri, {"connections": 0}, InvalidArgumentError, "connections"),
        ("gs://", {}, InvalidArgumentError, "gs://"),
        ("s4://bucket/x", {}, InvalidArgumentError, "s4"),
    ]
    for path, arguments, kind, text in cases:
        with pytest.raises(kind, match=text):
            tfstream.open(path, **arguments)
    data = tfstream.open(uri, cache_dir=tmp_path / "c", cache_limit="100MB")
    with pytest.raises(InvalidArgumentError, match=r"cache_limit=.*read_ahead"):
        stream(data)


def test_records_are_brought_into_the_cache_ahead_of_time(uri, expected, bucket, tmp_path):
    data = tfstream.open(uri, cache_dir=tmp_path)
    counts = []
    data.prefetch(progress=counts.append)
    assert sum(counts) == 70
    before = bucket.proxy.stats()["downloads"]
    ds = stream(data)
    assert samples(ds) == expected[0]
    assert bucket.proxy.stats()["downloads"] == before
    assert ds.stats()["cache_hits"] == 60
    with pytest.raises(InvalidArgumentError, match="cache_dir"):
        tfstream.open(uri).prefetch()
    small = tfstream.open(uri, cache_dir=tmp_path / "small", cache_limit=1000)
    with pytest.raises(InvalidArgumentError, match="cache_limit"):
        small.prefetch()


def test_a_process_ends_while_an_op_waits_for_bytes(uri, bucket, tmp_path):
    program = f"""
        import tfstream, tensorflow as tf, threading, time
        ds = tfstream.open({uri!r}).stream(image=tfstream.RAW, label=None, elements="dict")
        threading.Thread(target=lambda: next(iter(ds)), daemon=True).start()
        time.sleep(3)
        print(time.time())
    """
    bucket.proxy.stall_seconds = 600
    bucket.proxy.script("stall", count=10_000, match=r"tfrecord.*alt=media")
    # Elsewhere: the tree's own package may have no kernel.
    environment = {**os.environ, "PYTHONPATH": str(Path(tfstream.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        timeout=400,
    )
    assert done.returncode == 0
    assert time.time() - float(done.stdout) < 60  # long before the bytes would have come


def test_an_iterator_that_is_dropped_half_way_leaves_nothing_behind(uri, tmp_path):
    data = tfstream.open(uri, cache_dir=tmp_path)
    for _ in range(5):
        ds = stream(data, read_ahead="10KB")
        next(iter(ds))
    assert len(samples(stream(data))) == 60

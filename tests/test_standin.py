"""Without a compiled kernel: said once, and the same records in the same order."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import trees

import tfstream
from tfstream import ops
from tfstream.errors import CorruptRecordError


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    root = tmp_path_factory.mktemp("standin")
    trees.make_ilsvrc_tree(root / "tree", train=40, val=4)
    return tfstream.pack(root / "tree", root / "packed", progress=False).split("train")


@pytest.fixture
def without_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr(ops, "_PATH", tmp_path / "nothing.so")
    ops.library.cache_clear()
    yield
    ops.library.cache_clear()


def elements(train, **arguments):
    spec = tfstream.ImageSpec((16, 16), mode="random_crop", flip=True, antialias=False)
    ds = train.stream(
        batch_size=8, image=spec, elements="dict", boxes=2, seed=3, epochs=2, **arguments
    )
    return list(ds.as_numpy_iterator()), ds


@pytest.mark.usefixtures("without_kernel")
def test_the_missing_kernel_is_said_once_with_the_way_out():
    with pytest.warns(RuntimeWarning, match=r"without its native kernel.*Install g\+\+"):
        assert ops.library() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ops.library() is None


@pytest.mark.kernel
@pytest.mark.filterwarnings("ignore:tfstream was installed without")
def test_a_stream_gives_the_same_samples_as_with_the_kernel(train, request):
    with_kernel, _ = elements(train)
    request.getfixturevalue("without_kernel")
    without, ds = elements(train)
    assert len(without) == len(with_kernel)
    for mine, theirs in zip(without, with_kernel, strict=True):
        assert mine["key"].tolist() == theirs["key"].tolist()
        np.testing.assert_array_equal(mine["boxes"], theirs["boxes"])
        difference = mine["image"].astype(int) - theirs["image"]
        assert np.abs(difference).max() <= 1
    assert ds.stats()["samples"] == 80


@pytest.mark.usefixtures("without_kernel")
@pytest.mark.filterwarnings("ignore:tfstream was installed without")
def test_a_corrupt_record_is_named_or_skipped(train, tmp_path):
    data = (tmp_path / "data").resolve()
    path = train.stored.table.files[0]
    offset, length = int(train.stored.table.offsets[1]), int(train.stored.table.lengths[1])
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content[offset + length // 2] ^= 1
    data.write_bytes(content)
    places = ([str(data)], [0, 0], [0, offset], [offset, length])

    def read(skip):
        files, shards, offsets, lengths = places
        return ops.read_records(
            tf.constant(files),
            tf.constant(shards),
            tf.constant(offsets, tf.int64),
            tf.constant(lengths),
            stream=99,
            skip_corrupt=skip,
        )

    with pytest.raises(CorruptRecordError, match=f"{offset}.*{data}"):  # in eager mode, as it is
        read(False)
    with pytest.warns(RuntimeWarning, match="skipped a corrupt record"):
        records, sound = read(True)
    assert sound.numpy().tolist() == [True, False]
    assert records.numpy()[1] == b""

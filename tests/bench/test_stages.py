"""Tests of tfstream/bench/stages.py: what the parts of a stream give."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf
import trees

import tfstream
from tfstream.bench import measuring, stages
from tfstream.errors import InvalidArgumentError

SPEC = tfstream.ImageSpec(size=(16, 16), mode="random_crop", flip=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tfstream.PackedDataset:
    root: pathlib.Path = tmp_path_factory.mktemp("bench")
    trees.make_ilsvrc_tree(root / "tree", train=13, val=3)
    return tfstream.pack(root / "tree", root / "packed", progress=False)


def test_each_stage_goes_through_the_records_again_and_again(data):
    stream = data.stream(batch_size=4, image=SPEC, boxes="ragged", label="index", shuffle=False)
    found = {one.name: one for one in stages.pipelines(stream.recipe)}
    assert set(found) == {"read", "parse", "decode", "finish", "batch", "memory", "whole"}
    lengths = next(iter(found["read"].dataset))
    assert lengths.shape == [found["read"].items]
    assert len(set(lengths.numpy().tolist())) > 1
    assert lengths.numpy()[:16].tolist() == lengths.numpy()[16:32].tolist()
    # The pixel in the corner of what was decoded.
    shown = next(iter(found["decode"].dataset)).numpy()[:16].tolist()
    assert 0 <= min(shown) < max(shown) <= 255
    images, _, boxes = next(iter(found["memory"].dataset))
    assert images.shape == [4, 16, 16, 3]
    assert isinstance(boxes, tf.RaggedTensor)


def test_what_lies_in_memory_is_what_the_stream_makes(data):
    stream = data.stream(batch_size=16, image=SPEC, shuffle=False)
    found = {one.name: one for one in stages.pipelines(stream.recipe)}
    images, labels = next(iter(stream))
    for name in ("batch", "memory", "whole"):
        made, told = next(iter(found[name].dataset))
        tf.debugging.assert_equal(made, images)
        tf.debugging.assert_equal(told, labels)


def test_a_stream_of_stored_bytes_has_nothing_to_decode(data):
    stream = data.stream(batch_size=4, image=tfstream.RAW)
    verdict = measuring.measure(stream, stored_pixels=1000.0, seconds=0.5)
    assert [stage.name for stage in verdict.stages] == ["read", "parse", "augment", "batch"]
    assert verdict.whole.rate > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"batch_size": None}, "has no batches"),
        ({"batch_size": 4, "transform": lambda image, label: image}, "has a transform"),
    ],
)
def test_streams_that_are_not_plain_are_refused(data, arguments, why):
    with pytest.raises(InvalidArgumentError, match=f"the stream {why}, and only a plain stream"):
        stages.pipelines(data.stream(image=SPEC, **arguments).recipe)


def test_data_points_and_mixes_are_refused(data):
    points = data.data_points("label").stream(batch_size=2, image=SPEC)
    with pytest.raises(InvalidArgumentError, match="has data points of several records"):
        stages.pipelines(points.recipe)
    one, other = (data.stream(batch_size=2, image=SPEC) for _ in range(2))
    with pytest.raises(InvalidArgumentError, match="is a mix"):
        stages.pipelines(tfstream.mix({"one": one, "other": other}).recipe)


def test_there_must_be_time(data):
    stream = data.stream(batch_size=4, image=SPEC)
    with pytest.raises(InvalidArgumentError, match=r"seconds must be positive \(got 0\)"):
        measuring.measure(stream, stored_pixels=1000.0, seconds=0)

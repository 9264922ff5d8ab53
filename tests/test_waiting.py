"""How long whoever iterates a stream waits for it is counted."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tensorflow as tf
import trees

import tfstream


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    root = tmp_path_factory.mktemp("waiting")
    trees.make_ilsvrc_tree(root / "tree", train=30, val=5)
    return tfstream.pack(root / "tree", root / "packed", progress=False).split("train")


def slowly(image, label):
    def sleep(label):
        time.sleep(0.02)
        return label

    slow = tf.numpy_function(sleep, [label], tf.int64)
    slow.set_shape([])
    return image, slow


def shares(ds, step):
    """The share of the time that was waited for batches, each used for `step` seconds."""
    began = time.monotonic()
    for _ in ds:
        time.sleep(step)
    return ds.stats()["starved_seconds"] / (time.monotonic() - began)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_slow_stream_is_waited_for_and_a_fast_one_is_not(train, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("tfstream.ops.library", lambda: None)
    image = tfstream.ImageSpec(size=(8, 8))
    slow = train.stream(batch_size=2, image=image, label="index", transform=slowly)
    fast = train.stream(batch_size=2, image=image, label="index")
    assert shares(fast, step=0.05) < shares(slow, step=0.0) < 1.05


def test_training_waits_for_a_slow_stream(train):
    image = tfstream.ImageSpec(size=(8, 8), dtype="float32")
    ds = train.stream(batch_size=2, image=image, label="index", transform=slowly, lanes=1)
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(300)])
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(ds, verbose=0)
    assert ds.stats()["starved_seconds"] > 0.02


def test_the_cardinality_and_the_elements_stay_as_they_are(train):
    ds = train.stream(batch_size=4, image=None, label="index", boxes="ragged", elements="dict")
    assert ds.cardinality() == 8
    assert sorted(ds.element_spec) == ["box_labels", "boxes", "key", "label", "seed"]
    assert isinstance(ds.element_spec["boxes"], tf.RaggedTensorSpec)
    keys = np.concatenate([batch["key"] for batch in ds.as_numpy_iterator()])
    assert len(set(keys)) == 30
    endless = train.stream(batch_size=4, image=None, label="index", epochs=None)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY

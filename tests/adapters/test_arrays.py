"""Tests of tfstream/adapters/arrays.py: batches of numpy arrays, against the streams'."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import scenes

import tfstream
from tfstream.errors import InvalidArgumentError, StateError

SPEC = tfstream.ImageSpec(size=(20, 30), mode="random_crop", flip=True)
KEYS = {"image": None, "label": None, "elements": "dict", "seed": 3, "batch_size": 5}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("arrays") / "packed")


@pytest.fixture(scope="module")
def data(root):
    return tfstream.open(root)


def keys(batches):
    return [batch["key"].tolist() for batch in batches]


@pytest.mark.parametrize(
    "arguments", [{}, {"world": (1, 3), "drop_remainder": True}, {"block_size": 4, "lanes": 3}]
)
def test_the_batches_are_those_of_streams(data, arguments):
    pytest.importorskip("tensorflow")
    arguments = {"image": SPEC, "boxes": 3, "label": "one_hot", "elements": "dict", **arguments}
    mine = data.to_numpy_iterator(batch_size=5, **arguments)
    stream = data.stream(batch_size=5, **arguments)
    for _ in range(2):
        assert len(mine) == stream.steps_per_epoch
        for ours, theirs in zip(mine, stream.as_numpy_iterator(), strict=True):
            assert ours["key"].tolist() == [key.decode() for key in theirs["key"]]
            for name in ("label", "boxes", "box_labels"):
                np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6)
                assert ours[name].dtype == theirs[name].dtype
            assert ours["image"].shape == theirs["image"].shape
            assert np.abs(ours["image"].astype(int) - theirs["image"]).mean() < 2.5


@pytest.mark.parametrize("consumed", [0, 1, 4, 9, 10])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_it_goes_on_at_the_very_next_batch(data, consumed, prefetch):
    batches = data.to_numpy_iterator(**KEYS, prefetch=prefetch)
    taken = keys(itertools.islice(batches, consumed))
    other = data.to_numpy_iterator(**KEYS)
    other.restore(batches.state())
    whole = data.to_numpy_iterator(**KEYS)
    assert (
        taken + keys(other) + keys(other)
        == (keys(whole) + keys(whole) + keys(whole))[: 10 * (2 + (consumed == 10))]
    )
    with pytest.raises(StateError, match="seed"):
        data.to_numpy_iterator(**{**KEYS, "seed": 4}, state=batches.state())


def test_each_sample_is_transformed(data):
    batches = data.to_numpy_iterator(
        image=SPEC, batch_size=4, transform=lambda image, label: (image / 255, -label)
    )
    images, labels = next(iter(batches))
    assert images.dtype == np.float64
    assert images.shape == (4, 20, 30, 3)
    assert (labels <= 0).all()


def test_what_has_many_shapes_comes_in_lists(data):
    batch = next(iter(data.to_numpy_iterator(image=tfstream.RAW, boxes="ragged", batch_size=9)))
    assert [type(part) for part in batch] == [list, np.ndarray, list]
    assert len({len(boxes) for boxes in batch[2]}) > 1


def test_tensorflow_is_not_imported(root):
    code = f"""
import sys, tfstream
images, labels = next(iter(tfstream.open({str(root)!r}).to_numpy_iterator(batch_size=4)))
assert images.shape == (4, 224, 224, 3) and labels.dtype == "int64"
assert "tensorflow" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": "pil"}, "pil"),
        ({"prefetch": -1}, "prefetch"),
        ({"threads": 0}, "threads"),
        ({"on_corrupt": "warn"}, "warn"),
        ({"batch_size": None}, "batch_size"),
    ],
)
def test_a_bad_argument_is_named(data, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        data.to_numpy_iterator(**arguments)

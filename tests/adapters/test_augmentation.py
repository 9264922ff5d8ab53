"""Keras's layers on a stream's dicts: what they do to pictures is done to their objects as well."""

from __future__ import annotations

import keras
import numpy as np
import outlined
import pytest
import tensorflow as tf

import tfstream
from tfstream.errors import InvalidArgumentError
from tfstream.keras import Augment

SIZE = (100, 120)
PLAIN = tfstream.ImageSpec(size=SIZE)
OBJECTS = {"boxes": 3, "masks": "instance", "keypoints": outlined.TIPS}
EACH = {"batch_size": None, "image": PLAIN, "label": None, "elements": "dict", **OBJECTS}
FILLED = {"fill_mode": "constant", "fill_value": 114.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tfstream.open(outlined.write(tmp_path_factory.mktemp("augmented") / "packed"))


def layers():
    """One of each kind of geometry, and such as only change colours."""
    return (
        keras.layers.RandomFlip("vertical"),
        keras.layers.RandomRotation(0.1, **FILLED),
        keras.layers.RandomZoom((-0.2, 0.2), **FILLED),
        keras.layers.RandomTranslation(0.1, 0.1, **FILLED),
        keras.layers.RandomBrightness(0.1),
        keras.layers.Resizing(90, 110),
    )


def edges(mask):
    """(top, left, bottom, right) of a mask, in pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def test_boxes_masks_and_keypoints_lie_where_the_picture_shows_them(data):
    transform = Augment(*layers()[:4], keras.layers.Resizing(90, 110))
    stream = data.stream(**{**EACH, "boxes": "ragged"}, transform=transform)
    compared = 0
    for sample in stream.as_numpy_iterator():
        assert sample["image"].dtype == np.uint8
        assert sample["image"].shape == (90, 110, 3)
        grey = (np.ptp(sample["image"].astype(int), axis=-1) < 30) & (sample["image"][..., 0] > 90)
        for label, box, mask, points in zip(
            sample["box_labels"], sample["boxes"], sample["masks"], sample["keypoints"], strict=True
        ):
            drawn = (sample["image"][..., label] > 127) & ~grey
            assert (mask.astype(bool) ^ drawn).sum() <= 0.2 * mask.sum() + 60
            if mask.sum() < 100:
                continue
            compared += 1
            corners = box * [90, 110, 90, 110]
            around = edges(mask)
            # A turned box is drawn around its corners, so it may be larger, and never smaller.
            assert (corners[:2] <= around[:2] + 2).all()
            assert (corners[2:] >= around[2:] - 2).all()
            if label == 0 and (points[:, 2] > 0).all():
                tips = points[:, :2] * [90, 110]
                np.testing.assert_allclose([*tips.min(0), *tips.max(0)], around, atol=4)
    assert compared > 20


def batches(stream):
    """All of a stream's parts, each as one array."""
    made = list(stream.as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in made]) for name in made[0]}


def test_a_sample_is_augmented_alike_by_any_worker_in_any_batch_and_after_a_restart(data):
    spec = tfstream.ImageSpec(size=(40, 48), mode="random_crop", flip=True)
    same = {"image": spec, "label": "one_hot", "boxes": 3, "elements": "dict", "seed": 5}
    same["transform"] = Augment(
        keras.layers.RandomTranslation(0.1, 0.1, **FILLED), keras.layers.RandomBrightness(0.1)
    )

    def stream(**arguments):
        return data.stream(**{**same, "batch_size": 4, "epochs": 2, **arguments})

    whole = batches(stream())
    assert len(whole["key"]) == 32
    one_epoch = batches(stream(epochs=1, batch_size=7))
    second = batches(stream(epochs=1, batch_size=2, world=(1, 2)))
    begun = stream()
    next(iter(begun))
    resumed = batches(stream(state=begun.state(batches_consumed=1)))
    for name, values in whole.items():
        np.testing.assert_array_equal(one_epoch[name], values[:16])
        np.testing.assert_array_equal(second[name], values[1:16:2])
        np.testing.assert_array_equal(resumed[name], values[4:])
    first, again = (np.argsort(keys) for keys in (whole["key"][:16], whole["key"][16:]))
    differs = whole["image"][:16][first] != whole["image"][16:][again]
    assert differs.any((1, 2, 3)).all()


def test_a_label_map_is_unknown_where_a_layer_filled_the_picture(data):
    arguments = {**EACH, "boxes": None, "keypoints": None, "masks": "semantic"}
    turn = keras.layers.RandomRotation((0.1, 0.1), **FILLED)
    seen = set()
    for sample in data.stream(**arguments, transform=Augment(turn)).as_numpy_iterator():
        filled = (sample["image"] == 114).all(-1)
        assert filled.any()
        assert (sample["masks"][filled] == -1).all()
        seen |= set(np.unique(sample["masks"]))
    assert seen == {-1, 0, 1, 2}


def test_an_object_that_left_the_image_leaves_no_hole(data):
    """The cat is on the left, the dog on the right."""
    away = keras.layers.RandomTranslation(0.0, (-0.6, -0.6), **FILLED)
    for sample in data.stream(**EACH, transform=Augment(away)).as_numpy_iterator():
        assert sample["box_labels"].tolist() == [1, -1, -1]
        assert sample["masks"][0].any()
        assert not sample["masks"][1:].any()
        assert not sample["keypoints"].any()  # those of the cat


def test_a_batch_is_augmented_image_by_image(data):
    stream = data.stream(**{**EACH, "batch_size": 16, "masks": "semantic"}).map(
        Augment(*layers()[3:])
    )
    batch = next(stream.as_numpy_iterator())
    assert batch["image"].shape == (16, 90, 110, 3)
    assert batch["masks"].shape == (16, 90, 110)
    assert batch["keypoints"].shape == (16, 3, 3, 3)
    assert (batch["box_labels"][:, :2].max(1) >= 0).all()


def test_streams_and_arrays_have_the_same_seeds(data):
    arguments = {"batch_size": 8, "image": None, "label": None, "elements": "dict", "seed": 2}
    seen = set()
    streamed = data.stream(**arguments).as_numpy_iterator()
    for ours, theirs in zip(data.to_numpy_iterator(**arguments), streamed, strict=True):
        assert theirs["seed"].dtype == ours["seed"].dtype == np.int32
        np.testing.assert_array_equal(ours["seed"], theirs["seed"])
        seen |= set(map(tuple, ours["seed"].tolist()))
    assert len(seen) == 16


BARE = {"image": tf.zeros([8, 8, 3]), "seed": tf.constant([1, 2])}
BOXED = {**BARE, "boxes": tf.zeros([1, 4]), "box_labels": tf.zeros([1], tf.int64)}
MAPPED = {**BARE, "masks": tf.zeros([8, 8], tf.int32)}


@pytest.mark.parametrize(
    ("layer", "sample", "message"),
    [
        (keras.layers.RandomShear(0.2), BOXED, "Keras's RandomShear gives boxes that are not wh"),
        (keras.layers.RandAugment(), BOXED, "Keras's RandAugment gives boxes that are not where"),
        (keras.layers.MixUp(), MAPPED, "Keras's MixUp gives masks that are not where"),
        (
            keras.layers.RandomFlip(bounding_box_format="rel_xyxy"),
            BOXED,
            "RandomFlip has bounding_box_format='rel_xyxy', in which not all",
        ),
        (keras.layers.RandomFlip(), (tf.zeros([8, 8, 3]), 1), "takes the dicts of stream"),
        (keras.layers.RandomFlip(), {"image": BARE["image"]}, "with a decoded image and a seed"),
        (keras.layers.RandomFlip(), {**BARE, "image": tf.constant("")}, "with a decoded image"),
    ],
)
def test_what_would_give_wrong_samples_is_refused(layer, sample, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Augment(layer)(sample)


def test_layers_that_know_no_boxes_and_ragged_batches_are_refused(data):
    with pytest.raises(InvalidArgumentError, match="Rescaling is none of Keras's image augment"):
        Augment(keras.layers.Rescaling(1 / 255))
    with pytest.raises(InvalidArgumentError, match="Augment has no layers"):
        Augment()
    ragged = data.stream(**{**EACH, "boxes": "ragged", "batch_size": 4})
    with pytest.raises(InvalidArgumentError, match="give it to the stream as transform="):
        Augment(keras.layers.RandomFlip())(next(iter(ragged)))


def test_a_seed_gives_one_augmentation_and_the_next_layers_others(data):
    augment = Augment(keras.layers.RandomBrightness(0.5))
    sample = {"image": tf.fill([4, 4, 3], 100.0), "seed": tf.constant([7, 9])}
    once, again = tf.function(augment)(sample), tf.function(augment)(sample)
    np.testing.assert_array_equal(once["image"], again["image"])
    twice = tf.function(augment)({**sample, "seed": once["seed"]})
    assert (twice["image"] != once["image"]).numpy().all()

"""Masks, label maps and keypoints against the pixels that they go with, in streams and in numpy."""

from __future__ import annotations

import numpy as np
import outlined
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tfstream
from tfstream import images
from tfstream.adapters import shapes as array_shapes
from tfstream.adapters import views
from tfstream.errors import CorruptRecordError, InvalidArgumentError
from tfstream.format import example, features, shapes
from tfstream.v1 import example_pb2

SPEC = tfstream.ImageSpec(size=(60, 50), mode="random_crop", flip=True, area=(0.3, 1.0))
OBJECTS = {"boxes": 3, "masks": "instance", "keypoints": outlined.TIPS, "elements": "dict"}
EACH = {"batch_size": None, "label": None, **OBJECTS}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tfstream.open(outlined.write(tmp_path_factory.mktemp("masks") / "packed"))


def overlap(mask, drawn):
    """How much of two shapes is in both."""
    return (mask & drawn).sum() / max(1, (mask | drawn).sum())


@pytest.mark.parametrize("mode", images.MODES)
def test_shapes_lie_where_they_are_painted(data, mode):
    """In pictures of all orientations, mirrored and not."""
    size = (70, 66) if mode == "crop_or_pad" else (150, 140)
    spec = tfstream.ImageSpec(size=size, mode=mode, flip=True, area=(0.4, 1.0))
    compared = outside = 0
    for sample in data.stream(image=spec, seed=2, **EACH).as_numpy_iterator():
        painted = sample["image"] > 127
        for label, mask, points in zip(
            sample["box_labels"], sample["masks"], sample["keypoints"], strict=True
        ):
            if label < 0:
                assert not mask.any()
                continue
            drawn = painted[..., label]
            # To a pixel along the edges: of a sliver little is left to compare.
            assert (mask.astype(bool) ^ drawn).sum() <= 1.5 * sum(size)
            if drawn.sum() > 0.05 * drawn.size:
                compared += 1
                assert overlap(mask.astype(bool), drawn) > 0.9
            if label == 0 and (points[:, 2] == 2).all():
                rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
                ends = np.array([[rows[0], columns[0]], [rows[-1] + 1, columns[-1] + 1]])
                tips = points[:, :2] * size
                np.testing.assert_allclose([tips.min(0), tips.max(0)], ends, atol=4)
                assert tips[0, 1] < tips[2, 1] < tips[1, 1]  # left, top, right: in mirrors too
            outside += int((points[:, 2] == 0).sum()) if label == 0 else 0
            assert not points[points[:, 2] == 0].any()
    assert compared > 12
    assert (outside > 0) == (mode != "resize")


def test_what_is_void_is_of_no_class_wherever_it_comes_to_lie(tmp_path):
    pictures = [outlined.image(number) for number in range(outlined.PICTURES)]
    for picture in pictures:  # nobody says what the dog is
        picture.void = picture.objects.pop().mask
    data = tfstream.open(outlined.write(tmp_path / "packed", pictures))
    arguments = {"batch_size": 1, "label": None, "masks": "semantic", "elements": "dict"}
    streamed = data.stream(image=SPEC, seed=2, **arguments).as_numpy_iterator()
    arrays = data.to_numpy_iterator(image=SPEC, seed=2, **arguments)
    compared = 0
    for one, other in zip(streamed, arrays, strict=True):
        np.testing.assert_array_equal(one["masks"], other["masks"])
        void, dog = one["masks"][0] == -1, one["image"][0, ..., 1] > 127
        assert (void ^ dog).sum() <= 1.5 * sum(SPEC.size)
        assert set(one["masks"][~void[None]].tolist()) <= {0, data.labels.background}
        if dog.sum() > 0.05 * dog.size:
            compared += 1
            assert overlap(void, dog) > 0.9
    assert compared > 4


@pytest.mark.parametrize(
    ("image", "masks"),
    [(SPEC, "instance"), (tfstream.ImageSpec((90, 100), mode="crop_or_pad"), "semantic")],
)
def test_numpy_has_the_pixels_and_points_of_streams(data, image, masks):
    arguments = {**OBJECTS, "batch_size": 4, "image": image, "masks": masks}
    batches = data.to_numpy_iterator(**arguments)
    for ours, theirs in zip(batches, data.stream(**arguments).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(ours["masks"], theirs["masks"])
        assert ours["masks"].dtype == theirs["masks"].dtype
        np.testing.assert_allclose(ours["keypoints"], theirs["keypoints"], atol=1e-5)
        assert ours["keypoints"].dtype == theirs["keypoints"].dtype


def test_a_label_map_says_what_is_where(data):
    spec = tfstream.ImageSpec(size=(120, 150), mode="crop_or_pad")
    stream = data.stream(batch_size=4, image=spec, label=None, masks="semantic")
    assert stream.element_spec[1] == tf.TensorSpec((None, 120, 150), tf.int32)
    for pictures_of, maps in stream.as_numpy_iterator():
        for picture, label_map in zip(pictures_of, maps, strict=True):
            assert overlap(label_map == 0, picture[..., 0] > 127) > 0.97
            assert overlap(label_map == 1, picture[..., 1] > 127) > 0.99
            assert set(np.unique(label_map)) <= {-1, 0, 1, 2}  # cat, dog, background
            padded = label_map == -1
            assert padded.any()
            assert not picture[padded].any()
            inside = np.argwhere(~padded)
            assert (~padded).sum() == np.prod(inside.max(0) - inside.min(0) + 1)  # a rectangle


def test_masks_are_ragged_with_their_boxes(data):
    arguments = {**OBJECTS, "boxes": "ragged", "image": SPEC, "batch_size": 5}
    batch = next(iter(data.stream(**arguments)))
    lengths = batch["boxes"].row_lengths()
    np.testing.assert_array_equal(batch["masks"].row_lengths(), lengths)
    assert batch["masks"].shape.as_list() == [5, None, 60, 50]
    assert batch["keypoints"].shape.as_list() == [5, None, 3, 3]
    arrays = next(iter(data.to_numpy_iterator(**arguments)))
    assert [len(masks) for masks in arrays["masks"]] == lengths.numpy().tolist()


def test_points_come_in_the_order_of_the_names_that_are_asked_for(data):
    plain = tfstream.ImageSpec(size=(40, 40))
    kwargs = {**EACH, "image": plain, "shuffle": False}
    all_three = next(iter(data.stream(**kwargs)))["keypoints"][0]
    for names, places in [(("top", "tail", "left_tip"), [2, None, 0]), (2, [0, 1])]:
        points = next(iter(data.stream(**{**kwargs, "keypoints": names})))["keypoints"][0]
        for point, place in zip(points, places, strict=True):
            expected = np.zeros(3) if place is None else all_three[place]
            np.testing.assert_array_equal(point, expected)


def test_points_without_names_are_those_at_their_places(tmp_path):
    one = outlined.image(0)
    for point in one.objects[0].keypoints:
        point.name = ""
    unnamed = tfstream.open(outlined.write(tmp_path / "packed", [one, outlined.image(0)]))
    arguments = {**EACH, "image": None, "keypoints": outlined.TIPS, "masks": None}
    first, second = unnamed.stream(**arguments)
    np.testing.assert_array_equal(first["keypoints"], second["keypoints"])
    for sample in unnamed.to_numpy_iterator(**{**arguments, "batch_size": 1}):
        np.testing.assert_array_equal(sample["keypoints"][0], first["keypoints"])


def test_the_smaller_of_overlapping_objects_lies_on_top(tmp_path):
    one = outlined.image(0)
    cat, dog = one.objects
    dog.mask = b""
    dog.box.CopyFrom(cat.box)
    dog.box.xmax += 10
    dog.polygons.add(x=[0, 0, one.width, one.width], y=[0, one.height, one.height, 0])
    packed = outlined.write(tmp_path / "packed", [one])
    spec = tfstream.ImageSpec(size=(80, 80))
    stream = tfstream.open(packed).stream(batch_size=None, image=spec, label=None, masks="semantic")
    ((image, label_map),) = stream.as_numpy_iterator()
    assert overlap(label_map == 0, image[..., 0] > 127) > 0.97
    assert set(np.unique(label_map)) == {0, 1}


def test_they_are_the_same_in_a_session(data):
    arguments = {**OBJECTS, "batch_size": 4, "image": SPEC, "masks": "semantic"}
    expected = next(data.stream(**arguments).as_numpy_iterator())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        following = tf.compat.v1.data.make_one_shot_iterator(data.stream(**arguments)).get_next()
        found = session.run(following)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_the_members_of_data_points_have_theirs(data):
    pairs = data[:15].data_points("pair", size=2, missing="pad")
    arguments = {**EACH, "image": SPEC, "shuffle": False, "masks": "semantic"}
    missing = 0
    arrays = pairs.to_numpy_iterator(**{**arguments, "batch_size": 1})
    for sample, array in zip(pairs.stream(**arguments), arrays, strict=True):
        assert sample["masks"].shape == (2, 60, 50)
        assert sample["keypoints"].shape == (2, 3, 3, 3)
        np.testing.assert_array_equal(sample["masks"], array["masks"][0])
        for there, label_map in zip(sample["present"].numpy(), sample["masks"], strict=True):
            missing += not there
            assert there or (label_map.numpy() == -1).all()
    assert missing == 1


def test_a_mix_has_them_and_wants_all_to_have_them(data):
    arguments = {**OBJECTS, "batch_size": 4, "image": SPEC}
    streams = {"one": data.stream(**arguments), "other": data[:8].stream(**arguments)}
    batch = next(iter(tfstream.mix(streams)))
    assert batch["masks"].shape == (4, 3, 60, 50)
    streams["other"] = data.stream(**{**arguments, "masks": "semantic"})
    with pytest.raises(InvalidArgumentError, match="masks"):
        tfstream.mix(streams)


def test_keras_takes_label_maps_and_ignores_what_is_padding(data):
    import keras

    spec = tfstream.ImageSpec(size=(16, 16), dtype="float32", normalize="unit")
    stream = data.stream(batch_size=6, image=spec, label=None, masks="semantic", pad_remainder=True)
    assert [len(part.shape) for part in stream.element_spec] == [4, 3]
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile("adam", loss)
    history = model.fit(stream, epochs=1, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"masks": "ragged"}, "masks must be one of"),
        ({"masks": "instance"}, 'add boxes="ragged"'),
        ({"masks": "semantic", "image": tfstream.RAW}, "ask for a tfstream.ImageSpec"),
        ({"masks": "semantic", "image": None}, "ask for a tfstream.ImageSpec"),
        ({"keypoints": 3}, "keypoints are those of each box's object"),
        ({"keypoints": (), "boxes": 2}, "must be the points' names"),
        ({"keypoints": "nose", "boxes": 2}, "must be the points' names"),
        ({"keypoints": 0, "boxes": 2}, "must be the points' names"),
        ({"keypoints": ("nose", "nose"), "boxes": 2}, "names 'nose' twice"),
        ({"keypoints": 3, "boxes": 2, "image": SPEC}, "a mirrored left eye is a right one"),
        ({"keypoints": ["left_eye"], "boxes": 2, "image": SPEC}, "not 'right_eye'"),
        ({"masks": "semantic", "pad_remainder": True}, "in what is padding"),
        ({"masks": "instance", "boxes": 2, "pad_remainder": True}, "in what is padding"),
    ],
)
def test_a_bad_argument_is_named(data, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        data.stream(**arguments)


def record_with(name, values):
    """A record of which one feature is another."""
    from tfstream.format.label_map import LabelMap

    parsed = example_pb2.Example()
    parsed.ParseFromString(example.encode(outlined.image(0), LabelMap(names=("cat", "dog"))))
    feature = parsed.features.feature[name]
    kind = getattr(feature, feature.WhichOneof("kind"))
    del kind.value[:]
    kind.value.extend(values)
    return parsed.SerializeToString()


LIES = [
    (shapes.POLYGON_POINTS, [900], "polygon"),
    (shapes.POLYGON_POINTS, [-3], "polygon"),
    (shapes.POLYGON_OBJECT, [7], "polygon"),
    (shapes.KEYPOINT_COUNT, [900, 0], "keypoint"),
    (shapes.KEYPOINT_COUNT, [4, -1], "keypoint"),
    (shapes.KEYPOINT_Y, [0.5], "keypoint"),
    (shapes.MASK, [b"", b"\x89PNG\r\n\x1a\n" + bytes(12) + b"\xff" * 8], "mask|identify"),
]


@pytest.mark.parametrize(("name", "values", "message"), LIES)
def test_features_that_contradict_each_other_are_an_error(name, values, message):
    """Of the masks, one has a header that promises more pixels than memory has."""
    from tfstream import samples
    from tfstream.adapters import samples as array_samples
    from tfstream.elements import ArrayElements, StreamElements
    from tfstream.format.label_map import LabelMap
    from tfstream.source import Chunk

    labels, record = LabelMap(names=("cat", "dog")), record_with(name, values)
    spec = tfstream.ImageSpec(size=(30, 30))
    parts = (spec, None, 3, "instance", outlined.TIPS, "dict")
    with pytest.raises(CorruptRecordError, match=message):
        array_samples.make(
            ArrayElements(*parts), labels, record, np.zeros(0, np.float32), place=lambda: "a"
        )
    elements = StreamElements(*parts)
    parse = samples.parser(elements, labels, skip_corrupt=False, blank=None)
    finish = samples.finisher(
        elements, labels, formats=frozenset({"png"}), rotated=False, largest=(200, 200)
    )

    def made(payload):
        row = parse(Chunk(payload, tf.constant([True]), tf.zeros([1, 0]), None))
        return finish(tf.nest.map_structure(lambda value: value[0], row))

    with pytest.raises(tf.errors.InvalidArgumentError, match=f"tfstream: .*({message})"):
        tf.function(made)(tf.constant([record]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-10, 40, width=32), st.floats(-10, 40, width=32)),
        min_size=3,
        max_size=8,
    )
)
def test_a_pixel_is_enclosed_where_the_outline_winds_around_its_centre(corners):
    outline = np.array(corners, np.float64)
    found = array_shapes._enclosed([outline], (24, 30))
    following = np.roll(outline, -1, axis=0)
    for row, column in [(0, 0), (5, 9), (12, 12), (20, 3), (23, 29)]:
        point = np.array([column + 0.5, row + 0.5])
        a, b = outline - point, following - point
        cross, dot = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)
        if (np.abs(cross) < 1e-6).any():
            continue  # on an edge, or in line with one
        turns = round(np.arctan2(cross, dot).sum() / (2 * np.pi))
        area = (outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]).sum()
        if abs(area) > 1e-9:
            assert found[row, column] == (turns != 0)


def test_an_object_of_several_polygons_is_all_of_them():
    square = np.array([[2, 2], [8, 2], [8, 8], [2, 8]], np.float64)
    found = array_shapes._enclosed([square, square[::-1] + 3], (20, 20))
    assert found.sum() == 36 + 36 - 9


def test_where_points_may_be_an_untold_visibility_is_visible_and_equal_counts_need_not_be_told():
    """As in records that others wrote."""
    from tfstream import keypoints

    record = example_pb2.Example()
    features.put_floats(record.features.feature[shapes.KEYPOINT_X], [0.1, 0.2, 0.3, 0.4])
    features.put_floats(record.features.feature[shapes.KEYPOINT_Y], [0.5, 0.6, 0.7, 0.8])
    found = features.Features(record.SerializeToString())
    window = views.Window(0, 0, 10, 10, False)
    ours = array_shapes.keypoints(found, np.arange(2), 2, window, objects=2, height=10, width=10)
    empty = tf.zeros([0], tf.int64)
    points = keypoints.Points(
        tf.constant([0.1, 0.2, 0.3, 0.4]),
        tf.constant([0.5, 0.6, 0.7, 0.8]),
        empty,
        tf.zeros([0], tf.string),
        empty,
    )
    theirs = keypoints.of_objects(points, 2, objects=tf.constant(3), known=tf.constant(2))
    np.testing.assert_allclose(ours, theirs[:2], atol=1e-6)
    np.testing.assert_allclose(ours[1, 0], [0.7, 0.3, 2], atol=1e-6)
    assert not theirs[2].numpy().any()


def test_a_record_by_hand_has_them_as_they_are_stored(data):
    record = data["00"]  # upright: the file itself says nothing of how it lies
    objects, stored = record["objects"], outlined.image(0)
    assert objects["mask"][0] is None
    np.testing.assert_array_equal(objects["mask"][1], record["image"][..., 1] > 0)
    (corners,), none = objects["polygons"]
    assert none == []
    polygon = stored.objects[0].polygons[0]
    sides = [stored.height, stored.width]
    np.testing.assert_allclose(corners * sides, np.stack([polygon.y, polygon.x], -1), rtol=1e-5)
    np.testing.assert_allclose(objects["keypoints"][0][:, :2], corners, atol=1e-6)
    assert objects["keypoint_names"] == [list(outlined.TIPS), []]


def test_pictures_of_which_none_has_any_have_empty_ones(tmp_path):
    several = [outlined.image(number) for number in range(4)]
    for one in several:
        del one.objects[:]
    packed = tfstream.open(outlined.write(tmp_path / "packed", several))
    (batch,) = packed.stream(**{**OBJECTS, "batch_size": 4, "image": SPEC})
    assert not batch["masks"].numpy().any()
    assert not batch["keypoints"].numpy().any()

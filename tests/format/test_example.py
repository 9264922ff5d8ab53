"""Tests of tfstream/format/example.py."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream import errors
from tfstream.format import example
from tfstream.format.label_map import LabelMap
from tfstream.v1 import example_pb2
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Polygon, Value

LABELS = LabelMap.from_names(["cat", "dog", "häßlich"])


def _image(*objects: Object, **fields: object) -> AnnotatedImage:
    given = {"key": "train/a", "encoded": b"\xff\xd8x", "format": "jpeg", "width": 200}
    return AnnotatedImage(**{**given, "height": 100, "orientation": 1, **fields}, objects=objects)


def _object(label: str, *box: float, normalized: bool = False, **fields: object) -> Object:
    if not box:
        return Object(label=label, **fields)
    ymin, xmin, ymax, xmax = box
    sides = Box(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax, normalized=normalized)
    return Object(label=label, box=sides, **fields)


def _features(payload: bytes) -> dict[str, list[object]]:
    parsed = example_pb2.Example.FromString(payload)
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in parsed.features.feature.items()
    }


def test_every_feature_is_where_the_object_detection_api_looks_for_it() -> None:
    image = _image(
        _object("dog", 10, 20, 50, 100, difficult=True),
        _object("cat", 0, 0, 100, 200, truncated=True, occluded=True, crowd=True),
        image_path="/somewhere/Data/a.JPEG",
        metadata={"b.c": Value(int_value=3), "a": Value(string_value="ü")},
    )
    features = _features(example.encode(image, LABELS))
    assert json.loads(features.pop("image/metadata")[0]) == {"a": "ü", "b.c": 3}
    for side in ("ymin", "xmin"):
        assert features.pop(f"image/object/bbox/{side}") == pytest.approx([0.1, 0])
    assert features == {
        "image/encoded": [b"\xff\xd8x"],
        "image/format": [b"jpeg"],
        "image/height": [100],
        "image/width": [200],
        "image/orientation": [1],
        "image/source_id": [b"train/a"],
        "image/filename": [b"a.JPEG"],
        "image/class/label": [0],
        "image/class/text": [b"cat"],
        "image/object/class/label": [1, 0],
        "image/object/class/text": [b"dog", b"cat"],
        "image/object/bbox/ymax": [0.5, 1],
        "image/object/bbox/xmax": [0.5, 1],
        "image/object/difficult": [1, 0],
        "image/object/truncated": [0, 1],
        "image/object/occluded": [0, 1],
        "image/object/is_crowd": [0, 1],
    }


def test_an_image_without_objects_is_background() -> None:
    features = _features(example.encode(_image(), LABELS))
    assert features["image/class/label"] == [3]
    assert "image/class/text" not in features
    assert features["image/object/class/text"] == []
    assert features["image/object/bbox/xmin"] == []
    assert features["image/filename"] == [b"a.jpeg"]
    without = LabelMap.from_names(["cat"], background=False)
    assert "image/class/label" not in _features(example.encode(_image(), without))


def test_an_object_without_a_box_fills_the_image() -> None:
    features = _features(example.encode(_image(_object("dog")), LABELS))
    assert [features[name] for name in example.BOX] == [[0], [0], [1], [1]]
    assert features["image/class/text"] == [b"dog"]


def test_the_main_object_has_the_largest_box_and_comes_first_of_equals() -> None:
    assert example.main_object(_image()) is None
    small, large = _object("cat", 0, 0, 10, 10), _object("dog", 0, 0, 20, 20)
    assert example.main_object(_image(small, large, small)) == 1
    assert example.main_object(_image(large, large)) == 0
    assert example.main_object(_image(large, _object("cat"), large)) == 1
    assert example.main_object(_image(_object("cat", 0, 0, 100, 200), _object("cat"))) == 0
    assert example.main_object(_image(_object("cat", 5, 5, 5, 5))) == 0
    halves = [_object("cat", 0, 0, 0.5, 0.5, normalized=True), large]
    assert example.main_object(_image(*halves)) == 0
    assert example.main_object(_image(*halves[:1], width=0, height=0)) == 0


@given(st.integers(1, 6000), st.integers(1, 6000), st.data())
def test_the_main_object_is_the_same_before_and_after_the_record(
    width: int, height: int, data: st.DataObject
) -> None:
    def span(size: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, size), min_size=2, max_size=2).map(sorted)

    spans = data.draw(st.lists(st.tuples(span(height), span(width)), min_size=1, max_size=4))
    objects = [_object("cat", y[0], x[0], y[1], x[1]) for y, x in spans]
    image = _image(*objects, width=width, height=height)
    assert example.main_object(example.decode(example.encode(image, LABELS))) == (
        example.main_object(image)
    )


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(errors.UnknownLabelError, match=r"'bird'"):
        example.encode(_image(_object("bird", 0, 0, 1, 1)), LABELS)


def test_pixels_need_a_size() -> None:
    with pytest.raises(errors.AnnotationError, match=r"'train/a' are in pixels.*0 x 100"):
        example.encode(_image(_object("cat", 0, 0, 1, 1), width=0), LABELS)


_unit = st.floats(0, 1, width=32)
_polygons = st.lists(
    st.lists(st.tuples(_unit, _unit), max_size=5).map(
        lambda points: Polygon(x=[x for x, _ in points], y=[y for _, y in points])
    ),
    max_size=2,
)
_objects = st.builds(
    Object,
    label=st.sampled_from(LABELS.names),
    box=st.builds(Box, ymin=_unit, xmin=_unit, ymax=_unit, xmax=_unit, normalized=st.just(True)),
    difficult=st.booleans(),
    truncated=st.booleans(),
    occluded=st.booleans(),
    crowd=st.booleans(),
    polygons=_polygons,
)
_values = st.one_of(
    st.builds(Value, string_value=st.text()),
    st.builds(Value, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(Value, float_value=st.floats(allow_nan=False)),
    st.builds(Value, bool_value=st.booleans()),
)
_images = st.builds(
    AnnotatedImage,
    key=st.text(),
    image_path=st.just("a.png"),
    encoded=st.binary(max_size=50),
    format=st.sampled_from(["jpeg", "png"]),
    width=st.integers(1, 2**32 - 1),
    height=st.integers(1, 2**32 - 1),
    orientation=st.integers(1, 8),
    objects=st.lists(_objects, max_size=4),
    metadata=st.dictionaries(st.text(), _values, max_size=3),
)


@given(_images)
def test_a_record_gives_its_image_back(image: AnnotatedImage) -> None:
    payload = example.encode(image, LABELS)
    assert example.decode(payload) == image
    assert example.encode(example.decode(payload), LABELS) == payload


@given(_images, st.data())
def test_damaged_records_give_errors_of_ours_alone(
    image: AnnotatedImage, data: st.DataObject
) -> None:
    payload = bytearray(example.encode(image, LABELS))
    for _ in range(3):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(errors.CorruptRecordError):
        example.decode(bytes(payload))


def test_a_record_that_is_no_example_is_refused() -> None:
    with pytest.raises(errors.CorruptRecordError, match=r"5 bytes\) is not a tf\.train\.Example"):
        example.decode(b"hello")


def _with(**features: example_pb2.Feature) -> bytes:
    parsed = example_pb2.Example()
    for name, feature in features.items():
        parsed.features.feature[name.replace("__", "/")].CopyFrom(feature)
    return parsed.SerializeToString()


def _floats(*values: float) -> example_pb2.Feature:
    return example_pb2.Feature(float_list=example_pb2.FloatList(value=values))


def _texts(*values: bytes) -> example_pb2.Feature:
    return example_pb2.Feature(bytes_list=example_pb2.BytesList(value=values))


def _ints(*values: int) -> example_pb2.Feature:
    return example_pb2.Feature(int64_list=example_pb2.Int64List(value=values))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            _with(image__object__class__text=_texts(b"a"), image__object__difficult=_ints(0, 1)),
            "image/object/class/text has 1 values for 2 objects",
        ),
        (_with(image__object__bbox__xmin=_floats(0)), "sides of the boxes have"),
        (_with(image__object__polygon__x=_floats(0)), "0 corners for 1 x and 0 y"),
        (
            _with(image__object__polygon__points=_ints(0), image__object__polygon__object=_ints(5)),
            "object 5 of 0",
        ),
        (_with(image__width=_ints(-1)), "features cannot be read"),
        (_with(image__source_id=_texts(b"\xff")), "'utf-8' codec"),
        (_with(image__metadata=_texts(b"[1]")), "holds a list where an object belongs"),
        (_with(image__metadata=_texts(b'{"a": []}')), "holds a list under 'a'"),
        (_with(image__metadata=_texts(b"[" * 100_000)), "features cannot be read"),
        (_with(image__metadata=_texts(b'{"a": 99999999999999999999}')), "features cannot be read"),
    ],
    ids=lambda given: given if isinstance(given, str) else "features",
)
def test_features_that_contradict_each_other_are_named(payload: bytes, message: str) -> None:
    with pytest.raises(errors.CorruptRecordError) as caught:
        example.decode(payload)
    assert message in str(caught.value)


def test_a_record_of_another_writer_is_read_as_far_as_it_goes() -> None:
    image = example.decode(_with(image__object__class__text=_texts(b"cat")))
    assert image.objects[0].label == "cat"
    assert not image.objects[0].HasField("box")
    assert example.decode(b"") == AnnotatedImage()


def test_tensorflow_parses_what_we_write() -> None:
    tf = pytest.importorskip("tensorflow")
    payload = example.encode(_image(_object("dog", 10, 20, 50, 100)), LABELS)
    parsed = tf.train.Example.FromString(payload)
    assert parsed.features.feature["image/object/bbox/xmax"].float_list.value == [0.5]
    assert parsed.features.feature["image/source_id"].bytes_list.value == [b"train/a"]
    empty = tf.io.parse_single_example(
        example.encode(_image(), LABELS),
        {"image/object/class/label": tf.io.RaggedFeature(tf.int64)},
    )
    assert empty["image/object/class/label"].shape == (0,)

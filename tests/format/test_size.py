"""The size of a record, known before it is made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream.format import example
from tfstream.format.label_map import LabelMap
from tfstream.format.size import encoded_size, index_slack
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Polygon, Value

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
VALUES = st.one_of(
    st.builds(lambda v: Value(string_value=v), TEXT),
    st.builds(lambda v: Value(int_value=v), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: Value(float_value=v), st.floats()),
    st.builds(lambda v: Value(bool_value=v), st.booleans()),
)
EDGES = st.floats(0, 1)
BOXES = st.builds(
    lambda y, x, b, r: Box(ymin=y, xmin=x, ymax=b, xmax=r, normalized=True),
    *[EDGES] * 4,
)
POLYGONS = st.builds(lambda n: Polygon(x=[0.5] * n, y=[0.5] * n), st.integers(0, 40))
OBJECTS = st.builds(
    lambda label, box, difficult, polygons: Object(
        label=label, box=box, difficult=difficult, polygons=polygons
    ),
    TEXT,
    BOXES,
    st.booleans(),
    st.one_of(st.just([]), st.just([]), st.lists(POLYGONS, max_size=3)),
)
IMAGES = st.builds(
    lambda **fields: AnnotatedImage(**fields),
    key=TEXT,
    image_path=st.one_of(st.just(""), st.builds("a/b/{}.jpg".format, TEXT)),
    format=st.sampled_from(["jpeg", "png", ""]),
    width=st.integers(1, 2**31),
    height=st.integers(1, 2**31),
    orientation=st.integers(0, 8),
    objects=st.lists(OBJECTS, max_size=5),
    metadata=st.dictionaries(TEXT, VALUES, max_size=4),
)


class Same(LabelMap):
    """Gives every label the same index."""

    def index(self, name):
        return int(self.names[0])


@given(IMAGES, st.integers(0, 300_000))
def test_the_size_is_that_of_the_record(image, image_bytes):
    told = encoded_size(image, image_bytes)
    image.encoded = bytes(image_bytes)
    assert told == len(example.encode(image, Same(names=("127",))))


@pytest.mark.parametrize("near", [0, 100, 128, 16_000, 16_384, 2_097_152])
@pytest.mark.parametrize("objects", [0, 1, 13, 130])
def test_the_size_is_exact_where_a_length_gets_another_byte(near, objects):
    labels = LabelMap.from_names(["a"])
    image = AnnotatedImage(key="k", width=3, height=4, format="jpeg")
    image.objects.extend([Object(label="a")] * objects)
    for image_bytes in range(max(near - 60, 0), near + 10, 3):
        image.ClearField("encoded")
        told = encoded_size(image, image_bytes)
        image.encoded = bytes(image_bytes)
        assert told == len(example.encode(image, labels))


@given(IMAGES, st.integers(0, 40_000), st.integers(128, 2**21 - 1))
def test_with_larger_indices_it_is_longer_by_no_more_than_the_slack(image, image_bytes, index):
    told = encoded_size(image, image_bytes)
    image.encoded = bytes(image_bytes)
    made = len(example.encode(image, Same(names=(str(index),))))
    assert told <= made <= told + index_slack(len(image.objects))

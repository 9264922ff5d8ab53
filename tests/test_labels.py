"""Labels as indices and vectors."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfstream import labels
from tfstream.errors import InvalidArgumentError


def encode(mode, main, objects, classes=4, background=3):
    return labels.encode(
        mode,
        main=None if main is None else tf.constant(main, tf.int64),
        objects=None if objects is None else tf.constant(objects, tf.int64),
        classes=classes,
        background=background,
    ).numpy()


def test_an_index_is_the_main_objects_class():
    assert encode("index", [2, 3, -1], None).tolist() == [2, 3, -1]
    assert encode("index", 2, None) == 2


def test_a_one_hot_vector_has_its_one_at_the_main_objects_class():
    out = encode("one_hot", [2, 3], None)
    assert out.dtype == np.float32
    assert out.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]


def test_an_image_without_a_class_has_only_zeros():
    assert encode("one_hot", -1, None).tolist() == [0, 0, 0, 0]
    assert encode("multi_hot", None, [-1, -1], background=None).tolist() == [0, 0, 0, 0]


def test_a_multi_hot_vector_has_a_one_for_each_class_that_occurs():
    out = encode("multi_hot", None, [[0, 2, 2], [1, -1, -1]])
    assert out.dtype == np.float32
    assert out.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]


def test_an_image_without_objects_is_background():
    assert encode("multi_hot", None, [[-1, -1], [0, -1]]).tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert encode("multi_hot", None, np.zeros((2, 0))).tolist() == [[0, 0, 0, 1]] * 2
    assert encode("multi_hot", None, np.zeros(0)).tolist() == [0, 0, 0, 1]


def test_a_multi_hot_vector_without_the_objects_is_an_error():
    with pytest.raises(InvalidArgumentError, match="multi_hot"):
        encode("multi_hot", 1, None)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 9).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.lists(st.lists(st.integers(0, classes - 1), max_size=5), min_size=1, max_size=6),
        )
    )
)
def test_many_samples_at_once_are_as_one_by_one(classes_and_rows):
    classes, rows = classes_and_rows
    longest = max(map(len, rows))
    padded = [row + [-1] * (longest - len(row)) for row in rows]
    together = encode("multi_hot", None, np.reshape(padded, (len(rows), -1)), classes, classes - 1)
    for row, hot in zip(rows, together, strict=True):
        assert set(np.flatnonzero(hot)) == (set(row) or {classes - 1})
        alone = encode("multi_hot", None, np.asarray(row), classes, classes - 1)
        np.testing.assert_array_equal(hot, alone)

"""Boxes against the pixels that they go with."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.test_images import stored
from tfstream import boxes, images
from tfstream.images import ImageSpec, View


def follow(box, window, size, *, flip=False):
    view = View(tf.constant(window, tf.float32), tf.constant(flip))
    spec = ImageSpec((10, 10), flip=True)
    out, keep = boxes.follow(
        tf.constant([box], tf.float32), view, spec, height=size[0], width=size[1]
    )
    return out.numpy()[0].tolist(), bool(keep.numpy()[0])


def test_a_box_in_the_window_is_measured_in_the_window():
    box, keep = follow((0.25, 0.5, 0.5, 0.75), (20, 40, 60, 60), (100, 100))
    assert box == pytest.approx([5 / 60, 10 / 60, 30 / 60, 35 / 60])
    assert keep


def test_a_box_is_cut_at_the_windows_edge():
    box, keep = follow((0, 0, 0.5, 0.5), (25, 25, 50, 50), (100, 100))
    assert box == pytest.approx([0, 0, 0.5, 0.5])
    assert keep


@pytest.mark.parametrize("box", [(0, 0, 0.2, 1), (0, 0.9, 1, 1), (0.4, 0.4, 0.4, 0.6)])
def test_a_box_of_which_nothing_is_left_is_dropped(box):
    assert not follow(box, (25, 25, 50, 50), (100, 100))[1]


def test_a_flip_mirrors_a_box_left_to_right():
    box, keep = follow((0.1, 0.2, 0.3, 0.6), (0, 0, 100, 100), (100, 100), flip=True)
    assert box == pytest.approx([0.1, 0.4, 0.3, 0.8])
    assert keep


def test_a_picture_without_boxes_stays_without():
    view = View(tf.constant([0.0, 0, 5, 5]), tf.constant(False))
    out, keep = boxes.follow(tf.zeros([0, 4]), view, ImageSpec((9, 9)), height=5, width=5)
    assert out.shape == (0, 4)
    assert keep.shape == (0,)


def test_boxes_of_many_pictures_follow_as_those_of_each():
    spec = ImageSpec((8, 8), mode="random_crop", flip=True)
    rng = np.random.default_rng(0)
    height, width = tf.constant([50, 90, 400]), tf.constant([60, 30, 300])
    view = images.plan(spec, height, width, tf.constant(rng.random((3, 5)), tf.float32))
    corners = np.sort(rng.random((3, 4, 2, 2)), axis=2).reshape(3, 4, 4).astype(np.float32)
    together, keep = boxes.follow(corners, view, spec, height=height, width=width)
    for i in range(3):
        one = View(view.window[i], view.flip[i])
        alone = boxes.follow(corners[i], one, spec, height=height[i], width=width[i])
        np.testing.assert_array_equal(together[i], alone[0])
        np.testing.assert_array_equal(keep[i], alone[1])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_box_lies_in_the_image_where_its_rectangle_was_drawn(data):
    """A white rectangle on black is cut, resized, turned and flipped like any picture."""
    height, width = data.draw(st.integers(30, 160)), data.draw(st.integers(30, 160))
    top, left = data.draw(st.integers(0, height - 9)), data.draw(st.integers(0, width - 9))
    bottom = data.draw(st.integers(top + 8, height))
    right = data.draw(st.integers(left + 8, width))
    spec = ImageSpec(
        (data.draw(st.integers(40, 120)), data.draw(st.integers(40, 120))),
        mode=data.draw(st.sampled_from(images.MODES)),
        flip=True,
    )
    orientation = data.draw(st.integers(1, 8))
    uniform = st.floats(0, 1, exclude_max=True, width=32, allow_subnormal=False)
    draws = data.draw(st.lists(uniform, min_size=spec.draws, max_size=spec.draws))

    shown = np.zeros((height, width, 3), np.uint8)
    shown[top:bottom, left:right] = 255
    kept = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.transpose(1, 0, 2),
        6: np.rot90(shown, 1),
        7: shown[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(shown, -1),
    }[orientation]
    encoded = stored(Image.fromarray(np.ascontiguousarray(kept)), "PNG")
    view = images.plan(
        spec, tf.constant(height), tf.constant(width), tf.constant(draws, tf.float32)
    )
    image = images.render(
        spec,
        tf.constant(encoded),
        view,
        height=tf.constant(height),
        width=tf.constant(width),
        orientation=tf.constant(orientation),
        formats=frozenset({"png"}),
        rotated=True,
    ).numpy()
    box = [[top / height, left / width, bottom / height, right / width]]
    out, keep = boxes.follow(tf.constant(box, tf.float32), view, spec, height=height, width=width)

    ymin, xmin, ymax, xmax = out.numpy()[0] * np.tile(spec.size, 2)
    if not keep.numpy()[0]:
        assert image.max() == 0
        return
    # A sliver may be thinner than a pixel of the image.
    assume(ymax - ymin >= 2 <= xmax - xmin)
    white = image[..., 0] > 127
    rows, columns = (np.flatnonzero(white.any(axis=axis)) for axis in (1, 0))
    # Where a smooth edge is half white, it is the edge: to a pixel.
    found = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    np.testing.assert_allclose(found, [ymin, xmin, ymax, xmax], atol=1.01)


@pytest.mark.parametrize("n", [0, 2, 3, 5])
def test_padding_makes_the_number_of_boxes_the_same(n):
    some = np.arange(n * 4, dtype=np.float32).reshape(n, 4)
    out = boxes.pad(tf.constant(some), count=5)
    labels = boxes.pad(tf.range(n), count=5, filler=-1)
    np.testing.assert_array_equal(out[:n], some)
    assert not out[n:].numpy().any()
    assert out.shape == (5, 4)
    assert labels.numpy().tolist() == [*range(n), *[-1] * (5 - n)]

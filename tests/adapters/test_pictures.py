"""Tests of tfstream/adapters/pictures.py and resampling.py: images as the graph makes them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfstream import native
from tfstream.adapters import pictures, resampling
from tfstream.adapters.views import Window, plan
from tfstream.images import ImageSpec

needs_library = pytest.mark.skipif(native.samples() is None, reason="needs the built library")


def png(height, width):
    """A smooth picture with an edge; nothing is lost in it, so that decoders agree."""
    y, x = np.mgrid[:height, :width]
    shades = [x * 255 // width, y * 255 // height, np.where(x > y, 200, 20)]
    out = io.BytesIO()
    Image.fromarray(np.stack(shades, axis=-1).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def rendered(spec, encoded, window, height, width, orientation, **more):
    size = {"height": height, "width": width, "orientation": orientation}
    return pictures.render(spec, encoded, window, **size, **more)


@pytest.mark.kernel
@needs_library
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("mode", "more"),
    [
        ("resize", {"flip": True}),
        ("center_crop", {"antialias": True}),
        ("crop_or_pad", {"dtype": "float32", "normalize": "imagenet"}),
        ("random_crop", {"antialias": False, "dtype": "float32", "normalize": "standardize"}),
    ],
)
def test_the_values_are_those_of_the_kernel(mode, more, orientation):
    tf = pytest.importorskip("tensorflow")
    from tfstream import images

    spec = ImageSpec(size=(33, 50), mode=mode, **more)
    stored = (90, 61)
    height, width = stored[::-1] if orientation >= 5 else stored
    encoded = png(*stored)
    draws = np.full(spec.draws, 0.3, np.float32)
    window = plan(spec, height, width, draws)
    mine = rendered(spec, encoded, window, height, width, orientation)
    theirs = images.render(
        spec,
        tf.constant(encoded),
        images.plan(spec, tf.constant(height), tf.constant(width), tf.constant(draws)),
        height=tf.constant(height),
        width=tf.constant(width),
        orientation=tf.constant(orientation),
        formats=frozenset({"png"}),
        rotated=True,
    ).numpy()
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("built", [pytest.param(True, marks=needs_library), False])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
@pytest.mark.parametrize("size", [(33, 50), (1, 1), (64, 3)])
def test_planes_hold_the_same_values(size, dtype, built, monkeypatch):
    if not built:
        monkeypatch.setattr(native, "samples", lambda: None)
    spec, window = ImageSpec(size=size, dtype=dtype), Window(3, 5, 70, 50, True)
    together = rendered(spec, png(61, 90), window, 90, 61, 6)
    apart = rendered(spec, png(61, 90), window, 90, 61, 6, planes=True)
    assert apart.flags.c_contiguous
    assert apart.dtype == together.dtype
    np.testing.assert_array_equal(apart, np.moveaxis(together, -1, 0))


@needs_library
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("flip", [False, True])
def test_pillow_draws_nearly_the_same_where_the_library_is_missing(orientation, flip, monkeypatch):
    spec = ImageSpec(size=(40, 30), dtype="float32", normalize="unit", antialias=True)
    stored = (120, 80)
    height, width = stored[::-1] if orientation >= 5 else stored
    window = Window(10, 5, height - 30, width - 15, flip)
    made = rendered(spec, png(*stored), window, height, width, orientation)
    monkeypatch.setattr(native, "samples", lambda: None)
    drawn = rendered(spec, png(*stored), window, height, width, orientation)
    assert drawn.dtype == made.dtype == np.float32
    assert np.abs(drawn - made).max() < 0.03


def test_a_picture_of_another_size_than_the_record_says_is_refused():
    spec = ImageSpec(size=(8, 8))
    with pytest.raises(ValueError, match="says 30 x 20 pixels, and the picture has 20 x 30"):
        rendered(spec, png(30, 20), Window(0, 0, 20, 30, False), 20, 30, 1)


@needs_library
def test_pixels_that_do_not_have_their_size_never_reach_native_code():
    window = Window(0, 0, 10, 10, False)
    pixels = np.zeros((9, 10, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(10, 10, 3\) .*got uint8 \(9, 10, 3\)"):
        resampling.resample(ImageSpec(size=(4, 4)), pixels, window, (10, 10), 1, 1)

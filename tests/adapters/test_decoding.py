"""Tests of tfstream/adapters/decoding.py: simplejpeg and Pillow give the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfstream.adapters import decoding

simplejpeg = pytest.importorskip("simplejpeg", reason="needs simplejpeg: pip install simplejpeg")

SIZE = (75, 101)


def jpeg(mode="RGB", **options):
    draws = np.random.default_rng(1)
    coarse = draws.integers(0, 256, (12, 16, 3), np.uint8)
    picture = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def by_pillow(encoded, ratio=1):
    picture, smaller = decoding.decode(encoded, 1, ratio=ratio)
    return np.asarray(picture), smaller


@pytest.fixture
def simplejpeg_alone(monkeypatch):
    def decode(*_, **__):
        raise AssertionError("Pillow was asked")

    monkeypatch.setattr(decoding, "decode", decode)


@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_pixels_are_those_of_pillow(ratio, options, mode, simplejpeg_alone, monkeypatch):
    encoded = jpeg(mode, **options)
    mine, smaller = decoding.pixels(encoded, *SIZE, ratio=ratio)
    monkeypatch.undo()
    theirs, theirs_smaller = by_pillow(encoded, ratio)
    assert (mine.shape, smaller) == (theirs.shape, theirs_smaller)
    assert np.abs(mine.astype(int) - theirs).max() <= 1  # versions of libjpeg-turbo round


def test_what_simplejpeg_objects_to_is_decoded_as_by_pillow():
    damaged = jpeg()[:-2] + bytes(9) + b"\xff\xd9"
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(damaged)
    np.testing.assert_array_equal(decoding.pixels(damaged, *SIZE)[0], by_pillow(damaged)[0])


def test_a_truncated_picture_is_refused_as_by_pillow():
    with pytest.raises(OSError, match="truncated"):
        decoding.pixels(jpeg()[:-200], *SIZE)


def test_a_picture_larger_than_the_record_says_is_pillows_affair():
    pixels, smaller = decoding.pixels(jpeg(), 10, 10)
    assert (pixels.shape, smaller) == ((*SIZE, 3), 1.0)

"""Tests of tfstream/view/shapes.py: what is drawn, of records that nobody has checked."""

from __future__ import annotations

import io
import json
import math

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import pytest
from PIL import Image

from tfstream.annotations import masks
from tfstream.format.label_map import LabelMap
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Keypoint, Object, Polygon
from tfstream.view.shapes import annotation, runs

LABELS = LabelMap.from_names(["cat"])


@hypothesis.given(hypothesis.extra.numpy.arrays(np.bool_, (7, 5)))
def test_runs_give_the_mask_back(mask) -> None:
    lengths = runs(mask.reshape(-1))
    values = np.arange(len(lengths)) % 2 == 1
    assert (np.repeat(values, lengths) == mask.reshape(-1)).all()


def test_masks_are_made_smaller_and_keep_their_shape() -> None:
    mask = np.zeros((400, 800), bool)
    mask[:200] = True
    image = AnnotatedImage(objects=[Object(label="cat", mask=masks.encode(mask))])
    (item,) = annotation(image, LABELS, side=80, most=9)
    assert item["mask"] == {"width": 80, "height": 40, "runs": [0, 1600, 1600]}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30])
def test_coordinates_are_finite_and_near_the_picture(number: float) -> None:
    item = Object(
        label="unknown",
        box=Box(ymin=number, xmin=0, ymax=1, xmax=number, normalized=True),
        polygons=[Polygon(x=[number, 1, 0], y=[0, number, 1])],
        keypoints=[Keypoint(x=number, y=number)],
    )
    (told,) = annotation(AnnotatedImage(objects=[item]), LABELS, side=80, most=9)
    assert told["class"] == -1
    text = json.dumps(told, allow_nan=False)
    assert "e+" not in text


def _bomb() -> bytes:
    """The header of a PNG of a million pixels a side."""
    data = io.BytesIO()
    Image.new("L", (1, 1)).save(data, "PNG")
    return data.getvalue().replace(b"\0\0\0\x01\0\0\0\x01", b"\0\x0f\x42\x40\0\x0f\x42\x40", 1)


@pytest.mark.parametrize("mask", [b"no PNG", b"\x89PNG\r\n\x1a\n" + bytes(30), _bomb()])
def test_a_mask_that_cannot_be_drawn_is_none(mask: bytes) -> None:
    image = AnnotatedImage(objects=[Object(label="cat", mask=mask)])
    (item,) = annotation(image, LABELS, side=80, most=9)
    assert item["mask"] is None


def test_of_many_objects_and_corners_some_are_told() -> None:
    corners = [number / 10_000 for number in range(10_000)]
    outline = Object(label="cat", polygons=[Polygon(x=corners, y=corners)])
    image = AnnotatedImage(objects=[outline] * 30)
    told = annotation(image, LABELS, side=80, most=20)
    assert len(told) == 20
    assert 2000 <= len(told[0]["polygons"][0]) <= 2 * 2048

"""Annotations against their images: sizes, orientations, boxes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tfstream.annotations import masks
from tfstream.format.label_map import LabelMap
from tfstream.packing.images import ImageFacts
from tfstream.packing.validate import check
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Polygon


def image(*boxes, size=(100, 80), **more):
    made = AnnotatedImage(
        key="k", split="train", annotation_path="k.xml", width=size[0], height=size[1]
    )
    for number, (xmin, ymin, xmax, ymax) in enumerate(boxes):
        box = Box(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, **more)
        made.objects.append(Object(label=f"l{number}", box=box))
    return made


def facts(width=100, height=80, orientation=1):
    return ImageFacts("jpeg", width, height, orientation, 1, 1)


def edges(item):
    return item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax


def run(subject, on_invalid="error", labels=None, **kind):
    return check(subject, facts(**kind), labels=labels, on_invalid=on_invalid)


def test_boxes_may_touch_the_edges():
    assert run(image((0, 0, 100, 80), (0.5, 0, 0.6, 80))) == (True, [])


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((-1, 0, 10, 10), "leaves the image of 100 x 80: xmin=-1, ymin=0, xmax=10, ymax=10"),
        ((0, 0, 100.5, 10), "leaves the image"),
        ((0, 0, 10, 81), "leaves the image"),
        ((20, 0, 10, 10), "is inverted: xmin=20"),
        ((0, 20, 10, 10), "is inverted"),
        ((10, 0, 10, 10), "is empty"),
        ((math.nan, 0, 10, 10), "is not a number: xmin=nan"),
        ((0, 0, math.inf, 10), "leaves the image"),
    ],
)
def test_a_bad_box_is_named_with_its_object_and_value(box, words):
    keep, (reject,) = run(image((1, 1, 2, 2), box))
    assert not keep
    assert (reject.object, reject.name, reject.kind) == (1, "l1", "box")
    assert words in reject.reason
    assert str(reject).startswith("k.xml, object 1 ('l1'): its box")


def test_clip_cuts_boxes_and_drops_what_is_empty_then():
    subject = image((-5, -5, 50, 90), (10, 10, 20, 20), (100, 0, 120, 10), (math.nan, 0, 1, 1))
    keep, rejects = run(subject, "clip")
    assert keep
    assert [edges(item) for item in subject.objects] == [(0, 0, 50, 80), (10, 10, 20, 20)]
    assert [(r.object, r.action) for r in rejects] == [
        (0, "object clipped"),
        (2, "object left out"),
        (3, "object left out"),
    ]


@given(st.lists(st.tuples(*[st.floats(allow_nan=True)] * 4), max_size=4))
def test_what_clip_keeps_is_valid(boxes):
    subject = image(*boxes)
    keep, rejects = run(subject, "clip")
    assert keep
    assert run(subject) == (True, [])
    assert len(subject.objects) + sum(r.action == "object left out" for r in rejects) == len(boxes)


def test_skip_leaves_the_record_out_with_all_its_problems():
    keep, rejects = run(image((5, 5, 1, 1), (0, 0, 1, 1), (0, 0, 0, 0)), "skip")
    assert not keep
    assert [(r.object, r.action) for r in rejects] == [
        (0, "record left out"),
        (2, "record left out"),
    ]


def test_a_label_that_is_not_in_the_map_is_named_with_the_nearest():
    labels = LabelMap.from_names(["l0", "l11"])
    keep, (reject,) = run(image((0, 0, 1, 1), (0, 0, 1, 1)), "clip", labels)
    assert not keep
    assert (reject.kind, reject.object, reject.name) == ("label", 1, "l1")
    assert "'l11'" in reject.reason


def test_a_size_that_disagrees_is_an_error():
    keep, (reject,) = run(image(size=(100, 81)), "clip")
    assert not keep
    assert reject.kind == "size"
    assert "says 100 x 81 pixels" in reject.reason
    assert "100 x 80" in reject.reason


@pytest.mark.parametrize("size", [(0, 0), (0, 80), (100, 0)])
def test_a_size_that_is_not_stated_is_taken_from_the_file(size):
    subject = image((0, 0, 100, 80), size=size)
    assert run(subject) == (True, [])
    assert (subject.width, subject.height) == (100, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_in_stored_pixels_are_turned_with_the_image(orientation):
    # A white block on black, as stored: where it is displayed is where the box must be.
    pixels = np.zeros((30, 50), np.uint8)
    pixels[4:10, 20:41] = 255
    stored = Image.fromarray(pixels)
    exif = stored.getexif()
    exif[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(stored))
    rows, columns = np.nonzero(shown)
    subject = image((20, 4, 41, 10), size=(50, 30))
    subject.objects[0].polygons.append(Polygon(x=[20, 41, 41, 20], y=[4, 4, 10, 10]))
    keep, rejects = run(subject, width=50, height=30, orientation=orientation)
    assert (keep, rejects) == (True, [])
    assert (subject.width, subject.height) == shown.shape[::-1]
    if orientation >= 5:
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert edges(subject.objects[0]) == expected
        outline = subject.objects[0].polygons[0]
        assert (min(outline.x), min(outline.y), max(outline.x), max(outline.y)) == expected
    else:  # the size does not tell: boxes are those of the displayed image
        assert edges(subject.objects[0]) == (20, 4, 41, 10)


def test_boxes_in_displayed_pixels_stay():
    subject = image((1, 2, 70, 90), size=(80, 100))
    assert run(subject, orientation=6) == (True, [])
    assert edges(subject.objects[0]) == (1, 2, 70, 90)


def test_an_inverted_box_stays_inverted_when_it_is_turned():
    _, (reject,) = run(image((50, 4, 20, 10)), orientation=6)
    assert "inverted" in reject.reason


def test_a_void_of_another_size_is_named_or_left_out():
    def with_void():
        made = image((1, 1, 5, 5))
        made.void = masks.encode(np.ones((8, 9)))
        return made

    keep, (reject,) = run(with_void())
    assert (keep, reject.kind, reject.action) == (False, "mask", "not packed")
    assert reject.reason == "its void has 9 x 8 pixels, and the image 100 x 80"
    mended = with_void()
    keep, (reject,) = run(mended, on_invalid="clip")
    assert (keep, reject.action, mended.void) == (True, "void left out", b"")


def test_a_void_in_stored_pixels_is_turned_with_the_image():
    made = image(size=(100, 80))
    stored = np.zeros((80, 100))
    stored[:10] = 1
    made.void = masks.encode(stored)
    assert run(made, orientation=6) == (True, [])
    assert (made.width, made.height) == (80, 100)
    assert masks.box(masks.decode(made.void)) == (70, 0, 80, 100)


def test_a_polygon_that_leaves_the_image_is_named_or_clipped():
    def subject():
        made = image((0, 0, 10, 10))
        made.objects[0].polygons.append(Polygon(x=[1, 200, 3], y=[1, 2, 3]))
        return made

    keep, (reject,) = run(subject())
    assert not keep
    assert reject.kind == "polygon"
    assert "x=200" in reject.reason
    clipped = subject()
    assert run(clipped, "clip")[0]
    assert list(clipped.objects[0].polygons[0].x) == [1, 100, 3]


def test_a_polygon_of_two_corners_goes_and_its_object_stays():
    subject = image((0, 0, 10, 10))
    subject.objects[0].polygons.append(Polygon(x=[1, 2], y=[1, 2]))
    keep, (reject,) = run(subject, "clip")
    assert keep
    assert reject.action == "object clipped"
    assert len(subject.objects) == 1
    assert not subject.objects[0].polygons

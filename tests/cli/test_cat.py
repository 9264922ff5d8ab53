"""Tests of tfstream/cli/cat.py and drawing.py."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_dataset import write_dataset

from tfstream.drawing import Mark, draw
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Polygon, Value


def _jpeg(width: int, height: int, orientation: int) -> bytes:
    """A grey image with a white upper left quarter, as stored."""
    pixels = np.full((height, width), 90, np.uint8)
    pixels[: height // 2, : width // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", exif=exif)
    return data.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    turned = AnnotatedImage(
        key="train/turned",
        image_path="turned.JPG",
        encoded=_jpeg(800, 600, 6),
        format="jpeg",
        width=600,
        height=800,
        orientation=6,
        metadata={"number": Value(int_value=3), "half": Value(float_value=0.5)},
        objects=[
            Object(
                label="cat",
                box=Box(ymin=20, xmin=301, ymax=399.5, xmax=590),
                difficult=True,
                polygons=[Polygon(x=[310, 500, 400], y=[30, 40, 300])],
            ),
            Object(label="dog"),
        ],
    )
    damaged = AnnotatedImage(
        key="train/damaged", encoded=b"\xff\xd8 no", format="jpeg", width=8, height=8
    )
    write_dataset(tmp_path / "data", {"train": [[turned], [damaged]]})
    return tmp_path / "data"


def test_the_annotation_comes_as_json_in_pixels(tfstream, root: Path) -> None:
    result = tfstream("cat", root, "train/turned")
    assert result.status == 0
    told = json.loads(result.out)
    shard = root / "shards" / "train-ab-00000.tfrecord"
    assert told.pop("bytes") == len(_jpeg(800, 600, 6))
    assert told == {
        "key": "train/turned",
        "split": "train",
        "filename": "turned.JPG",
        "format": "jpeg",
        "width": 600,
        "height": 800,
        "orientation": 6,
        "label": "dog",
        "objects": [
            {
                "label": "cat",
                "title": "Cat",
                "box": {"xmin": 301, "ymin": 20, "xmax": 590, "ymax": 399.5},
                "difficult": True,
                "polygons": [[[310, 30], [500, 40], [400, 300]]],
            },
            {"label": "dog", "box": {"xmin": 0, "ymin": 0, "xmax": 600, "ymax": 800}},
        ],
        "metadata": {"half": 0.5, "number": 3},
        "shard": str(shard),
        "offset": 0,
        "length": shard.stat().st_size,
    }


@pytest.mark.parametrize("name", ["out.png", "out.JPG"])
def test_the_picture_is_upright_with_its_boxes(
    tfstream, root: Path, tmp_path: Path, name: str
) -> None:
    result = tfstream("cat", root, "train/turned", "--image", tmp_path / "new" / name)
    assert result.status == 0
    with Image.open(tmp_path / "new" / name) as picture:
        assert picture.size == (600, 800)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    # Stored upper left is displayed upper right.
    assert pixels[600, 500].max() < 120
    assert pixels[350, 560].min() > 200
    # The left side of the cat's box is coloured, what lies beside it is grey.
    assert np.ptp(pixels[350, 302]) > 60
    assert np.ptp(pixels[350, 320]) < 20


def test_an_unknown_key_is_answered_with_the_nearest(tfstream, root: Path) -> None:
    result = tfstream("cat", root, "train/turnd")
    assert result.status == 1
    assert result.err.startswith("error: None of the 2 records")
    assert "Nearest: 'train/turned'" in result.err


def test_a_file_that_is_there_is_not_overwritten(tfstream, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_text("precious")
    result = tfstream("cat", root, "train/turned", "--image", path)
    assert result.status == 2
    assert "exists already" in result.err
    assert path.read_text() == "precious"


def test_a_picture_needs_a_format(tfstream, root: Path, tmp_path: Path) -> None:
    result = tfstream("cat", root, "train/turned", "--image", tmp_path / "out.txt")
    assert result.status == 2
    assert "'.txt'" in result.err


def test_damage_is_told_in_one_line(tfstream, root: Path, tmp_path: Path) -> None:
    result = tfstream("cat", root, "train/damaged", "--image", tmp_path / "out.png")
    assert result.status == 1
    assert "'train/damaged' cannot be decoded" in result.err
    assert not (tmp_path / "out.png").exists()
    shard = root / "shards" / "train-ab-00000.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    result = tfstream("cat", root, "train/turned")
    assert result.status == 1
    assert result.err.startswith("error: Record at byte 0 of")


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (40, 30), (1500, 20)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P", "1", "I;16"])
def test_any_image_can_be_drawn_on(size: tuple[int, int], mode: str) -> None:
    marks = [
        Mark("cat", "cat " * 9, (0.0, 0.0, 1.0, 1.0)),
        Mark("dog", "dog", (0.5, 0.5, 0.5, 0.5), (((0.1, 0.1), (0.9, 0.2), (0.3, 0.8)), ((0, 0),))),
        *(Mark(f"label {n}", f"label {n}", (n / 30, n / 30, 1.0, 1.0)) for n in range(30)),
        Mark("scene", "scene", None),
        Mark("empty", "", None),
    ]
    drawn = draw(Image.new(mode, size), marks)
    assert drawn.mode == "RGB"
    scale = drawn.width // size[0]
    assert drawn.size == (size[0] * scale, size[1] * scale)


def test_captions_do_not_cover_each_other_where_there_is_room() -> None:
    box = (0.4, 0.4, 0.8, 0.8)
    marks = [Mark(str(n), f"object {n}", box) for n in range(6)]
    pixels = np.asarray(draw(Image.new("RGB", (800, 800)), marks)).reshape(-1, 3)
    counts = np.unique(pixels, axis=0, return_counts=True)[1]
    # Each caption's own colour fills an area of its own.
    assert (np.sort(counts)[-7:-1] > 500).all()

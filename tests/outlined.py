"""A small dataset of pictures into which the outlines and masks of their objects are painted.

Each picture has a cat, a red triangle with a polygon and a keypoint at each tip, and a dog, a green
ellipse with a stored mask. They do not touch.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tiny_dataset
from numpy.typing import NDArray
from PIL import Image

from tfstream.annotations import masks
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Keypoint, Object, Polygon, Value

PICTURES = 16
TIPS = ("left_tip", "right_tip", "top")
_STORED = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: shown[::-1, ::-1].transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}


def image(number: int) -> AnnotatedImage:
    """One picture, its size and places drawn from its number; its orientation is number % 8 + 1."""
    rng = np.random.default_rng(number)
    width, height = (int(side) for side in rng.integers(60, 140, 2))
    top, bottom = height * rng.uniform(0.1, 0.3), height * rng.uniform(0.6, 0.9)
    left, right = width * rng.uniform(0.05, 0.15), width * rng.uniform(0.4, 0.48)
    tips = [(left, bottom), (right, bottom), ((left + right) / 2, top)]
    end = width * rng.uniform(0.8, 0.97)
    dog = Box(ymin=top, xmin=width / 2, ymax=bottom, xmax=end)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = 255 * _in_triangle(tips, height, width)
    pixels[..., 1] = 255 * _in_ellipse(dog, height, width)
    orientation = number % 8 + 1
    buffer = io.BytesIO()
    stored = np.ascontiguousarray(_STORED[orientation](pixels))
    Image.fromarray(stored).save(buffer, "PNG")
    made = AnnotatedImage(
        key=f"{number:02d}",
        encoded=buffer.getvalue(),
        format="png",
        width=width,
        height=height,
        orientation=orientation,
        metadata={"pair": Value(int_value=number // 2)},
    )
    cat = Object(
        label="cat",
        box=Box(ymin=top, xmin=left, ymax=bottom, xmax=right),
        polygons=[Polygon(x=[x for x, _ in tips], y=[y for _, y in tips])],
    )
    for (x, y), name in zip(tips, TIPS, strict=True):
        cat.keypoints.append(Keypoint(x=x, y=y, visibility=2, name=name))
    made.objects.append(cat)
    made.objects.append(Object(label="dog", box=dog, mask=masks.encode(pixels[..., 1])))
    return made


def _in_triangle(tips: list[tuple[float, float]], height: int, width: int) -> NDArray[np.bool_]:
    """Which pixels have their centres in it."""
    y, x = np.mgrid[:height, :width] + 0.5
    sides = []
    for (x0, y0), (x1, y1) in zip(tips, tips[1:] + tips[:1], strict=True):
        sides.append((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0)
    return np.all(sides, axis=0) | ~np.any(sides, axis=0)


def _in_ellipse(box: Box, height: int, width: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width] + 0.5
    down = (2 * y - box.ymin - box.ymax) / (box.ymax - box.ymin)
    across = (2 * x - box.xmin - box.xmax) / (box.xmax - box.xmin)
    return down**2 + across**2 < 1


def write(root: Path, images: list[AnnotatedImage] | None = None) -> Path:
    """Writes the dataset, of one split and one shard."""
    images = images or [image(number) for number in range(PICTURES)]
    tiny_dataset.write_dataset(root, {"train": [images]}, {"pair": "int"})
    return root

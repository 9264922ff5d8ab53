"""Draws a small tree in the ILSVRC DET layout: shapes on textured backgrounds. No TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    import numpy.typing as npt

    Points = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.float32]

__all__ = ["SHAPES", "Drawn", "draw", "draw_tree"]

SHAPES = ("circle", "cross", "heart", "ring", "square", "star", "triangle")
_SUPERSAMPLING = 4
_EMPTY_EVERY = 40  # each 40th image shows no shape: the background class
_TRIES = 12


class Drawn(NamedTuple):
    """A shape in a picture; the box in whole pixels, its far edges exclusive."""

    label: str
    xmin: int
    ymin: int
    xmax: int
    ymax: int


def draw_tree(
    root: str | Path,
    *,
    train: int,
    val: int,
    seed: int = 0,
    progress: Callable[[], object] | None = None,
) -> None:
    """Writes a tree of drawn pictures and their annotations.

    As in Kaggle's, training images lie in a directory of their class and
    validation images in none::

        ROOT/Data/DET/train/<class>/train_000000.JPEG
        ROOT/Data/DET/val/val_000000.JPEG
        ROOT/Annotations/DET/...the same... .xml

    The same numbers and seed give the same pictures. Files of these names that
    are there already are written anew.

    Args:
        root: The tree's directory; made where it is not there.
        train: How many training images, the classes in turn.
        val: How many validation images.
        seed: Other seeds give other pictures.
        progress: Called after each image.
    """
    jobs = [
        (Path(root), name, [seed, split, number])
        for split, (name, count) in enumerate((("train", train), ("val", val)))
        for number in range(count)
    ]
    with _mapper(len(jobs)) as run:
        for _ in run(_write, jobs):
            if progress is not None:
                progress()


@contextlib.contextmanager
def _mapper(jobs: int) -> Iterator[Callable[..., Iterable[None]]]:
    """A `map` over as many processes as there are cores; over none where that would not pay."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if cores == 1 or jobs < 200:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # threads may run here, which fork would break
    with futures.ProcessPoolExecutor(min(cores, 8), context) as pool:
        yield functools.partial(pool.map, chunksize=16)


def _write(job: tuple[Path, str, list[int]]) -> None:
    """Draws and writes one picture and its annotation."""
    root, split, seed = job
    number = seed[-1]
    empty = number % _EMPTY_EVERY == _EMPTY_EVERY - 1
    main = None if empty else SHAPES[number % len(SHAPES)]
    folder = f"{split}/{main or 'background'}" if split == "train" else split
    stem = f"{folder}/{split}_{number:06d}"
    picture, drawn = draw(np.random.default_rng(seed), main)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    for path, content in (
        (root / "Data" / "DET" / f"{stem}.JPEG", data.getvalue()),
        (root / "Annotations" / "DET" / f"{stem}.xml", _xml(stem, picture.size, drawn).encode()),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def draw(rng: np.random.Generator, main: str | None) -> tuple[Image.Image, list[Drawn]]:
    """Draws one picture.

    Args:
        rng: Where all its chances come from.
        main: The shape that is by far the largest; None: no shape at all.

    Returns:
        The picture, 200 to 320 pixels a side, and its shapes, none of which
        overlap, in a random order.
    """
    width, height = (int(side) for side in rng.integers(200, 321, 2))
    hue = rng.random()
    picture = _background(rng, width, height, hue)
    if main is None:
        return picture, []
    side = min(width, height)
    sizes = [rng.uniform(0.40, 0.62) * side]
    sizes += [rng.uniform(0.14, 0.22) * side for _ in range(rng.integers(0, 4))]
    labels = [main, *(str(rng.choice(SHAPES)) for _ in sizes[1:])]
    drawn: list[Drawn] = []
    for label, size in zip(labels, sizes, strict=True):
        outlines = _placed(rng, label, size)
        corners = np.concatenate(outlines)
        extent_x, extent_y = (math.ceil(e) + 1 for e in corners.max(0) - corners.min(0))
        for _ in range(_TRIES):
            x = int(rng.integers(2, width - extent_x - 2))
            y = int(rng.integers(2, height - extent_y - 2))
            box = Drawn(label, x, y, x + extent_x, y + extent_y)
            if not any(_overlap(box, other) for other in drawn):
                _paint(rng, picture, outlines, box, hue)
                drawn.append(box)
                break
    rng.shuffle(drawn)
    return picture, drawn


def _overlap(a: Drawn, b: Drawn, margin: int = 4) -> bool:
    return (
        a.xmin < b.xmax + margin
        and b.xmin < a.xmax + margin
        and a.ymin < b.ymax + margin
        and b.ymin < a.ymax + margin
    )


def _outlines(label: str) -> list[Points]:
    """A shape's outline about the origin, y downwards; a second one is a hole in it."""
    circle = 2 * np.pi * np.arange(64) / 64
    around = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    if label == "circle":
        return [around]
    if label == "ring":
        return [around, 0.55 * around]
    if label == "square":
        return [np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.85]
    if label == "triangle":
        return [np.array([[0, -1], [0.95, 0.75], [-0.95, 0.75]])]
    if label == "star":
        angles = np.pi * np.arange(10) / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        return [np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)]
    if label == "cross":
        a, b = 0.32, 0.95
        x = [-a, a, a, b, b, a, a, -a, -a, -b, -b, -a]
        y = [-b, -b, -a, -a, a, a, b, b, a, a, -a, -a]
        return [np.stack([np.array(x), np.array(y)], axis=1)]
    # The usual heart: 16 sin^3 t, and the cosine series turned upside down.
    x16 = 16 * np.sin(circle) ** 3
    y16 = 13 * np.cos(circle) - 5 * np.cos(2 * circle) - 2 * np.cos(3 * circle) - np.cos(4 * circle)
    return [np.stack([x16, -y16 - 2.5], axis=1) / 16]


def _placed(rng: np.random.Generator, label: str, size: float) -> list[Points]:
    """The outlines, turned and stretched a little, their longer extent `size` pixels."""
    angle, stretch = rng.uniform(-0.35, 0.35), rng.uniform(0.85, 1.18)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    outlines = [(points * (stretch, 1 / stretch)) @ turn for points in _outlines(label)]
    low, high = outlines[0].min(0), outlines[0].max(0)
    return [(points - low) * (size / (high - low).max()) for points in outlines]


def _paint(
    rng: np.random.Generator,
    picture: Image.Image,
    outlines: list[Points],
    box: Drawn,
    background: float,
) -> None:
    """Paints a shape into its box: a soft shadow, a shaded fill, a darker rim."""
    width, height = box.xmax - box.xmin, box.ymax - box.ymin
    mask = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    ink = ImageDraw.Draw(mask)
    for points, value in zip(outlines, (255, 0), strict=False):
        ink.polygon([tuple(p) for p in points * _SUPERSAMPLING], fill=value)
    rim_width = max(3, int(min(width, height) * 0.05) | 1)
    rim = mask.reduce(_SUPERSAMPLING)
    inside = rim.filter(ImageFilter.MinFilter(rim_width))

    hue = background + rng.uniform(0.2, 0.8)
    top = _colour(hue, rng.uniform(0.55, 0.9), rng.uniform(0.75, 1.0))
    bottom = _colour(hue + rng.uniform(-0.08, 0.08), rng.uniform(0.6, 0.95), rng.uniform(0.5, 0.8))
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    fill = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3))
    grain = 7 * rng.standard_normal((height, width, 1), np.float32)

    shadow = rim.filter(ImageFilter.GaussianBlur(2)).point([v * 2 // 5 for v in range(256)])
    offset = max(2, width // 24)
    picture.paste((0, 0, 0), (box.xmin + offset, box.ymin + offset), shadow)
    picture.paste(_image(fill * 0.45), (box.xmin, box.ymin), rim)
    picture.paste(_image(fill + grain), (box.xmin, box.ymin), inside)


def _background(rng: np.random.Generator, width: int, height: int, hue: float) -> Image.Image:
    """Muted clouds of one hue, with stripes, checks or speckles on them."""
    light = 5 * rng.standard_normal((height, width), np.float32)
    for cells, strength in ((4, 22), (12, 12), (40, 8)):
        light += strength * _clouds(rng, width, height, cells)
    kind = rng.integers(4)
    if kind < 2:
        y, x = np.ogrid[0:height, 0:width]
        angle, wave = rng.uniform(0, np.pi), 2 * np.pi / rng.uniform(12, 40)
        cos, sin = wave * math.cos(angle), wave * math.sin(angle)
        stripes = np.sin((x * cos + y * sin).astype(np.float32))
        if kind == 0:
            light += 14 * stripes
        else:
            light += 11 * np.sign(stripes * np.sin((y * cos - x * sin).astype(np.float32)))
    elif kind == 2:
        light += 55 * (rng.random((height, width), np.float32) > 0.97)
    base = _colour(hue, rng.uniform(0.15, 0.45), rng.uniform(0.35, 0.8))
    return _image(base + light[:, :, None])


def _clouds(rng: np.random.Generator, width: int, height: int, cells: int) -> Pixels:
    """Smooth noise of about unit strength, `cells` bumps along each side."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _colour(hue: float, saturation: float, value: float) -> Pixels:
    """Red, green and blue in 0..255 of a hue (taken modulo 1), a saturation and a value in 0..1."""
    ramps = np.abs((hue + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    rgb = value * (1 - saturation + saturation * np.clip(ramps, 0, 1))
    return (255 * rgb).astype(np.float32)


def _image(pixels: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _xml(stem: str, size: tuple[int, int], drawn: list[Drawn]) -> str:
    """An annotation as ILSVRC DET has it."""
    objects = "".join(
        f"""
\t<object>
\t\t<name>{each.label}</name>
\t\t<bndbox>
\t\t\t<xmin>{each.xmin}</xmin>
\t\t\t<xmax>{each.xmax}</xmax>
\t\t\t<ymin>{each.ymin}</ymin>
\t\t\t<ymax>{each.ymax}</ymax>
\t\t</bndbox>
\t</object>"""
        for each in drawn
    )
    *_, folder, name = stem.split("/")
    return f"""<annotation>
\t<folder>{folder}</folder>
\t<filename>{name}</filename>
\t<source>
\t\t<database>tfstream demo</database>
\t</source>
\t<size>
\t\t<width>{size[0]}</width>
\t\t<height>{size[1]}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>{objects}
</annotation>
"""

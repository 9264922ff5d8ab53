"""Draws a batch as a grid: each image with its boxes, each box with its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from tfstream.drawing import Mark, draw

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["grid"]

_GUTTER = 4  # pixels
_PAPER = (255, 255, 255)


def grid(
    images: npt.NDArray[np.uint8],
    boxes: Sequence[npt.NDArray[np.float32]],
    labels: Sequence[Sequence[str]],
    *,
    names: Sequence[str],
    columns: int,
) -> Image.Image:
    """Draws a batch.

    Args:
        images: uint8 [n, height, width, 3].
        boxes: For each image float32 [objects, 4], ymin xmin ymax xmax in 0..1.
        labels: For each image the labels of its boxes.
        names: All labels there are; each has one colour all over the grid.
        columns: Images in a row.

    Returns:
        The grid.
    """
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = Image.new(
        "RGB",
        (columns * (width + _GUTTER) - _GUTTER, rows * (height + _GUTTER) - _GUTTER),
        _PAPER,
    )
    for number in range(count):
        marks = [
            Mark(label=label, caption=label, box=(float(y0), float(x0), float(y1), float(x1)))
            for label, (y0, x0, y1, x1) in zip(labels[number], boxes[number], strict=True)
        ]
        tile = draw(Image.fromarray(images[number]), marks, enlarge=False, labels=names)
        row, column = divmod(number, columns)
        sheet.paste(tile, (column * (width + _GUTTER), row * (height + _GUTTER)))
    return sheet

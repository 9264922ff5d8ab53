"""Drawing an annotation onto its image, for people to look at."""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

__all__ = ["Mark", "draw"]

# Told apart on photographs and by most people who see fewer colours.
_COLOURS = (
    (255, 196, 0),
    (0, 174, 239),
    (255, 82, 82),
    (105, 220, 90),
    (214, 120, 255),
    (255, 140, 40),
    (64, 224, 208),
    (255, 120, 190),
    (190, 220, 60),
    (120, 150, 255),
)
_READABLE = 640  # pixels: smaller images are enlarged, or captions would cover them


@dataclasses.dataclass(frozen=True)
class Mark:
    """One object to draw.

    Attributes:
        label: Objects of one label share a colour.
        caption: What is written beside it.
        box: (ymin, xmin, ymax, xmax) in 0..1; None: only the caption is written.
        polygons: Outlines, (x, y) in 0..1.
    """

    label: str
    caption: str
    box: tuple[float, float, float, float] | None
    polygons: tuple[tuple[tuple[float, float], ...], ...] = ()


def draw(
    image: Image.Image, marks: Sequence[Mark], *, enlarge: bool = True, labels: Sequence[str] = ()
) -> Image.Image:
    """An image with boxes, outlines and captions drawn on it.

    Args:
        image: Upright, of any mode and size; it is not changed.
        marks: What to draw; the smallest comes on top.
        enlarge: Make small images larger, so that captions cover less of them.
        labels: Those that are to have the same colours in several pictures.

    Returns:
        An RGB image, a whole number of times as large where the given one is small.
    """
    from PIL import Image, ImageDraw

    scale = max(1, _READABLE // max(image.size)) if enlarge else 1
    size = (image.width * scale, image.height * scale)
    canvas = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    pen = _Pen(ImageDraw.Draw(canvas, "RGBA"), size)
    colours = _colours([*labels, *(mark.label for mark in marks)])
    ordered = sorted(marks, key=lambda mark: -_area(mark))
    for mark in ordered:
        pen.outline(mark, colours[mark.label])
    # Afterwards, so that no line crosses a caption.
    for mark in ordered:
        pen.caption(mark, colours[mark.label])
    return canvas


def _area(mark: Mark) -> float:
    if mark.box is None:
        return 1.0
    return (mark.box[2] - mark.box[0]) * (mark.box[3] - mark.box[1])


def _colours(labels: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """A colour for each label, in order of appearance; past the table, evenly spread hues."""
    colours: dict[str, tuple[int, int, int]] = {}
    for label in labels:
        place = len(colours)
        if label not in colours:
            hue = place * 0.618034 % 1
            red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1)
            mixed = (round(red * 255), round(green * 255), round(blue * 255))
            colours[label] = _COLOURS[place] if place < len(_COLOURS) else mixed
    return colours


class _Pen:
    """Draws on one canvas, and remembers where captions are."""

    def __init__(self, ink: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
        from PIL import ImageFont

        self._ink = ink
        self._width, self._height = size
        shorter = min(size)
        self._line = max(2, round(shorter / 220))
        self._font: Font = ImageFont.load_default(size=max(13, round(shorter / 34)))
        self._taken: list[tuple[int, int, int, int]] = []

    def outline(self, mark: Mark, colour: tuple[int, int, int]) -> None:
        for polygon in mark.polygons:
            points = [(x * self._width, y * self._height) for x, y in polygon]
            if len(points) > 2:
                self._ink.polygon(points, fill=(*colour, 60))
                self._ink.line([*points, points[0]], fill=colour, width=max(1, self._line // 2))
        if mark.box is None:
            return
        left, top, right, bottom = self._pixels(mark.box)
        # A dark line on either side shows the box on any ground.
        for inset, fill, width in (
            (-1, (0, 0, 0, 150), 1),
            (self._line, (0, 0, 0, 150), 1),
            (0, (*colour, 255), self._line),
        ):
            box = (left + inset, top + inset, right - inset, bottom - inset)
            if box[0] <= box[2] and box[1] <= box[3]:
                self._ink.rectangle(box, outline=fill, width=width)

    def caption(self, mark: Mark, colour: tuple[int, int, int]) -> None:
        left, top, right, bottom = self._pixels(mark.box or (0.0, 0.0, 1.0, 1.0))
        ink_left, ink_top, ink_right, ink_bottom = self._ink.textbbox(
            (0, 0), mark.caption, font=self._font
        )
        pad = self._line + 1
        width = round(ink_right - ink_left) + 2 * pad
        # The height of tall letters, so that captions of one line are equal.
        _, tall_top, _, tall_bottom = self._ink.textbbox((0, 0), "Ag", font=self._font)
        height = round(max(tall_bottom, ink_bottom) - min(tall_top, ink_top)) + 2 * pad
        x, y = self._free_place((left, top, right, bottom), width, height)
        place = (x, y, x + width - 1, y + height - 1)
        self._taken.append(place)
        self._ink.rounded_rectangle(place, radius=pad, fill=(*colour, 235))
        light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 120
        self._ink.text(
            (x + pad - ink_left, y + pad - min(tall_top, ink_top)),
            mark.caption,
            font=self._font,
            fill=(0, 0, 0) if light else (255, 255, 255),
        )

    def _pixels(self, box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom), the last pixels included."""
        ymin, xmin, ymax, xmax = box
        left, top = round(xmin * self._width), round(ymin * self._height)
        right = max(round(xmax * self._width) - 1, left)
        return left, top, right, max(round(ymax * self._height) - 1, top)

    def _free_place(
        self, box: tuple[int, int, int, int], width: int, height: int
    ) -> tuple[int, int]:
        """Where a caption covers no other one, near a corner of its box."""
        left, top, right, bottom = box
        wanted = [
            (left, top - height),
            (left, top),
            (right - width + 1, top - height),
            (right - width + 1, top),
            (left, bottom - height + 1),
            (left, bottom + 1),
            (right - width + 1, bottom - height + 1),
        ]
        wanted += [(left, top + step * height) for step in range(1, self._height // height)]
        inside = [self._inside(x, y, width, height) for x, y in wanted]
        # First those that need no shifting into the picture.
        for ask_unmoved in (True, False):
            for asked, (x, y) in zip(wanted, inside, strict=True):
                if ask_unmoved and asked[1] != y:
                    continue
                if not any(_overlap((x, y, x + width, y + height), other) for other in self._taken):
                    return x, y
        return inside[0]

    def _inside(self, x: int, y: int, width: int, height: int) -> tuple[int, int]:
        return max(0, min(x, self._width - width)), max(0, min(y, self._height - height))


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] <= other[2] and other[0] < one[2] and one[1] <= other[3] and other[1] < one[3]

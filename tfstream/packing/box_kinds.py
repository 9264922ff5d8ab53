"""Finds out whether boxes are something else than their format says: corners, or corner and size.

Either reading of four numbers gives a box, but the wrong one is impossible for many boxes:
inverted, or outside the image. Where the other reading makes good boxes of these, it is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfstream.v1 import annotated_image_pb2

__all__ = ["BoxKinds"]

_FEWEST = 3  # boxes that must be in doubt
_SHARE = 0.05  # of all: damaged annotations are rarer


@dataclass
class BoxKinds:
    """Counts boxes.

    Attributes:
        kind: What the format has: "corners", "sizes" (a corner, width and height) or "other".
        boxes: How many were looked at.
        doubtful: How many are impossible, and would be good as the other kind.
    """

    kind: str
    boxes: int = 0
    doubtful: int = 0

    def look(self, image: annotated_image_pb2.AnnotatedImage, size: tuple[int, int]) -> None:
        """Counts an image's boxes.

        Args:
            image: As its reader gave it.
            size: (width, height), as displayed.
        """
        if self.kind == "other":
            return
        for item in image.objects:
            if item.HasField("box"):
                self.boxes += 1
                box = item.box
                width, height = (1, 1) if box.normalized else size
                # One comparison first: nearly all boxes are good.
                if box.xmin < box.xmax <= width and box.ymin < box.ymax <= height:
                    continue
                self.doubtful += self._doubtful(box, width, height)

    def add(self, other: BoxKinds) -> None:
        """Adds what another has counted."""
        self.boxes += other.boxes
        self.doubtful += other.doubtful

    def warning(self, format: str) -> str | None:
        """What to tell the user; None: nothing.

        Args:
            format: The format's name.
        """
        if self.doubtful < _FEWEST or self.doubtful < _SHARE * self.boxes:
            return None
        kinds = ["xmin, ymin, xmax, ymax", "x, y, width, height"]
        meant, found = kinds if self.kind == "corners" else reversed(kinds)
        return (
            f"The boxes look like ({found}), and {format} has ({meant}): {self.doubtful:,} of "
            f"{self.boxes:,} are impossible, and good in the other way. The rest may be read "
            "wrongly without an error: write the boxes anew."
        )

    def _doubtful(self, box: annotated_image_pb2.Box, width: float, height: float) -> bool:
        x, y = box.xmin, box.ymin
        if self.kind == "corners":
            inverted = box.xmax <= x or box.ymax <= y
            return inverted and 0 < box.xmax <= width - x and 0 < box.ymax <= height - y
        right, bottom = box.xmax - x, box.ymax - y  # what the file has as width and height
        return 0 <= x < right <= width and 0 <= y < bottom <= height

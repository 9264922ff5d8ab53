"""Images with their metadata, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from tfstream.export.writer import ExportWriter, Item, count_missing

__all__ = ["ImagesWriter"]


class ImagesWriter(ExportWriter):
    """Writes `<key>.jpg`, and `<key>.jpg.metadata.json` where there are metadata."""

    name: ClassVar[str] = "images"
    images: ClassVar[str] = ""

    def write(self, item: Item) -> None:
        """Writes an image."""
        for each in item.image.objects:
            self.lost["objects"] += 1
            count_missing(each, self.holds, self.lost)
        self.put_image(item, item.metadata)

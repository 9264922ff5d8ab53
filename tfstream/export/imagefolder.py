"""A directory a class, in a directory a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tfstream.export import labels
from tfstream.export.naming import directory_name, path_of_key
from tfstream.export.writer import Context, ExportWriter, Item, count_missing, split_of
from tfstream.format import example

__all__ = ["ImageFolderWriter"]

_BACKGROUND = "background"
_BEGINNING = "{split}/{label}/"


class ImageFolderWriter(ExportWriter):
    """Writes `<split>/<label>/<key>.jpg`; the class is that of the main object.

    Images without objects are in the directory "background".
    """

    name: ClassVar[str] = "imagefolder"
    images: ClassVar[str] = ""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._used: set[str] = set()

    def named(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Split and label as directories can be called."""
        label = directory_name(row["label"]) if row["label"] is not None else _BACKGROUND
        return {**row, "split": split_of(row["split"]), "label": label}

    def path(self, row: Mapping[str, Any]) -> str:
        """The key, in the directory of its class: where it is not there already."""
        begin = _BEGINNING.format_map(self.named(row))
        path = path_of_key(row["key"], row["format"])
        return path if path.startswith(begin) else begin + path

    def template_fault(self, template: str) -> str | None:
        """The class is the name of a directory."""
        if template.startswith(_BEGINNING):
            return None
        return f"a class is a directory of its split, so it has to begin with {_BEGINNING}"

    def write(self, item: Item) -> None:
        """Writes an image into the directory of its class."""
        main = example.main_object(item.image)
        for number, each in enumerate(item.image.objects):
            if number != main:
                self.lost["objects beside the main one"] += 1
            count_missing(each, self.holds, self.lost)
        if main is None:
            self.lost[f"images without objects, which become of the class {_BACKGROUND!r}"] += 1
            self._used.add(_BACKGROUND)
        else:
            label = item.image.objects[main].label
            directory = directory_name(label)
            self._used.add(directory)
            if directory != label:
                self.lost["images whose label is no name of a directory"] += 1
        self.put_image(item, item.metadata)

    def finish(self) -> None:
        """Writes the labels, where their order is another one."""
        labels.put(self.labels, self._used, self.sink, self.lost)

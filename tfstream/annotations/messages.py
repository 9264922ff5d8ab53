"""Images that a Python program describes: an iterable of AnnotatedImage."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfstream.annotations.files import key_of
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place
from tfstream.errors import AnnotationError, InvalidArgumentError
from tfstream.format import example
from tfstream.v1 import annotated_image_pb2

__all__ = ["Messages"]


class Messages(AnnotationReader):
    """Takes each image's bytes from `encoded`, or from the file `image_path`; or its tensor.

    A key that is empty is made of the path, and an empty split is "train".
    """

    name = "images"
    layout = "an iterable of AnnotatedImage"

    def __init__(self, source: Iterable[annotated_image_pb2.AnnotatedImage] = ()) -> None:
        """Keeps the iterable, which is gone through once."""
        self._source = source

    def find(self, source: str) -> list[str]:
        """None: it is no tree."""
        return []

    def guarded(self, root: str) -> tuple[str, ...]:
        """No directory is walked."""
        return ()

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Goes through the iterable."""
        for number, image in enumerate(self._source):
            where = f"image {number} of the iterable"
            if not isinstance(image, annotated_image_pb2.AnnotatedImage):
                raise InvalidArgumentError(
                    f"{where} is a {type(image).__name__}, and not an AnnotatedImage."
                )
            key = image.key or key_of(image.image_path.lstrip("/"))
            path = image.image_path
            problem = ""
            if not image.key and not path:
                problem = f"{where} has neither a key nor an image_path"
            elif image.encoded:
                path = str(_put(listing.scratch / str(number), image))
            elif not path and not image.tensor.data:
                problem = (
                    f"{where}, {key!r}, has neither encoded bytes nor an image_path, nor a tensor"
                )
            told = annotated_image_pb2.AnnotatedImage()
            told.CopyFrom(image)
            told.ClearField("encoded")
            yield Entry(
                key=key,
                split=image.split or "train",
                annotation_path=image.annotation_path or where,
                image_path=os.path.abspath(path) if path else "",
                annotation=told.SerializeToString(deterministic=True),
                problem=problem,
            )

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Takes the message out of the entry."""
        image = annotated_image_pb2.AnnotatedImage.FromString(entry.annotation)
        if any(not item.label for item in image.objects):
            raise AnnotationError(f"{entry.annotation_path}, {entry.key!r}: an object has no label")
        place(entry, image)
        return image


def _put(directory: Path, image: annotated_image_pb2.AnnotatedImage) -> Path:
    """Writes an image's bytes to a file of its name, for whoever packs it."""
    directory.mkdir()
    path = directory / example.filename(image)
    path.write_bytes(image.encoded)
    os.utime(path, ns=(0, 0))  # the same in each run: what was packed before is known again
    return path

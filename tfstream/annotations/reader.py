"""What an annotation reader is: it lists a tree cheaply, and reads one annotation at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from tfstream.annotations.tree import IMAGE_EXTENSIONS
from tfstream.errors import AnnotationError, MissingImageError
from tfstream.v1 import annotated_image_pb2

__all__ = ["AnnotationReader", "Entry", "Listing", "place", "require_image"]


class Entry(NamedTuple):
    """One image of a tree, as the listing found it: where things are, nothing read yet.

    Attributes:
        key: The image's path below the images' root, without extension, "/" between the parts.
        split: The split that it belongs to.
        annotation_path: The annotation file.
        image_path: The image file; where it should be when `image_found` is False.
        image_found: Whether the listing saw the image file.
        sidecars: Files of metadata; of two that name one column, the later counts.
        annotation: What the file says of this image, where it speaks of many; the reader that
            made the entry knows how to read it.
        problem: What is wrong, where that shows in the listing: there is nothing to read then.
    """

    key: str
    split: str
    annotation_path: str
    image_path: str
    image_found: bool = True
    sidecars: tuple[str, ...] = ()
    annotation: bytes = b""
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """What a listing may use, and what it tells besides entries; complete once it has ended.

    Attributes:
        scratch: A directory for files that the listing needs meanwhile.
        left_out: Counts, by reason, of the files that are no entry.
        labels: The labels in their order, each with its title or "", where the format has them.
        columns: Of text files: the columns that are the "tensor" and the "target".
    """

    scratch: Path
    left_out: Counter[str] = field(default_factory=Counter)
    labels: dict[str, str] = field(default_factory=dict)
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)


class AnnotationReader(Protocol):
    """One annotation format.

    Listing is apart from reading, so that one process can list while others read. A reader
    holds no state: it is pickled by its name.
    """

    @property
    def name(self) -> str:
        """The format's name, as `format=` takes it."""
        ...

    @property
    def layout(self) -> str:
        """What the reader looks for, for the error when it is not there."""
        ...

    @property
    def specific(self) -> bool:
        """Whether a tree that looks like this format's is no other's; if not, others go first."""
        return True

    @property
    def boxes(self) -> Literal["corners", "sizes", "other"]:
        """What the format's boxes are in the files: for finding out that they are something else.

        "corners" are two corners, "sizes" one corner, width and height.
        """
        return "corners"

    @property
    def images(self) -> bool:
        """Whether the format has images; if not, each record has what is to be predicted."""
        return True

    @property
    def plain_voc(self) -> bool:
        """Whether `read` is `voc_xml.read` for entries that have no `annotation` of their own."""
        return False

    def find(self, source: str) -> list[str]:
        """The trees of this format at `source` or up to three levels below, sorted."""
        ...

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories below `root` that the reader walks: nothing may be written there."""
        ...

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree at `root`, lazily and always in the same order.

        Args:
            root: A tree that `find` gave.
            listing: Is told what there is besides entries.
        """
        ...

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads one annotation; the image's bytes are left out.

        Raises:
            MissingImageError: The entry's image is not there.
            AnnotationError: The annotation cannot be understood; names file and line.
            StorageError: The annotation file cannot be read.
        """
        ...


def place(entry: Entry, image: annotated_image_pb2.AnnotatedImage) -> None:
    """Says in an image which entry it is of.

    Raises:
        AnnotationError: A name cannot be written down.
    """
    try:
        image.key = entry.key
        image.split = entry.split
        image.image_path = entry.image_path
        image.annotation_path = entry.annotation_path
    except UnicodeEncodeError as error:
        raise AnnotationError(
            f"The file name {entry.annotation_path!r} is not UTF-8, as keys must be: rename it."
        ) from error


def require_image(entry: Entry) -> None:
    """Raises MissingImageError, naming both files, where the listing saw no image."""
    if not entry.image_found:
        raise MissingImageError(
            f"The image of {entry.annotation_path} is missing: there is no {entry.image_path}, nor "
            f"one that ends in another way ({', '.join(IMAGE_EXTENSIONS)}, in any case)."
        )

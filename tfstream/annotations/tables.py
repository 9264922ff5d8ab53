"""CSV and TSV: a row an image with its label, or a row an object with its box."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from typing import Any

from tfstream.annotations.files import ImageFiles, is_image, key_of, split_in
from tfstream.annotations.groups import Groups
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.rows import Columns, columns_of, head, rows
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import AnnotationError
from tfstream.v1 import annotated_image_pb2

__all__ = ["Csv", "add_row", "find_image", "subdirectories"]

_ENDINGS = (".csv", ".tsv")


class Csv(AnnotationReader):
    """Files with a column of paths (path, file, image ...) and one of labels, or four of boxes.

    Boxes are xmin, ymin, xmax, ymax, or x, y, width, height, by the names of their columns; where
    all four are 1 at most and one has decimals, they are fractions of the image's sides. Without
    a header, the columns are path, label; or path, x1, y1, x2, y2, label. Empty boxes and labels
    are none. The split is that of a column (split, subset ...), or what the file's name speaks of,
    or "train". Paths are below the file's directory or one of those in it; the key is the image's
    path below the file's directory.
    """

    name = "csv"
    layout = "a .csv or .tsv file with a column of image paths and one of labels or four of boxes"
    specific = False

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory; or a file itself."""
        if os.path.isfile(source):
            return [source] if source.lower().endswith(_ENDINGS) and _columns(source) else []
        return find_trees(source, lambda path: bool(_files(path)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """None: of what is packed nothing is an image, and so nothing is met again."""
        return ()

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Reads the files once, and yields every image with its rows."""
        files = _files(root)
        directory = _directory(root)
        images = ImageFiles(directory)
        inner = subdirectories(directory)
        groups = Groups(listing.scratch, sum(os.path.getsize(path) for path in files))
        told: list[Columns] = []
        for number, path in enumerate(files):
            delimiter, columns = _columns(path) or (",", None)
            assert columns is not None
            told.append(columns)
            split = split_in(os.path.splitext(os.path.basename(path))[0]) or "train"
            lines = rows(path, delimiter)
            if columns.header:
                next(lines)
            for row in lines:
                if row.problem:
                    yield _wrong(path, split, "", row.problem)
                    continue
                name = row.fields[columns.path].strip()
                if columns.split is not None:
                    split = split_in(row.fields[columns.split]) or row.fields[columns.split].strip()
                groups.add(
                    f"{split}\0{number}\0{name}", json.dumps([row.line, row.fields]).encode()
                )
        for group, values in groups.all():
            split, which, name = group.split("\0", 2)
            path, columns = files[int(which)], told[int(which)]
            line = json.loads(values[0])[0]
            if not split:
                yield _wrong(path, "train", name, f"{path}:{line}: the split of {name!r} is empty")
                continue
            try:
                found = find_image(
                    images, name, [os.path.splitext(os.path.basename(path))[0], split, *inner]
                )
                image = os.path.join(directory, found or images.inside(name))
            except AnnotationError as error:
                yield _wrong(path, split, name, f"{path}:{line}: {error}")
                continue
            yield Entry(
                key=key_of(os.path.relpath(image, directory)),
                split=split,
                annotation_path=path,
                image_path=image,
                image_found=found is not None,
                sidecars=images.sidecars(found) if found else (),
                annotation=b'{"columns":%s,"rows":[%s]}'
                % (json.dumps(vars(columns)).encode(), b",".join(values)),
            )
        if images.unnamed:
            listing.left_out["images without annotation"] += images.unnamed

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of its rows."""
        require_image(entry)
        image = annotated_image_pb2.AnnotatedImage()
        told = json.loads(entry.annotation)
        columns = Columns(**told["columns"])
        for line, fields in told["rows"]:
            try:
                add_row(columns, fields, image)
            except AnnotationError as error:
                shown = ",".join(fields)[:80]
                raise AnnotationError(
                    f"{entry.annotation_path}:{line}: {error}, in the line {shown!r}"
                ) from error
        place(entry, image)
        return image


def _directory(root: str) -> str:
    return os.path.dirname(root) or "." if os.path.isfile(root) else root


def _files(root: str) -> list[str]:
    if os.path.isfile(root):
        return [root]
    found = [name for name in list_directory(root)[0] if name.lower().endswith(_ENDINGS)]
    paths = [os.path.join(root, name) for name in found]
    return [path for path in paths if _columns(path)]


def _columns(path: str) -> tuple[str, Columns] | None:
    """The delimiter of a file, and what its columns are; None where it is none of ours."""
    first = head(path)
    columns = columns_of(first[1]) if first else None
    if first is None or columns is None or os.path.basename(path).startswith("metadata."):
        return None
    return first[0], columns


def _wrong(path: str, split: str, key: str, problem: str) -> Entry:
    return Entry(key=key, split=split, annotation_path=path, image_path="", problem=problem)


def subdirectories(root: str) -> list[str]:
    """The directories in a directory, and those in its `images`, as prefixes of paths."""
    return [
        "images",
        *list_directory(root)[1],
        *(f"images/{each}" for each in list_directory(os.path.join(root, "images"))[1]),
    ]


def find_image(images: ImageFiles, name: str, directories: list[str]) -> str | None:
    """The image of a name, directly or in one of some directories; None: it is not there.

    Raises:
        AnnotationError: The name leads out of the root.
    """
    found = images.find(name)
    if found is None and not os.path.isabs(name) and not images.inside(name).startswith("../"):
        for directory in directories:
            found = images.find(f"{directory}/{name}", stem=not is_image(name))
            if found is not None:
                break
    return found


def add_row(columns: Columns, fields: list[Any], image: annotated_image_pb2.AnnotatedImage) -> None:
    """Adds what a row says of an image.

    Raises:
        AnnotationError: A value is not what it should be.
    """
    if columns.size is not None:
        sides = [str(fields[at]).strip() for at in columns.size]
        if all(sides):
            image.width, image.height = (_side(side) for side in sides)
    label = str(fields[columns.label]).strip() if columns.label is not None else "object"
    values = _box(columns, fields)
    if values is None:
        if label and columns.label is not None:
            image.objects.add(label=label)
        return
    if not label:
        raise AnnotationError("there is a box, and no label")
    x, y, right, bottom = values
    fractions = max(map(abs, values)) <= 1 and any(value != int(value) for value in values)
    if columns.sizes:
        right, bottom = x + right, y + bottom
    item = image.objects.add(label=label)
    item.box.CopyFrom(
        annotated_image_pb2.Box(ymin=y, xmin=x, ymax=bottom, xmax=right, normalized=fractions)
    )


def _box(columns: Columns, fields: list[Any]) -> list[float] | None:
    """The four numbers of a row's box; None: there is none."""
    if columns.box is None:
        return None
    texts = [fields[at] for at in columns.box]
    if len(texts) == 1:  # "[x, y, width, height]"
        inner = str(texts[0]).strip().strip("[]()")
        texts = inner.replace(",", " ").split() if inner else [""] * 4
        if len(texts) != 4:
            raise AnnotationError(f"its box has {len(texts)} numbers, not 4: {inner[:40]!r}")
    if all(text is None or not str(text).strip() for text in texts):
        return None
    names = ("x", "y", "width", "height") if columns.sizes else ("xmin", "ymin", "xmax", "ymax")
    values = [_number(text, name) for text, name in zip(texts, names, strict=True)]
    if all(map(math.isnan, values)):
        return None
    return values


def _side(text: str) -> int:
    value = _number(text, "size")
    if not 0 <= value < 2**31 or value != int(value):
        raise AnnotationError(f"its size is no number of pixels: {text[:40]!r}")
    return int(value)


def _number(text: object, name: str) -> float:
    try:
        return float(str(text))
    except ValueError:
        raise AnnotationError(f"its {name} is not a number: {str(text)[:40]!r}") from None

"""Rows of delimited text, with the number of the line, and what their columns mean."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfstream.annotations.tree import IMAGE_EXTENSIONS
from tfstream.errors import AnnotationError, StorageError

__all__ = ["Columns", "Row", "columns_of", "head", "plain_name", "rows"]

_HEAD = 1 << 14  # bytes that are looked at
_SHOWN = 80  # characters of a line in an error
_LONGEST_FIELD = 1 << 24  # characters

_PATHS = (
    "path", "file", "filename", "filepath", "image", "imagename", "imagepath", "imagefile",
    "img", "imgpath", "imgname", "imageid", "imgid", "id",
)  # fmt: skip
_LABELS = ("label", "class", "classname", "labelname", "category", "categoryname", "target",
           "labels", "species")  # fmt: skip
_SPLITS = ("split", "subset", "partition", "set", "fold")
# By what the four are: two corners, or one corner and the size.
_BOXES = {
    "corners": ("xmin ymin xmax ymax", "x1 y1 x2 y2", "left top right bottom", "x0 y0 x1 y1"),
    "sizes": (
        "x y width height",
        "x y w h",
        "xmin ymin width height",
        "left top width height",
        "bboxx bboxy bboxwidth bboxheight",
        "xmin ymin w h",
    ),
}
_SIZES = ("imagewidth imageheight", "imgwidth imgheight", "width height", "w h")
_NUMBER = re.compile(r"\s*-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        line: Number of its last line in the file, from 1.
        fields: Its values; empty where there is a problem.
        problem: What is wrong with the row, with its text; "": nothing.
    """

    line: int
    fields: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Columns:
    """Where in a row what is.

    Attributes:
        count: How many there are.
        header: Whether the first row names them.
        path: Of the image's path.
        label: Of the label; None: there is none.
        box: Of the four numbers of a box, or the one of them all; None: there is none.
        sizes: Whether these are a corner and a size, not two corners.
        size: Of the image's width and height; None: there are none.
        split: Of the split; None: there is none.
    """

    count: int
    header: bool
    path: int
    label: int | None
    box: tuple[int, ...] | None = None
    sizes: bool = False
    size: tuple[int, int] | None = None
    split: int | None = None


def rows(path: str, delimiter: str) -> Iterator[Row]:
    """The rows of a file, one at a time; blank lines are none.

    Raises:
        AnnotationError: It is in UTF-16, or a field is too long.
        StorageError: It cannot be read.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        # What is not UTF-8 becomes surrogates, so that each line can be judged for itself.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            width = None
            for fields in reader:
                if not fields or (len(fields) == 1 and not fields[0].strip()):
                    continue
                width = width or len(fields)
                problem = _problem(fields, width)
                if problem:
                    text = delimiter.join(fields)[:_SHOWN]
                    if text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
                        raise AnnotationError(
                            f"{path} is in UTF-16: write it as UTF-8 (iconv -f UTF-16 -t UTF-8)."
                        )
                    shown = text.encode("utf-8", "surrogateescape").decode(
                        errors="backslashreplace"
                    )
                    where = f"{path}:{reader.line_num}: {problem}, in the line '{shown}'"
                    yield Row(reader.line_num, (), where)
                else:
                    yield Row(reader.line_num, tuple(fields))
    except csv.Error as error:
        raise AnnotationError(
            f"{path}:{reader.line_num}: the line cannot be read: {error}."
        ) from error
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def _problem(fields: list[str], width: int) -> str | None:
    if len(fields) != width:
        return f"there are {len(fields)} values, where {width} belong"
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return "it is not UTF-8, as what is before it"
    return None


def head(path: str) -> tuple[str, list[list[str]]] | None:
    """The delimiter of a file and its first rows, three at most; None: it has no columns."""
    try:
        with open(path, "rb") as file:
            text = file.read(_HEAD).decode("utf-8-sig", "replace")
    except OSError:
        return None
    lines = [line for line in text.splitlines() if line.strip()][:3]
    if not lines or "\0" in text:
        return None
    delimiter = "\t" if path.lower().endswith(".tsv") else max(",;\t", key=lines[0].count)
    found = list(csv.reader(lines, delimiter=delimiter))
    return (delimiter, found) if len(found[0]) > 1 else None


def plain_name(name: str) -> str:
    """A column's name without what writers of files differ in.

    >>> plain_name("Image_ID ")
    'imageid'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def columns_of(first: Sequence[Sequence[str]]) -> Columns | None:
    """What the columns of a file are, by its first rows: by their names, or by what they hold.

    Returns:
        None where there is no path, or neither a label nor a box.
    """
    names = [plain_name(name) for name in first[0]]
    path = _first(names, _PATHS)
    if path is None or _is_image(first[0][path]):
        return _without_header(first[0])
    label = _first(names, _LABELS)
    box: tuple[int, ...] | None = None
    sizes = False
    for kind, orders in _BOXES.items():
        for order in orders:
            places = [names.index(name) for name in order.split() if name in names]
            if box is None and len(places) == 4:
                box, sizes = tuple(places), kind == "sizes"
    if box is None and "bbox" in names:
        box, sizes = (names.index("bbox"),), True  # as COCO's
    if label is None and box is None:
        return None
    size = None
    for order in _SIZES:
        places = [names.index(name) for name in order.split() if name in names]
        if size is None and len(places) == 2 and not set(places) & set(box or ()):
            size = places[0], places[1]
    return Columns(len(names), True, path, label, box, sizes, size, _first(names, _SPLITS))


def _without_header(row: Sequence[str]) -> Columns | None:
    """Of a path and a label; or of a path, a box's corners, and a label; or AutoML's columns."""
    if not row:
        return None
    if _is_image(row[0]):
        if len(row) == 2:
            return Columns(2, False, 0, 1)
        if len(row) == 6 and all(_NUMBER.fullmatch(each) or not each for each in row[1:5]):
            return Columns(6, False, 0, 5, (1, 2, 3, 4))
    return None


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _is_image(text: str) -> bool:
    return text.lower().endswith(IMAGE_EXTENSIONS)

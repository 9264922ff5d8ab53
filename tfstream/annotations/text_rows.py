"""Rows of numbers in a delimited text file: predictors and a target, read a line at a time."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfstream.annotations.files import split_in
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place
from tfstream.annotations.rows import columns_of, head, plain_name, rows
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import AnnotationError, DatasetNotFoundError, InvalidArgumentError
from tfstream.format import example
from tfstream.format.tensors import tensor_of
from tfstream.v1 import annotated_image_pb2

__all__ = ["TARGET", "TextFile", "TextRows"]

# The metadata column of targets that are numbers.
TARGET = "target"

# Of directories; a single file that is named may have any of the others too.
_ENDINGS = (".csv", ".tsv")
_SINGLE = (*_ENDINGS, ".txt", ".data", ".dat")

_CLASSES = ("label", "class", "classname", "category", "categoryname", "species")
_TARGETS = (*_CLASSES, "target", "y", "output", "response")
_SPLITS = ("split", "subset", "partition", "set", "fold")
_KEYS = ("key", "id", "rowid")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+|nan|inf)([eE][+-]?\d+)?\s*", re.IGNORECASE)
_LARGEST = float(np.finfo(np.float32).max)
_SHOWN = 80  # characters of a row in an error


@dataclass(frozen=True)
class TextFile:
    """A text file of rows, for `tfstream.pack`, with its columns named.

    Attributes:
        path: The file.
        target: The column of what is to be predicted: its name, or its place from 0.
        predictors: Likewise; None: all other columns of numbers.
        classes: Whether the target is a class; None: if it is no number, or its name says so.
    """

    path: str | os.PathLike[str]
    target: str | int
    predictors: Sequence[str | int] | None = None
    classes: bool | None = None


@dataclass(frozen=True)
class _Columns:
    """What is where in a row.

    Attributes:
        header: Whether the first row names the columns.
        predictors: Places.
        target: Place.
        classes: Whether the target is a class.
        split: Place; None: it is not said.
        key: Place; None: the number of the line.
        names: Of all columns.
    """

    header: bool
    predictors: tuple[int, ...]
    target: int
    classes: bool
    split: int | None
    key: int | None
    names: tuple[str, ...]


class TextRows(AnnotationReader):
    """A record a row, with its predictors as a tensor float32 [n] and what is to be predicted.

    The target is the column called target, y, label, class ..., or else the last one. It is a class
    where it is no number or its name says so (label, class, category, species); else a target,
    float32 [], and the metadata column `target`, for queries. All other columns of numbers are
    predictors, but for one called id or key, which is the key; without it the key is the
    file's name and the number of the line. The split is that of a column (split, subset ...), or
    what the file's name speaks of, or "train". Without a header, the columns are x0, x1 ...
    """

    name = "rows"
    layout = "a delimited text file with columns of numbers, and one of what is to be predicted"
    specific = False
    boxes: Literal["corners", "sizes", "other"] = "other"
    images = False

    def __init__(self, given: TextFile | None = None) -> None:
        """Makes a reader.

        Args:
            given: What columns there are; None: find out.
        """
        self._given = given

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory; or a file itself."""
        if os.path.isfile(source):
            fits = source.lower().endswith(_SINGLE) and _sniffed(source)
            return [source] if fits else []
        return find_trees(source, lambda path: bool(_files(path)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """None: what is packed is no text file."""
        return ()

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Reads the files once, a line at a time."""
        told: _Columns | None = None
        for path in [os.fspath(self._given.path)] if self._given else _files(root):
            delimiter, columns = self._columns(path)
            if told is not None and _meaning(columns) != _meaning(told):
                raise AnnotationError(
                    f"{path} has the columns {', '.join(columns.names)}, and the file before it "
                    f"{', '.join(told.names)}: pack them one by one."
                )
            told = columns
            listing.columns["tensor"] = tuple(columns.names[at] for at in columns.predictors)
            if not columns.classes:
                listing.columns["target"] = (columns.names[columns.target],)
            yield from _entries(path, delimiter, columns)

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes a record of a row."""
        classes, target, *fields = json.loads(entry.annotation)
        image = annotated_image_pb2.AnnotatedImage()
        try:
            values = [_number(text) for text in fields]
            if not target.strip():
                raise AnnotationError("there is nothing to be predicted: its target is empty")
            if classes:
                image.objects.add(label=target.strip())
            else:
                number = _number(target)
                if not math.isfinite(number):
                    raise AnnotationError(f"its target is {target.strip()!r}: it must be finite")
                image.target.CopyFrom(tensor_of(np.float32(number)))
                example.put_metadata(image, {TARGET: number})
        except AnnotationError as error:
            shown = ",".join([*fields, target])[:_SHOWN]
            raise AnnotationError(
                f"{entry.annotation_path}: {error} (predictors and target: {shown!r})"
            ) from error
        image.tensor.CopyFrom(tensor_of(np.array(values, np.float32)))
        place(entry, image)
        return image

    def _columns(self, path: str) -> tuple[str, _Columns]:
        if self._given is None:
            found = _sniffed(path)
            if found is None:
                raise AnnotationError(f"{path} has no columns of numbers.")
            return found
        if not os.path.isfile(path):
            raise DatasetNotFoundError(f"There is no file {path}: name a delimited text file.")
        first = head(path)
        if first is None:
            raise AnnotationError(f"{path} has no columns: it is no delimited text.")
        return first[0], _chosen(path, first[1], self._given)


def _entries(path: str, delimiter: str, columns: _Columns) -> Iterator[Entry]:
    stem = os.path.splitext(os.path.basename(path))[0]
    usual = split_in(stem) or "train"
    lines = rows(path, delimiter)
    if columns.header:
        next(lines)
    for row in lines:
        where, key, split = f"{path}:{row.line}", f"{stem}/{row.line}", usual
        if row.problem:
            yield Entry(key, split, where, "", problem=row.problem)
            continue
        if columns.key is not None:
            key = row.fields[columns.key].strip()
        if columns.split is not None:
            text = row.fields[columns.split].strip()
            split = split_in(text) or text
        chosen = [row.fields[at] for at in columns.predictors]
        told = [columns.classes, row.fields[columns.target], *chosen]
        problem = "" if key and split else f"{where}: its {'key' if split else 'split'} is empty"
        yield Entry(
            key, split or "train", where, "", annotation=json.dumps(told).encode(), problem=problem
        )


def _files(root: str) -> list[str]:
    if os.path.isfile(root):
        return [root]
    names = [name for name in list_directory(root)[0] if name.lower().endswith(_ENDINGS)]
    paths = [os.path.join(root, name) for name in names if not name.startswith("metadata.")]
    return [path for path in paths if _sniffed(path)]


def _sniffed(path: str) -> tuple[str, _Columns] | None:
    """The delimiter of a file, and what its columns are; None where it is none of ours."""
    first = head(path)
    if first is None:
        return None
    images = columns_of(first[1])
    if images is not None and plain_name(first[1][0][images.path]) not in _KEYS:
        return None  # it has a column of paths
    header, names, sample = _named(first[1])
    if any(len(row) != len(names) for row in sample):
        return None
    plain = [plain_name(name) for name in names]
    split, key = (
        next((plain.index(n) for n in some if n in plain), None) for some in (_SPLITS, _KEYS)
    )
    others = [at for at in range(len(names)) if at not in (split, key)]
    if not (header and others):
        others = list(range(len(names)))
    target = next((plain.index(name) for name in _TARGETS if name in plain), others[-1])
    numbers = tuple(at for at in others if at != target and _is_number(sample, at))
    if not numbers:
        return None
    classes = plain[target] in _CLASSES or not _is_number(sample, target)
    return first[0], _Columns(header, numbers, target, classes, split, key, tuple(names))


def _chosen(path: str, first: Sequence[Sequence[str]], given: TextFile) -> _Columns:
    """What a user says that the columns are.

    Raises:
        InvalidArgumentError: There is no such column.
    """
    header, names, sample = _named(first)

    def place_of(column: str | int) -> int:
        if isinstance(column, str) and column in names:
            return names.index(column)
        if isinstance(column, int) and 0 <= column < len(names):
            return column
        raise InvalidArgumentError(
            f"{path} has no column {column!r}: it has {', '.join(names)[:200]} (0 to "
            f"{len(names) - 1})"
        )

    target = place_of(given.target)
    if given.predictors is None:
        numbers = [at for at in range(len(names)) if at != target and _is_number(sample, at)]
    else:
        numbers = [place_of(column) for column in given.predictors]
    if not numbers or target in numbers:
        raise InvalidArgumentError(
            f"the predictors of {path} must be columns of numbers other than the target "
            f"{given.target!r} (got {given.predictors!r:.80})"
        )
    plain = [plain_name(name) for name in names]
    split, key = (
        next((plain.index(n) for n in some if n in plain and plain.index(n) not in numbers), None)
        for some in (_SPLITS, _KEYS)
    )
    classes = given.classes
    if classes is None:
        classes = plain[target] in _CLASSES or not _is_number(sample, target)
    return _Columns(header, tuple(numbers), target, classes, split, key, tuple(names))


def _named(first: Sequence[Sequence[str]]) -> tuple[bool, list[str], Sequence[Sequence[str]]]:
    """Whether there is a header, the columns' names, and the first rows of values."""
    header = len(first) > 1 and not any(_NUMBER.fullmatch(text) for text in first[0])
    if header:
        return True, [name.strip() for name in first[0]], first[1:]
    return False, [f"x{at}" for at in range(len(first[0]))], first


def _meaning(columns: _Columns) -> tuple[object, ...]:
    """What two files must have in common."""
    return tuple(columns.names[at] for at in columns.predictors), columns.classes


def _is_number(sample: Sequence[Sequence[str]], at: int) -> bool:
    """Whether a column is of numbers: what is none in it is a mistake then, and no other column."""
    return any(_NUMBER.fullmatch(row[at]) for row in sample if at < len(row))


def _number(text: str) -> float:
    """A number that float32 can hold.

    Raises:
        AnnotationError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        what = repr(text.strip()[:40]) if text.strip() else "an empty value"
        raise AnnotationError(f"there is {what} where a number belongs") from None
    if math.isfinite(value) and abs(value) > _LARGEST:
        raise AnnotationError(f"{text.strip()[:40]} is more than float32 can hold")
    return value

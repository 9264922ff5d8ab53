"""Sets of `.npy` files: an array a sample, its id the file's name, classes and parts by id."""

from __future__ import annotations

import json
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tfstream.annotations import npy_file
from tfstream.annotations.files import files_below
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import (
    AnnotationError,
    DatasetNotFoundError,
    InvalidArgumentError,
    MissingImageError,
    StorageError,
)
from tfstream.v1 import annotated_image_pb2

__all__ = ["Npy", "NpySet", "file_of"]

_LABELS = "labels.json"
_PARTITION = "partition.json"
_ENDING = ".npy"
_MOST_CLASSES = 1_000_000  # that numbers may stand for: an id among the classes is a mistake


@dataclass(frozen=True)
class NpySet:
    """Arrays by id, for `tfstream.pack`: a file `ID.npy` each, with a class for every id.

    >>> NpySet("data", labels={"id-1": 0, "id-2": 1}, partition={"train": ["id-1", "id-2"]}).splits
    {'train': ('id-1', 'id-2')}

    Attributes:
        directory: Where the files are; an id may have "/" in it.
        labels: The class of each id: all whole numbers from 0, which are the indices then; or all
            texts.
        partition: The ids of each split; None: all that have a label are of "train".

    Raises:
        InvalidArgumentError: The classes are neither, or a part is no list of texts.
    """

    directory: str | os.PathLike[str]
    labels: Mapping[str, int | str]
    partition: Mapping[str, Iterable[str]] | None = None
    splits: dict[str, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Mapping) or not self.labels:
            raise InvalidArgumentError(
                f"labels must have the class of each id, {{id: class}} (got {self.labels!r:.80})"
            )
        partition = {"train": self.labels} if self.partition is None else self.partition
        if not isinstance(partition, Mapping) or any(
            isinstance(ids, str) or not isinstance(ids, Iterable) for ids in partition.values()
        ):
            raise InvalidArgumentError(
                'partition must have the ids of each split, {"train": [id, ...], ...} (got '
                f"{partition!r:.80})"
            )
        splits = {str(split): tuple(ids) for split, ids in partition.items()}
        for given in (self.labels, *splits.values()):
            wrong = next((each for each in given if not isinstance(each, str) or not each), None)
            if wrong is not None:
                raise InvalidArgumentError(f"an id is a text that is not empty (got {wrong!r:.80})")
        object.__setattr__(self, "splits", splits)
        self.classes()

    def classes(self) -> list[str]:
        """The names of the classes, in the order of their indices.

        Raises:
            InvalidArgumentError: The classes are neither whole numbers from 0, nor texts.
        """
        first = next(iter(self.labels.values()))
        numbered = _is_number(first)
        for name, label in self.labels.items():
            if numbered != _is_number(label) or not (numbered or isinstance(label, str)):
                raise InvalidArgumentError(
                    f"the class of {name!r} is {label!r:.60}, and the first one is {first!r:.60}: "
                    "all are whole numbers, or all are texts"
                )
            if label == "" or (numbered and not 0 <= int(label) < _MOST_CLASSES):
                raise InvalidArgumentError(
                    f"the class of {name!r} is {label!r:.60}: classes are named, or numbered from "
                    f"0 to {_MOST_CLASSES - 1:,}"
                )
        if not numbered:
            return sorted({str(label) for label in self.labels.values()})
        return [str(number) for number in range(max(map(int, self.labels.values())) + 1)]


class Npy(AnnotationReader):
    """`ID.npy` files with `labels.json` ({id: class}) beside them, and perhaps `partition.json`.

    The files are beside these two, or in a directory there. The key is the id. Classes that are
    numbers are the labels' indices. The arrays of a set have one type and one shape.
    """

    name = "npy"
    layout = "labels.json ({id: class}), perhaps partition.json ({split: [ids]}), and ID.npy files"
    boxes: Literal["corners", "sizes", "other"] = "other"
    images = False

    def __init__(self, given: NpySet | None = None) -> None:
        """Makes a reader.

        Args:
            given: What to list; None: what `labels.json` and `partition.json` say.
        """
        self._given = given

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: _arrays_in(path) is not None)

    def guarded(self, root: str) -> tuple[str, ...]:
        """The set's directory."""
        return (root if self._given is None else os.fspath(self._given.directory),)

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the ids of the partition, in its order."""
        given, told = self._given, "the partition"
        if given is None:
            given, told = _load(root), os.path.join(root, _PARTITION)
        directory = os.fspath(given.directory)
        if not os.path.isdir(directory):
            raise DatasetNotFoundError(f"There is no directory {directory}: it should hold ID.npy.")
        if given.partition is None:
            told = "the labels"
        for name in given.classes():
            listing.labels[name] = ""
        seen: dict[str, str] = {}
        for split, ids in given.splits.items():
            for each in ids:
                problem = ""
                path = file_of(directory, each)
                if path is None:
                    problem = f"the id {each!r} leads out of {directory}: ids are paths below it"
                elif each in seen:
                    problem = f"the id {each!r} is in {told} twice, in {seen[each]} and in {split}"
                elif each not in given.labels:
                    problem = f"the id {each!r} of {split} has no label"
                seen.setdefault(each, split)
                yield Entry(
                    key=each,
                    split=split,
                    annotation_path=told,
                    image_path=path or "",
                    image_found=path is not None and os.path.exists(path),
                    annotation=str(given.labels.get(each, "")).encode("utf-8", "surrogateescape"),
                    problem=problem,
                )
        for each in given.labels:
            if each not in seen:
                yield Entry(
                    key=each,
                    split=next(iter(given.splits), "train"),
                    annotation_path=told,
                    image_path="",
                    problem=f"the label of {each!r} is of an id that is in no part of {told}",
                )
        _count_others(directory, seen, listing.left_out)

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads the header of the array's file; its numbers are left where they are."""
        if not entry.image_found:
            raise MissingImageError(
                f"The array of {entry.key!r} is missing: there is no {entry.image_path}."
            )
        spec = npy_file.header(entry.image_path).spec
        image = annotated_image_pb2.AnnotatedImage()
        place(entry, image)
        image.tensor.dtype = spec.dtype
        image.tensor.shape.extend(spec.shape)
        image.objects.add(label=entry.annotation.decode())
        return image


def file_of(directory: str, name: str) -> str | None:
    """The file of an id; None where it leads out of the directory.

    >>> file_of("data", "a/id-1"), file_of("data", "../id-1"), file_of("data", "/etc/x")
    ('data/a/id-1.npy', None, None)
    """
    inner = posixpath.normpath(name)
    if name.startswith("/") or "\0" in name or inner == ".." or inner.startswith("../"):
        return None
    return os.path.join(directory, inner + _ENDING)


def _is_number(label: object) -> bool:
    return hasattr(label, "__index__") and not isinstance(label, bool)


def _arrays_in(root: str) -> str | None:
    """The directory of a set's arrays: its root, or the first in it that has any; None: no set."""
    if not os.path.isfile(os.path.join(root, _LABELS)):
        return None
    for each in (root, *(os.path.join(root, name) for name in list_directory(root)[1])):
        if any(name.endswith(_ENDING) for name in list_directory(each)[0]):
            return each
    return None


def _load(root: str) -> NpySet:
    """What the files of a set say of it.

    Raises:
        AnnotationError: They cannot be understood.
    """
    labels = _json(os.path.join(root, _LABELS))
    path = os.path.join(root, _PARTITION)
    partition = _json(path) if os.path.exists(path) else None
    try:
        return NpySet(_arrays_in(root) or root, labels, partition)
    except InvalidArgumentError as error:
        raise AnnotationError(f"{root} ({_LABELS}, {_PARTITION}): {error}") from error


def _json(path: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        again = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        if again:
            raise AnnotationError(f"{path} has {again[0]!r} twice: which of the two is meant?")
        return dict(pairs)

    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file, object_pairs_hook=once)
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}. Write "
            "it as UTF-8."
        ) from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is not JSON: {error}.") from error
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def _count_others(directory: str, seen: Mapping[str, str], left_out: Counter[str]) -> None:
    """Counts the arrays that no id names."""
    named = {posixpath.normpath(each) + _ENDING for each in seen}
    others = sum(
        name.endswith(_ENDING) and below + name not in named
        for below, files in files_below(directory)
        for name in files
    )
    if others:
        left_out["arrays that no id names"] += others

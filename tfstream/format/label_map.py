"""The label map: which index stands for which label."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfstream import errors
from tfstream.storage.uri import require_local
from tfstream.v1 import manifest_pb2

__all__ = ["LabelMap"]

# "n01440764 tench, Tinca tinca" (Kaggle's LOC_synset_mapping.txt).
_SYNSET = re.compile(r"(n\d{8})(?:\s+(\S.*))?")
# "n02672831 1 accordion" (the ILSVRC devkit's map_det.txt, map_clsloc.txt).
_NUMBERED = re.compile(r"(n\d{8})\s+(\d+)\s+(\S.*)")


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """Labels in order: a label's position is its index.

    >>> labels = LabelMap.from_names(["cat", "dog"])
    >>> labels.id["dog"], labels.background, labels.classes
    (1, 2, 3)

    Attributes:
        names: The labels as annotations spell them, each once.
        titles: For people, one a name, "" where there is none.
        has_background: Whether one more class, the last, stands for an image
            without an object.
        file: That it was read from, for messages; "": none. Equal maps may be of two files.
    """

    names: tuple[str, ...]
    titles: tuple[str, ...] = ()
    has_background: bool = True
    file: str = dataclasses.field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.titles:
            object.__setattr__(self, "titles", ("",) * len(self.names))
        if len(self.titles) != len(self.names):
            raise errors.InvalidArgumentError(
                f"A label map needs a title a name: got {len(self.titles)} titles for "
                f"{len(self.names)} names."
            )
        seen: dict[str, int] = {}
        for position, name in enumerate(self.names):
            if not name:
                raise errors.InvalidArgumentError(
                    f"Label {position} of the label map is empty. Give every label a name."
                )
            if name in seen:
                raise errors.InvalidArgumentError(
                    f"Label {name!r} is in the label map twice, at {seen[name]} and {position}. "
                    "Keep one."
                )
            seen[name] = position

    @classmethod
    def from_names(cls, names: Iterable[str], *, background: bool = True) -> LabelMap:
        """Makes a map of `names` in the order given, without titles."""
        return cls(names=tuple(names), has_background=background)

    @classmethod
    def from_proto(cls, proto: manifest_pb2.LabelMap) -> LabelMap:
        """Makes a map of what a manifest holds."""
        return cls(
            names=tuple(label.name for label in proto.labels),
            titles=tuple(label.title for label in proto.labels),
            has_background=proto.background,
        )

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, background: bool = True) -> LabelMap:
        """Reads a file with one label a line, in order.

        A line is a label ("traffic light"), or a WordNet id with a title, as in
        Kaggle's synset mapping ("n01440764 tench, Tinca tinca"), or with a
        number and a title, as in the ILSVRC devkit ("n02672831 1 accordion");
        where every line has a number, the numbers give the order.

        Args:
            path: A text file, UTF-8.
            background: Whether the map shall have a background class.

        Raises:
            DatasetNotFoundError: There is no such file.
            InvalidArgumentError: A line is blank or names a label again; names the line.
        """
        path = Path(path)
        lines = _lines(path)
        numbered = [_NUMBERED.fullmatch(line) for line in lines]
        if all(numbered):
            triples = [(int(m[2]), m[1], m[3]) for m in numbered if m is not None]
            _refuse_repeats(path, [number for number, _, _ in triples], "number")
            pairs = [(name, title) for _, name, title in sorted(triples)]
            _refuse_repeats(path, [name for _, name, _ in triples], "label")
        else:
            pairs = [_name_and_title(line) for line in lines]
            _refuse_repeats(path, [name for name, _ in pairs], "label")
        return cls(
            names=tuple(name for name, _ in pairs),
            titles=tuple(title for _, title in pairs),
            has_background=background,
            file=str(path),
        )

    @property
    def content(self) -> dict[str, object]:
        """What the map says, wherever it was read: for hashes."""
        return {"names": self.names, "titles": self.titles, "has_background": self.has_background}

    def to_proto(self) -> manifest_pb2.LabelMap:
        """The map as a manifest holds it."""
        labels = [
            manifest_pb2.Label(name=name, title=title)
            for name, title in zip(self.names, self.titles, strict=True)
        ]
        return manifest_pb2.LabelMap(labels=labels, background=self.has_background)

    @functools.cached_property
    def id(self) -> dict[str, int]:
        """Name to index."""
        return {name: index for index, name in enumerate(self.names)}

    @property
    def background(self) -> int | None:
        """Index of the background class, the last; None where there is none."""
        return len(self.names) if self.has_background else None

    @property
    def classes(self) -> int:
        """How many classes there are, the background counted."""
        return len(self.names) + int(self.has_background)

    def index(self, name: str) -> int:
        """The index of a label.

        Raises:
            UnknownLabelError: The map has no such label; names the nearest ones.
        """
        try:
            return self.id[name]
        except KeyError:
            pass
        near = difflib.get_close_matches(name, self.names, n=3)
        hint = f"Nearest: {', '.join(map(repr, near))}." if near else "Nothing comes near it."
        raise errors.UnknownLabelError(
            f"Label {name!r} is not among the {len(self.names)} labels of "
            f"{self.file or 'the map'}. {hint}"
        )


def _lines(path: Path) -> list[str]:
    """The lines without the white space around them; none of them empty."""
    require_local(path, "a label file", "download it first")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise errors.DatasetNotFoundError(f"There is no label file at {path}.") from error
    except UnicodeDecodeError as error:
        raise errors.InvalidArgumentError(
            f"{path} is not a text file in UTF-8: {error.reason} at byte {error.start}."
        ) from error
    except OSError as error:
        raise errors.StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error
    # Not splitlines(): that also cuts at form feeds and Unicode separators.
    lines = [line.strip() for line in text.rstrip().split("\n")]
    for number, line in enumerate(lines, start=1):
        if not line:
            raise errors.InvalidArgumentError(
                f"{path}:{number}: the line is blank. Give one label a line: its position "
                "is its index."
            )
    return lines


def _name_and_title(line: str) -> tuple[str, str]:
    synset = _SYNSET.fullmatch(line)
    return (synset[1], synset[2] or "") if synset else (line, "")


def _refuse_repeats(path: Path, values: Sequence[str | int], what: str) -> None:
    seen: dict[str | int, int] = {}
    for line, value in enumerate(values, start=1):
        if value in seen:
            raise errors.InvalidArgumentError(
                f"{path}:{line}: {what} {value!r} is on line {seen[value]} already. Keep one."
            )
        seen[value] = line

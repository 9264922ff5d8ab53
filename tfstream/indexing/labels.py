"""The label map of records that are there already: from a file, or from what they say."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from tfstream.errors import DatasetNotFoundError, InvalidArgumentError, StorageError
from tfstream.format.label_map import LabelMap
from tfstream.storage.uri import require_local

__all__ = ["from_file", "from_records"]

_ITEM = re.compile(r"item\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_WITHIN = re.compile(r"\{[^{}]*\}")  # an item's keypoints, which have names and ids as well
_FIELD = re.compile(r"""(\w+)\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(-?\d+))""")


def from_file(
    path: str | os.PathLike[str], said: Collection[str] = ()
) -> tuple[LabelMap, tuple[int, ...]]:
    """Reads the labels and the number of each.

    Args:
        path: A label a line, numbered from 0; or a `.pbtxt` of the TF Object Detection API, with
            the ids that it states. Its classes are called by the `display_name` of an item, where
            it has one: the `name` is often an id of another data set, or "NA".
        said: Names that records have. Where these are items' `name`s, and none is a
            `display_name`, the classes are called by the `name`s.

    Raises:
        DatasetNotFoundError: There is no such file.
        InvalidArgumentError: It cannot be understood.
    """
    if not os.fspath(path).endswith((".pbtxt", ".pbtext")):
        labels = LabelMap.from_file(path, background=False)
        return labels, tuple(range(len(labels.names)))
    require_local(path, "a label file", "download it first")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DatasetNotFoundError(f"There is no label file at {path}.") from error
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"{path} is not a text file in UTF-8: {error.reason}."
        ) from error
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error
    items = []
    for item in (_WITHIN.sub("", whole) for whole in _ITEM.findall(text)):
        fields = {name: one or two or number for name, one, two, number in _FIELD.findall(item)}
        name, display = fields.get("name", ""), fields.get("display_name", "")
        if not (name or display) or not fields.get("id"):
            raise InvalidArgumentError(
                f"{path} has an item without a name or an id: {' '.join(item.split())!r}."
            )
        items.append((int(fields["id"]), name or display, display or name))
    if not items:
        raise InvalidArgumentError(
            f"{path} has no item such as `item {{ id: 1 name: 'dog' }}`: is it a label map?"
        )
    items.sort()
    numbers = tuple(number for number, _, _ in items)
    for first, second in itertools.pairwise(numbers):
        if first == second:
            raise InvalidArgumentError(f"{path} has two items with the id {first}. Keep one.")
    names = tuple(name for _, name, _ in items)
    shown = tuple(display for _, _, display in items)
    by_name = not set(shown).intersection(said) and bool(set(names).intersection(said))
    called, titles = shown, ("",) * len(shown)
    if by_name:
        called = names
        titles = tuple(
            title if title != name else "" for name, title in zip(names, shown, strict=True)
        )
    _refuse_repeats(path, called, numbers)
    return LabelMap(called, titles, has_background=False, file=str(path)), numbers


def _refuse_repeats(
    path: str | os.PathLike[str], names: Sequence[str], numbers: Sequence[int]
) -> None:
    first: dict[str, int] = {}
    for name, number in zip(names, numbers, strict=True):
        if name in first:
            raise InvalidArgumentError(
                f"{path} calls two items {name!r}, those with the ids {first[name]} and {number}: "
                "give each a `display_name` of its own."
            )
        first[name] = number


def from_records(
    labels: Iterable[str | int], pairs: Mapping[str, Iterable[int]]
) -> tuple[LabelMap, tuple[int, ...]]:
    """The labels that occur in records.

    Args:
        labels: Names, or numbers where records have no names.
        pairs: By name, the numbers that stood beside it.

    Returns:
        The map, and the number of each label where there are no names. Names are in the order of
        their numbers, where each has one of its own; else sorted.

    >>> from_records({"b", "a"}, {"b": {1}, "a": {2}})[0].names
    ('b', 'a')
    >>> from_records({7, 3}, {})
    (LabelMap(names=('3', '7'), titles=('', ''), has_background=False), (3, 7))
    """
    numbers = sorted(label for label in labels if isinstance(label, int))
    names = sorted(label for label in labels if isinstance(label, str))
    if numbers and not names:
        return LabelMap.from_names(map(str, numbers), background=False), tuple(numbers)
    known = {name: set(pairs.get(name, ())) for name in names}
    single = [next(iter(each)) for each in known.values() if len(each) == 1]
    if len(single) == len(names) == len(set(single)):
        names.sort(key=lambda name: next(iter(known[name])))
    return LabelMap.from_names(names, background=False), ()

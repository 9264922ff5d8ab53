"""Metadata of an image in JSON files beside it: one of its own, or one of its folder's."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfstream.errors import AnnotationError, StorageError
from tfstream.storage.read import read_file

__all__ = ["MOST_COLUMNS", "Value", "names_among", "origin", "read", "select"]

Value = str | int | float | bool

# By the name of an image's file: {"dog_1.jpg": {"camera": "left"}}.
FOLDER = "metadata.json"
# Behind the name of an image's or an annotation's file: {"camera": "left"}.
_SUFFIX = ".metadata.json"

MOST_COLUMNS = 1000
_LONGEST_NAME = 200  # characters
_DEEPEST = 16  # objects within objects
# Bytes. What metadata have more of is no metadata, or an attack.
_LARGEST = 1 << 20
_LARGEST_FOLDER = 64 << 20

_INT64 = range(-(2**63), 2**63)


def names_among(files: Iterable[str]) -> frozenset[str]:
    """The names of sidecars among those of a directory's files."""
    return frozenset(name for name in files if name == FOLDER or name.endswith(_SUFFIX))


def select(directory: str, sidecars: frozenset[str], names: Iterable[str]) -> tuple[str, ...]:
    """The paths of those of a directory's sidecars that may speak of an image; its own come last.

    >>> select("d", frozenset(["a.jpg.metadata.json", "metadata.json"]), ["a.jpg"])
    ('d/metadata.json', 'd/a.jpg.metadata.json')

    Args:
        directory: The path of the directory.
        sidecars: Of `names_among`, of its files.
        names: Of the image's file and the annotation's.
    """
    if not sidecars:
        return ()
    wanted = [FOLDER, *(name + _SUFFIX for name in names)]
    return tuple(os.path.join(directory, name) for name in wanted if name in sidecars)


def read(path: str, names: Sequence[str]) -> dict[str, Value]:
    """What a sidecar says of an image.

    Objects within objects are columns with a dot in their names, lists are kept as JSON text, and
    null is no value.

    Args:
        path: Of the sidecar.
        names: Of the image's file and the annotation's, as a folder's sidecar may call it.

    Raises:
        AnnotationError: It is not JSON, too large, or not what it should be.
        StorageError: It cannot be read.
    """
    if os.path.basename(path) != FOLDER:
        return _flatten(_load(path, _LARGEST), path)
    entries = _entries(path)
    for name in names:
        if name in entries:
            return _flatten(entries[name], _entry_of(path, name))
    return {}


def origin(annotation_path: str, image_path: str, column: str) -> str | None:
    """The sidecar, or its entry, that gives an image its value in a column; None: none does."""
    names = [os.path.basename(annotation_path), os.path.basename(image_path)]
    anything = frozenset([FOLDER, *(name + _SUFFIX for name in names)])
    paths = (
        *select(os.path.dirname(annotation_path), anything, names),
        *select(os.path.dirname(image_path), anything, names[1:]),
    )
    there = [path for path in reversed(paths) if os.path.exists(path)]
    path = next((path for path in there if column in read(path, names)), None)
    if path is None or os.path.basename(path) != FOLDER:
        return path
    return _entry_of(path, next(name for name in names if name in _entries(path)))


def _entry_of(path: str, name: str) -> str:
    return f"{path}, under {name!r}"


def _entries(path: str) -> Mapping[str, Any]:
    """What a folder's sidecar holds, by file name."""
    status = _stat(path)
    return _folder(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)  # of an annotation's directory, and of its image's
def _folder(path: str, _mtime_ns: int, _size: int) -> Mapping[str, Any]:
    return _load(path, _LARGEST_FOLDER)


def _load(path: str, largest: int) -> dict[str, Any]:
    """The object that a JSON file holds."""
    size = _stat(path).st_size
    if size > largest:
        raise AnnotationError(
            f"{path} has {size:,} bytes, and a file of metadata may have {largest:,}: put larger "
            "ones into a CSV or Parquet file (metadata=…, --metadata)."
        )

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise AnnotationError(f"{path} names {twice!r} twice in one object: keep one.")
        return plain

    try:
        plain = json.loads(read_file(path), object_pairs_hook=unique)
    except RecursionError:
        raise AnnotationError(f"{path} has more objects or lists in each other than any.") from None
    except AnnotationError:
        raise
    except ValueError as error:  # UnicodeDecodeError is one
        raise AnnotationError(f"{path} is not JSON: {error}.") from error
    if not isinstance(plain, dict):
        raise AnnotationError(f"{path} holds {_kind(plain)}, where a JSON object is expected.")
    return plain


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def _flatten(plain: object, place: str) -> dict[str, Value]:
    """The columns of an object: names joined by dots, to plain values."""
    if not isinstance(plain, dict):
        raise AnnotationError(f"{place}: there is {_kind(plain)}, where an object is expected.")
    found: dict[str, Value] = {}
    waiting: list[tuple[str, dict[str, Any], int]] = [("", plain, 1)]
    while waiting:
        prefix, item, depth = waiting.pop()
        if depth > _DEEPEST:
            raise AnnotationError(
                f"{place}: {prefix[:_LONGEST_NAME]!r} lies in more than {_DEEPEST} objects."
            )
        for key, value in item.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict):
                waiting.append((f"{name}.", value, depth + 1))
            elif value is not None:
                _require_name(name, place)
                if name in found:
                    raise AnnotationError(
                        f"{place} names {name!r} twice, once with objects for its dots: keep one."
                    )
                found[name] = _plain(name, value, place)
        if len(found) > MOST_COLUMNS:
            raise AnnotationError(
                f"{place} holds over {MOST_COLUMNS:,} values for one image: keep fewer."
            )
    return found


def _require_name(name: str, place: str) -> None:
    if not name or len(name) > _LONGEST_NAME or not _is_text(name):
        raise AnnotationError(
            f"{place}: {name[:_LONGEST_NAME]!r} cannot be the name of a column, which has 1 to "
            f"{_LONGEST_NAME} characters."
        )


def _plain(name: str, value: Any, place: str) -> Value:
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) and value not in _INT64:
        raise AnnotationError(f"{place}: {name!r} has more than 64 bits: write it as text.")
    if isinstance(value, str) and not _is_text(value):
        raise AnnotationError(f"{place}: {name!r} is half of a character: {value[:80]!r}.")
    plain: Value = value
    return plain


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")

"""Names of files that are made of records: by template, or from the key alone."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfstream.errors import InvalidArgumentError

__all__ = ["Template", "extension", "path_fault", "path_of"]

_EXTENSIONS = {
    "jpeg": ".jpg",
    "jpg": ".jpg",
    "png": ".png",
    "bmp": ".bmp",
    "gif": ".gif",
    "webp": ".webp",
}
_OTHER = ".bin"
_ENDINGS = tuple({*_EXTENSIONS.values(), _OTHER})
_MOST_BYTES = 255  # of a part of a path, on nearly all file systems
_LONGEST_PATH = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_OWN = ("key", "split", "label", "name", "ext")


def extension(format: str) -> str:
    """The extension of an image file, with its dot.

    >>> extension("jpeg"), extension("png"), extension("")
    ('.jpg', '.png', '.bin')
    """
    return _EXTENSIONS.get(format.lower(), _OTHER)


class Template:
    """A pattern for file names, with columns of the metadata in braces.

    `{key}`, `{split}`, `{label}` (of the main object, or "background"), `{name}` (the last part of
    the key), `{ext}` (".jpg"), and every other column by its name. `{{` is a brace.

    Args:
        text: The pattern.
        columns: The names that there are.

    Raises:
        InvalidArgumentError: It names something else, or a brace is alone.

    >>> template = Template("{split}/{label}/{name}{ext}", ["key", "split", "label", "format"])
    >>> row = {"key": "train/a/7", "split": "val", "label": None, "format": "png"}
    >>> template.fill(row)
    'val/background/7.png'
    """

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self._pieces: list[tuple[bool, str]] = []  # (is it a field, the field or the text)
        end = 0
        for match in _PIECE.finditer(text):
            self._pieces.append((False, text[end : match.start()]))
            end = match.end()
            if match[0] in ("{{", "}}"):
                self._pieces.append((False, match[0][0]))
                continue
            if match[1] is None:
                raise InvalidArgumentError(
                    f"the template {text!r} has a brace alone at character {match.start() + 1}: "
                    "write {{ or }} for a brace that is meant"
                )
            known = list(dict.fromkeys([*_OWN, *columns]))
            if match[1] not in known:
                near = difflib.get_close_matches(match[1], known, n=1)
                hint = f"did you mean {{{near[0]}}}? " if near else ""
                raise InvalidArgumentError(
                    f"the template {text!r} names {match[0]}, which there is not: {hint}There are "
                    f"{', '.join(known)}"
                )
            self._pieces.append((True, match[1]))
        self._pieces.append((False, text[end:]))

    def fill(self, row: Mapping[str, Any]) -> str:
        """The name for one record.

        Args:
            row: Its metadata, with `key`, `format`, `split` and `label`.
        """
        return "".join(_value(row, piece) if field else piece for field, piece in self._pieces)


def _value(row: Mapping[str, Any], name: str) -> str:
    if name == "name":
        return str(row["key"]).rpartition("/")[2]
    if name == "ext":
        return extension(row["format"])
    value = row[name]
    if value is None:
        return "background" if name == "label" else "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def path_fault(path: str) -> str | None:
    """Why a relative path cannot be used for a file below a directory; None: it can.

    >>> path_fault("a/b.jpg"), path_fault("../b.jpg"), path_fault("/b.jpg")
    (None, "has the part '..'", 'begins with /')
    """
    if path.startswith("/"):
        return "begins with /"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}"
        if _CONTROL.search(part):
            return "has a line break or another control character"
        try:
            if len(part.encode()) > _MOST_BYTES:
                return f"has a part of more than {_MOST_BYTES} bytes"
        except UnicodeEncodeError:
            return "is not UTF-8"
    return None


def path_of(key: str, format: str) -> str:
    """A relative path for a record's image: its key and extension, with what is unsafe escaped.

    Any two keys have different paths, neither of them within the other.

    >>> path_of("train/n01/7", "jpeg"), path_of("../a", "png"), path_of("/b%.jpg/c", "jpeg")
    ('train/n01/7.jpg', '%2E./a.png', '%/b%25%2Ejpg/c.jpg')
    """
    ending = extension(format)
    *directories, name = key.split("/")
    path = "/".join([*map(_directory, directories), _escape(name) + ending])
    if path_fault(path) is None and len(path.encode()) <= _LONGEST_PATH:
        return path
    # "%." begins no part that is made otherwise.
    return f"%.{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}{ending}"


def _directory(part: str) -> str:
    """One that never bears the name of a file."""
    if part == "":
        return "%"  # which no other part is
    part = _escape(part)
    stem, dot, ending = part.rpartition(".")
    return f"{stem}%2E{ending}" if dot + ending in _ENDINGS else part


def _escape(part: str) -> str:
    part = _CONTROL.sub(lambda found: f"%{ord(found[0]):02X}", part.replace("%", "%25"))
    # Files that are being written are hidden.
    return f"%2E{part[1:]}" if part.startswith(".") else part

"""Reads the items of the arrays in a JSON object one by one: the file may be larger than memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from tfstream.errors import AnnotationError, StorageError

__all__ = ["Item", "array_items"]

_BLOCK = 4 << 20  # bytes read at once
_LARGEST = 256 << 20  # characters of one item; what is larger is a mistake
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Item:
    """One item of an array.

    Attributes:
        array: The array's name in the object.
        place: In the array, from 0.
        value: The item.
        text: As it stands in the file.
    """

    array: str
    place: int
    value: Any
    text: str


def array_items(path: str, arrays: Container[str]) -> Iterator[Item]:
    """The items of some arrays of the object that a file holds, in the order of the file.

    Raises:
        AnnotationError: It is not JSON, or holds something else; names the line.
        StorageError: It cannot be read.
    """
    with _Text(path) as text:
        text.expect("{", "a JSON object is expected")
        if text.next() == "}":
            return
        while True:
            if text.next() != '"':
                text.fail('a name in "" is expected')
            name, _ = text.value()
            text.expect(":", "a colon is expected")
            if text.next() != "[":
                value, _ = text.value()
                if name in arrays:
                    text.fail(f"{name!r} is not an array but {str(value)[:40]!r}")
            else:
                yield from _items(text, name, name in arrays)
            if text.next() == "}":
                break
            text.expect(",", "a comma or the end of the object is expected")
        text.expect("}", "")
        if text.next():
            text.fail("something stands behind the object's end")


def _items(text: _Text, name: str, wanted: bool) -> Iterator[Item]:
    text.expect("[", "")
    place = 0
    while text.next() != "]":
        if place:
            text.expect(",", f"a comma or the end of {name!r} is expected")
        text.next()
        value, source = text.value()
        if wanted:
            yield Item(name, place, value, source)
        place += 1
    text.expect("]", "")


class _Text:
    """A file's text through a window."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._window = ""
        self._at = 0
        self._lines = 1  # before the window, and one
        self._ended = False

    def __enter__(self) -> _Text:
        try:
            self._file = open(self.path, "rb", buffering=0)
        except OSError as error:
            raise self._unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, why: str, at: int | None = None) -> NoReturn:
        """Raises the error that names the line."""
        line = self._lines + self._window.count("\n", 0, self._at if at is None else at)
        raise AnnotationError(f"{self.path}:{line}: the JSON does not parse: {why}.")

    def next(self) -> str:
        """The next character that is no space, which stays where it is; "" at the end."""
        while True:
            self._at = _SPACE.match(self._window, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._window):
                return self._window[self._at]
            if self._ended:
                return ""
            self._more()

    def expect(self, character: str, why: str) -> None:
        """Goes past a character."""
        found = self.next()
        if found != character:
            self.fail(f"{why}, and there is {repr(found) if found else 'the end of the file'}")
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """The value that begins here, and its text."""
        while True:
            try:
                value, end = self._parse(self._window, self._at)
                if end < len(self._window) or self._ended:  # a number may go on
                    text = self._window[self._at : end]
                    self._at = end
                    return value, text
            except RecursionError:
                self.fail("more objects or lists are in each other than any need")
            except json.JSONDecodeError as error:
                if self._ended:
                    self.fail(error.msg, error.pos)
                if len(self._window) - self._at > _LARGEST:
                    self.fail(f"{error.msg}; or one value has over {_LARGEST:,} characters")
            self._more()

    def _more(self) -> None:
        """Moves the window on; by so much that a long value is not parsed too often."""
        rest = self._window[self._at :]
        try:
            data = self._file.read(max(_BLOCK, len(rest)))
            more = self._decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise AnnotationError(f"{self.path} is not UTF-8 text: {error}.") from error
        except OSError as error:
            raise self._unreadable(error) from error
        self._lines += self._window.count("\n", 0, self._at)
        self._window = rest + more
        self._at = 0
        self._ended = not data

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(error.errno, f"Cannot read {self.path}: {error.strerror}.")

"""Names of exported images: a record's key, as far as a file may have it, or by a template."""

from __future__ import annotations

import posixpath
import re
from array import array
from collections.abc import Callable, Iterable

import numpy as np

from tfstream.annotations.tree import IMAGE_EXTENSIONS
from tfstream.file_names import extension, path_fault, path_of

__all__ = ["Claims", "directory_name", "path_of_key"]

# Where lists are read line by line, and what annotations take for another "/".
_BREAKS = re.compile(r"[\\\x85\u2028\u2029]")
_EDGES = re.compile(r"^\s+|\s+$")


def path_of_key(key: str, format: str) -> str:
    r"""The path of an image whose key is got back by taking the extension away.

    Where a file cannot have such a name, or no reader would find it, something else stands there.

    >>> path_of_key("train/a b.c", "jpeg"), path_of_key("../x", "png"), path_of_key("a\\b", "png")
    ('train/a b.c.jpg', '%2E./x.png', 'a%5Cb.png')
    """
    path = key + extension(format)
    if _is_plain(path):
        return path
    stem, ending = posixpath.splitext(path_of(key, format))
    return _EDGES.sub(_escaped, _BREAKS.sub(_escaped, stem)) + ending


def directory_name(name: str) -> str:
    """A name for a directory, as near as may be to some text.

    >>> directory_name("traffic light"), directory_name("a/b"), directory_name(".x")
    ('traffic light', 'a%2Fb', '%2Ex')
    """
    if "/" not in name and _is_plain(f"{name}/x.jpg") and not _ends_as_image(name):
        return name
    made = posixpath.dirname(path_of(f"{name.replace('/', chr(0))}/x", "jpeg"))
    return _EDGES.sub(_escaped, made.replace("%00", "%2F"))


def _is_plain(path: str) -> bool:
    """Whether readers find the file, and see its name as it is."""
    stem = posixpath.splitext(path)[0]
    if path_fault(path) is not None or _BREAKS.search(path) or _EDGES.search(stem):
        return False
    *directories, _ = path.split("/")
    hidden = path.startswith(".") or "/." in path
    return not hidden and not any(map(_ends_as_image, directories))


def _ends_as_image(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


class Claims:
    """The names that records claim: finds two that are one, or a file within another.

    Holds eight bytes a name, not the names.
    """

    def __init__(self) -> None:
        self._files = array("q")
        self._directories: set[int] = set()
        self._last = ""  # neighbours mostly lie in one directory

    def add(self, names: Iterable[str]) -> None:
        """Takes in the files of one record."""
        for name in names:
            self._files.append(hash(name))
            above = posixpath.dirname(name)
            if above != self._last:
                self._last = above
                while above:
                    self._directories.add(hash(above))
                    above = posixpath.dirname(above)

    def suspects(self) -> Callable[[str], bool] | None:
        """Tells of a name whether it may be claimed twice; None: none is.

        Hashes of different names are equal once in 2**64: whoever is told so looks at the names.
        """
        found = np.sort(np.frombuffer(self._files, np.int64)) if self._files else np.empty(0)
        twice = set(found[1:][found[1:] == found[:-1]].tolist())
        if self._directories:
            known = np.fromiter(self._directories, np.int64, len(self._directories))
            twice |= set(known[np.isin(known, found)].tolist())
        return (lambda name: hash(name) in twice) if twice else None

"""How a cached object lies in its file, as arithmetic.

One sparse file an object: its pages at the object's own offsets, then a byte a
page (0 missing, 1 present), then what the object is, which ends with a mark.
A file that was evicted, or never finished, has no mark.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import struct

__all__ = ["MARK", "OBJECT_NAME", "PAGE", "About", "Layout", "missing_runs", "read_about"]

PAGE = 4096  # bytes
MARK = b"tfsPage1"
_LENGTH = struct.Struct("<I")  # of the JSON before it
_ENDING = _LENGTH.size + len(MARK)
_ABOUT_MOST = 64 << 10  # bytes; names of objects have at most 1 KiB
_LARGEST = 1 << 50  # bytes of an object; Google Cloud Storage has none above 5 TiB

# Files of other names are not ours. Two parts: which object, and which generation of it.
OBJECT_NAME = re.compile(r"([0-9a-f]{32})-[0-9a-f]{16}\.pages")


@dataclasses.dataclass(frozen=True)
class About:
    """What a file holds pages of.

    Attributes:
        uri: Of the object.
        name: Of the object, in its dataset: what the URI ends with.
        generation: Which one.
        size: Of the object, in bytes.
    """

    uri: str
    name: str
    generation: str
    size: int

    @property
    def dataset(self) -> str:
        """The URI of what the object is in."""
        return self.uri.removesuffix(self.name).rstrip("/")

    @property
    def file_name(self) -> str:
        """The name of its file: hashes, so that no name of an object can lead elsewhere."""
        which = hashlib.sha256(self.uri.encode("utf-8", "surrogatepass"))
        state = hashlib.sha256(f"{self.generation}\0{self.size}".encode())
        return f"{which.hexdigest()[:32]}-{state.hexdigest()[:16]}.pages"


class Layout:
    """Where the parts of one object's file are.

    Attributes:
        size: Of the object, in bytes.
        pages: How many it has.
        map_begin: Offset of the byte of page 0.
        footer_begin: Offset of what the object is.
        footer: These bytes.
        mark_begin: Offset of the mark.
        end: The size of the file.
    """

    def __init__(self, about: About) -> None:
        told = json.dumps(dataclasses.asdict(about)).encode()
        self.size = about.size
        self.pages = -(-about.size // PAGE)
        self.map_begin = self.pages * PAGE
        self.footer_begin = self.map_begin + self.pages
        self.footer = told + _LENGTH.pack(len(told)) + MARK
        self.end = self.footer_begin + len(self.footer)
        self.mark_begin = self.end - len(MARK)


def missing_runs(present: bytes, first: int, size: int) -> list[tuple[int, int]]:
    """The byte ranges of pages that are missing.

    >>> missing_runs(bytes([1, 0, 0, 1, 0]), 10, 60_000)
    [(45056, 53248), (57344, 60000)]

    Args:
        present: A byte a page.
        first: The page of the first byte.
        size: Of the object; the last range ends there.
    """
    runs = []
    begin = present.find(0)
    while begin >= 0:
        end = present.find(1, begin)
        if end < 0:
            end = len(present)
        runs.append(((first + begin) * PAGE, min((first + end) * PAGE, size)))
        begin = present.find(0, end)
    return runs


def read_about(descriptor: int) -> About | None:
    """What an open file says that it is; None where it says nothing that makes sense."""
    end = os.fstat(descriptor).st_size
    if end < _ENDING:
        return None
    ending = os.pread(descriptor, _ENDING, end - _ENDING)
    (length,) = _LENGTH.unpack_from(ending)
    if ending[_LENGTH.size :] != MARK or length > min(_ABOUT_MOST, end - _ENDING):
        return None
    try:
        told = json.loads(os.pread(descriptor, length, end - _ENDING - length))
        about = About(**told)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (about.uri, about.name, about.generation)
    if not all(isinstance(text, str) for text in texts) or type(about.size) is not int:
        return None
    return about if 0 <= about.size <= _LARGEST and Layout(about).end == end else None

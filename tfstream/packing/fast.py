"""The fast road of packing: plain annotations and JPEG files, scanned and written in native code.

What it takes becomes the very bytes that the code in Python makes of it. It declines whatever is
out of the ordinary (anything wrong, an orientation, polygons, other formats), record by record,
and that goes through Python, which has the last word. Without the library all of it does.
"""

from __future__ import annotations

import ctypes
import functools
import json
import mmap
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfstream.annotations.reader import Entry
from tfstream.format.index import Row
from tfstream.format.label_map import LabelMap
from tfstream.native import packing as library

__all__ = ["FastRecord", "FastScan", "FastWriter", "library", "scan"]

_RECORDS_A_CALL = 256  # whose texts are in memory at once

# As native/packing/scan.cc and write.cc lay them out.
_SCANNED = ("taken", "entry_end", "digested_end", "bytes", "mtime_ns", "record_bytes", "objects")
_WRITTEN = (
    "length",
    "width",
    "height",
    "orientation",
    "bytes",
    "main",
    "objects_end",
    "key_end",
    "format_end",
    "metadata_end",
)


class _Found(ctypes.Structure):
    _fields_ = (
        ("messages", ctypes.c_void_p),
        ("digested", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("label_bytes", ctypes.c_int64),
        ("columns", ctypes.c_void_p),
        ("column_bytes", ctypes.c_int64),
    )


class _Rows(ctypes.Structure):
    _fields_ = (
        ("labels", ctypes.c_void_p),
        ("texts", ctypes.c_void_p),
        ("failed", ctypes.c_int64),
    )


class FastRecord(NamedTuple):
    """What the scan found of one entry.

    Attributes:
        annotation: The checked AnnotatedImage, serialised.
        digested: The same, without where its files are.
        bytes, mtime_ns: Of the image file.
        frame_bytes: Of the record in its shard, with label indices of one byte.
        objects: How many there are, each with a box.
    """

    annotation: bytes
    digested: bytes
    bytes: int
    mtime_ns: int
    frame_bytes: int
    objects: int


@dataclass(frozen=True)
class FastScan:
    """What the scan of some entries found.

    Attributes:
        records: By the entry's place; those that the fast road declined are missing.
        labels: That occur.
        kinds: Of the metadata that occur: by place, (name, type) of those that are new there.
    """

    records: Mapping[int, FastRecord]
    labels: frozenset[str]
    kinds: Mapping[int, Sequence[tuple[str, str]]]


_NOTHING = FastScan({}, frozenset(), {})


def scan(entries: Sequence[Entry], labels: LabelMap | None) -> FastScan:
    """Scans VOC annotations and their images.

    Args:
        entries: Of a reader whose annotations are VOC's.
        labels: The labels that there may be; None: any.
    """
    native = library()
    places = [
        place
        for place, entry in enumerate(entries)
        if entry.image_found and not (entry.problem or entry.sidecars or entry.annotation)
    ]
    if native is None or not places:
        return _NOTHING
    chosen = [entries[place] for place in places]
    fields = [
        text
        for each in chosen
        for text in (each.key, each.split, each.image_path, each.annotation_path)
    ]
    try:
        given = "".join(f"{text}\0" for text in fields).encode()
    except UnicodeEncodeError:  # a name that cannot be a key: Python tells of it
        return _NOTHING
    if given.count(b"\0") != len(fields):
        return _NOTHING
    table = np.empty((len(chosen), len(_SCANNED)), np.int64)
    found = _Found()
    native.TfstreamPackScan(given, len(chosen), table.ctypes.data, ctypes.byref(found))
    columns = dict(zip(_SCANNED, table.T.tolist(), strict=True))
    messages = _cut(found.messages, columns["entry_end"])
    digested = _cut(found.digested, columns["digested_end"])
    records = {
        places[i]: FastRecord(message, digest, *numbers)
        for i, (taken, message, digest, *numbers) in enumerate(
            zip(
                columns["taken"],
                messages,
                digested,
                *(columns[name] for name in _SCANNED[3:]),
                strict=True,
            )
        )
        if taken
    }
    names = frozenset(_split(found.labels, found.label_bytes))
    if labels is not None and not names <= labels.id.keys():
        return _NOTHING  # one that is not in the map: Python says which
    kinds: dict[int, list[tuple[str, str]]] = {}
    flat = _split(found.columns, found.column_bytes)
    for name, kind, number in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        kinds.setdefault(places[int(number)], []).append((name, kind))
    return FastScan(records, names, kinds)


class FastWriter:
    """Appends records to a shard as long as the fast road takes them."""

    def __init__(self, spool: mmap.mmap, labels: LabelMap) -> None:
        """Makes a writer.

        Args:
            spool: The spool file.
            labels: The label map.
        """
        self._native = library()
        self._spool = np.frombuffer(spool, np.uint8)
        self._names = labels.names
        self._background = -1 if labels.background is None else labels.background
        self._joined = "".join(f"{name}\0" for name in labels.names).encode()
        if self._joined.count(b"\0") != len(labels.names):
            self._native = None
        self._metadata: Callable[[str], dict[str, Any]] = functools.lru_cache(1 << 12)(json.loads)

    def close(self) -> None:
        """Lets go of the spool file."""
        self._spool = np.empty(0, np.uint8)

    def write(self, descriptor: int, begin: int, offsets: NDArray[np.int64]) -> list[Row]:
        """Writes the first of some records, as many as it takes.

        Args:
            descriptor: Of the shard.
            begin: Where the first record's frame will lie.
            offsets: [n], of the entries in the spool.

        Returns:
            The rows of those that were written: the record behind them is one for Python.

        Raises:
            OSError: The shard cannot be written.
        """
        if self._native is None:
            return []
        some = np.ascontiguousarray(offsets[:_RECORDS_A_CALL], np.int64)
        table = np.empty((len(some), len(_WRITTEN)), np.int64)
        found = _Rows()
        done = self._native.TfstreamPackWrite(
            descriptor,
            self._spool.ctypes.data,
            some.ctypes.data,
            len(some),
            self._joined,
            len(self._names),
            self._background,
            table.ctypes.data,
            ctypes.byref(found),
        )
        if found.failed:
            raise OSError(found.failed, os.strerror(found.failed))
        return list(self._rows(table[:done], found, begin))

    def _rows(self, table: NDArray[np.int64], found: _Rows, begin: int) -> Iterator[Row]:
        if not len(table):
            return
        columns = dict(zip(_WRITTEN, table.T.tolist(), strict=True))
        indices = np.frombuffer(
            ctypes.string_at(found.labels, 8 * columns["objects_end"][-1]), np.int64
        ).tolist()
        ends = table[:, -3:].ravel().tolist()
        texts = [each.decode() for each in _cut(found.texts, ends)]
        names = self._names
        first = 0
        for place, length in enumerate(columns["length"]):
            last = columns["objects_end"][place]
            main = columns["main"][place]
            metadata = texts[3 * place + 2]
            yield Row(
                key=texts[3 * place],
                offset=begin,
                length=length,
                width=columns["width"][place],
                height=columns["height"][place],
                format=texts[3 * place + 1],
                orientation=columns["orientation"][place],
                bytes=columns["bytes"][place],
                label=None if main < 0 else names[main],
                objects=last - first,
                labels=_counted([names[index] for index in indices[first:last]]),
                metadata=self._metadata(metadata) if metadata else {},
            )
            begin += length
            first = last


def _counted(names: Sequence[str]) -> dict[str, int]:
    """How often each name occurs, by name."""
    if len(names) == 1:
        return {names[0]: 1}
    return dict(sorted(Counter(names).items()))


def _cut(address: int | None, ends: Sequence[int]) -> list[bytes]:
    """What lies one behind the other in memory, each up to its end."""
    if not address or not ends:
        return [b""] * len(ends)
    whole = ctypes.string_at(address, ends[-1])
    return [whole[begin:end] for begin, end in pairwise((0, *ends))]


def _split(address: int | None, size: int) -> list[str]:
    """Texts, each with a NUL behind it."""
    return ctypes.string_at(address, size).decode().split("\0")[:-1] if address and size else []

"""Records as they are stored, encoded image and annotation, for whoever makes files of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.fetch.counters import Counters
from tfstream.fetch.fetcher import fetcher
from tfstream.format import example, index, record
from tfstream.format.lookup import key_at
from tfstream.format.table import RecordTable

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.foreign import ForeignRecords
    from tfstream.opened import OpenedVersion
    from tfstream.query.engine import Engine
    from tfstream.selection import Selection
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

    Integers = npt.NDArray[np.int64]

__all__ = ["StoredRecords"]

_RECORDS_AT_ONCE = 1024
_ROWS_AT_ONCE = 1 << 18
_BYTES_AT_ONCE = 16 << 20


class StoredRecords:
    """The records of a selection by their places; of data points, all members one after the other.

    Safe to use from many threads.

    Args:
        version: Whose they are.
        splits: Whose records are numbered.
        selection: Which of them; None: all.
    """

    def __init__(
        self, version: OpenedVersion, splits: tuple[str, ...], selection: Selection | None
    ) -> None:
        self._version = version
        self._splits = splits
        self._selection = selection
        self._members = 1 if selection is None else selection.members
        self._source = version.source(splits)
        elements = None if selection is None else selection.elements
        # Where a member is missing there is no place.
        self._there = None if elements is None or elements.ndim == 1 else elements >= 0

    @property
    def engine(self) -> Engine:
        """Answers queries over the records of the splits, selected or not."""
        return self._version.engine(self._splits)

    @functools.cached_property
    def numbers(self) -> Integers | None:
        """The number of each place's record in storage order; None: the place itself.

        In the place of a missing member stands the first one of its data point.
        """
        if self._selection is None:
            return None
        elements = self._selection.elements
        if elements.ndim > 1:
            elements = np.where(elements < 0, elements[:, :1], elements)
        return elements.reshape(-1)

    @functools.cached_property
    def table(self) -> RecordTable:
        """Where the records lie, of a dataset on local disk; missing members as in `numbers`."""
        table = RecordTable.load(
            self._version.local,
            self._version.shards(self._splits),
            self.numbers,
            None if self._selection is None else self._selection.located,
        )
        return dataclasses.replace(table, foreign=self.foreign)

    @functools.cached_property
    def _parts(self) -> list[str | None] | None:
        """Of each element, the split that a query made; None: they are the stored ones."""
        if self._selection is None or self._selection.parts is None:
            return None
        parts: list[str | None] = [None] * len(self)
        for name, places in self._selection.parts.items():
            for place in places.tolist():
                parts[place] = name
        return parts

    def __len__(self) -> int:
        """How many elements there are."""
        if self._selection is None:
            return self._version.records(self._splits)
        return len(self._selection)

    @property
    def places(self) -> Integers:
        """int64 [records]: the places of all records."""
        if self._there is not None:
            return np.flatnonzero(self._there.reshape(-1))
        return np.arange(len(self), dtype=np.int64)

    @property
    def columns(self) -> list[str]:
        """The names of what `rows` says, `split` among them."""
        own = [name for name in index.COLUMNS if name not in ("offset", "length", "orientation")]
        return [*own, "split", *sorted(self._version.manifest.schema.metadata)]

    def members(self, element: int) -> Integers:
        """int64 [members]: the places of an element's records."""
        if self._there is None:
            return np.array([element], np.int64)
        return element * self._members + np.flatnonzero(self._there[element])

    def shards(self, places: Integers) -> list[str]:
        """The paths of the records' shards, below the dataset's directory.

        Args:
            places: int64 [n].
        """
        shards = self._version.shards(self._splits)
        ends = np.cumsum([shard.records for shard in shards])
        at = np.searchsorted(ends, self._numbers(places), side="right")
        return [shards[number].path for number in at.tolist()]

    @property
    def mean_bytes(self) -> float:
        """Of an element's records, about."""
        return self._version.mean_bytes(self._splits) * self._members

    def rows(self, places: Integers) -> list[dict[str, Any]]:
        """What the indexes say of records: a dict by column, with `labels` a dict of counts.

        Args:
            places: int64 [n].
        """
        table = self.engine.table(self._numbers(places), None)
        rows: list[dict[str, Any]] = table.to_pylist()
        for place, row in zip(places.tolist(), rows, strict=True):
            row["labels"] = dict(row["labels"])
            if self._parts is not None:
                row["split"] = self._parts[place // self._members]
        return rows

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of what the indexes say of every record, in parts, as Arrow tables."""
        places = self.places
        for begin in range(0, len(places), _ROWS_AT_ONCE):
            some = places[begin : begin + _ROWS_AT_ONCE]
            yield self.engine.table(self._numbers(some), columns)

    def place_of(self, place: int) -> str:
        """Where a record lies, for messages."""
        if self._source is not None:
            return str(self._version.directory)
        path = self.table.files[self.table.shards[place]]
        return f"{path} at byte {int(self.table.offsets[place])}"

    def metadata(self, place: int, image: AnnotatedImage) -> dict[str, Any]:
        """The metadata of a record: its own, or those that its index has since it was relabelled.

        Args:
            place: Of the record.
            image: What it says itself.
        """
        (number,) = self._numbers(np.array([place], np.int64)).tolist()
        if not self._version.relabelled(self._splits, number):
            kinds = self._version.manifest.schema.metadata
            return {
                # It may be a whole number in a column that has others, too.
                name: float(value) if value is not None and kinds.get(name) == "float" else value
                for name, value in sorted(example.metadata(image).items())
            }
        columns = sorted(self._version.manifest.schema.metadata)
        (values,) = self.engine.table(np.array([number]), columns).to_pylist()
        return {name: value for name, value in values.items() if value is not None}

    def images(self, places: Integers) -> list[AnnotatedImage]:
        """Reads records, checked; their metadata is what they were packed with.

        Args:
            places: int64 [n].

        Raises:
            CorruptRecordError: A record does not match its checksums.
            StorageError: It cannot be read.
        """
        source = self._source
        if source is None or not len(places):
            payloads: Iterable[bytes | None] = (self._read(int(place)) for place in places)
        else:
            payloads = fetcher().read(source, self._numbers(places), Counters())
        return [
            example.decode(self._ours(int(place), payload))
            for place, payload in zip(places, payloads, strict=True)
            if payload is not None
        ]

    @functools.cached_property
    def foreign(self) -> ForeignRecords | None:
        """How the records become ours; None: they are."""
        return self._version.foreign(self._splits, self.numbers)

    def _ours(self, place: int, payload: bytes) -> bytes:
        """The record, as tfstream would have written it."""
        if self.foreign is None:
            return payload
        return self.foreign.translate(place, payload, self.place_of(place))

    def all_rows(self) -> Iterator[dict[str, Any]]:
        """What the indexes say of every record."""
        places = self.places
        for begin in range(0, len(places), _RECORDS_AT_ONCE):
            yield from self.rows(places[begin : begin + _RECORDS_AT_ONCE])

    def all(self) -> Iterator[tuple[dict[str, Any], AnnotatedImage]]:
        """Every record, with what its index says of it; some are read at once."""
        places = self.places
        for begin in range(0, len(places), _RECORDS_AT_ONCE):
            some = places[begin : begin + _RECORDS_AT_ONCE]
            rows = self.rows(some)
            sizes = np.cumsum([row["bytes"] for row in rows])
            first = 0
            while first < len(some):
                before = int(sizes[first - 1]) if first else 0
                end = int(np.searchsorted(sizes, before + _BYTES_AT_ONCE, side="right"))
                end = max(end, first + 1)
                yield from zip(rows[first:end], self.images(some[first:end]), strict=True)
                first = end

    def _numbers(self, places: Integers) -> Integers:
        return places if self.numbers is None else self.numbers[places]

    def _read(self, place: int) -> bytes:
        table = self.table
        path = table.files[table.shards[place]]
        offset, length = int(table.offsets[place]), int(table.lengths[place])
        try:
            return record.read_record(path, offset, length)
        except CorruptRecordError:  # once more, to name the record by its key as well
            return record.read_record(path, offset, length, key=key_at(path, offset) or "")

"""Some records of a remote dataset, wanted at once: found in the cache or fetched, then placed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.fetch.objects import RemoteObject, Want, bring
from tfstream.fetch.ranges import GAP, Range, coalesce
from tfstream.fetch.source import RemoteSource, assemble

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.counters import Counters
    from tfstream.fetch.turns import Turn

__all__ = ["PLACE", "Window"]

# Where the bytes of a record are, as native/fetch_records.cc has it.
PLACE = np.dtype(
    [
        ("number", np.int64),  # in the output
        ("offset", np.int64),  # of the object, in bytes
        ("length", np.int64),  # of the frame, in bytes
        ("address", np.int64),  # in memory; 0: in the file
        ("fd", np.int64),  # of the cached file
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """The records of one shard: their places, the cached file, what to bring."""

    target: RemoteObject
    descriptor: int
    places: npt.NDArray[Any]
    want: Want


class Window:
    """Records that are wanted together; a context in which their cached bytes stay.

    Args:
        source: The dataset.
        numbers: int64 [n], of its records.
        counters: Of the stream that wants them.
        turn: When it may ask for their bytes; None: at once.
    """

    def __init__(
        self,
        source: RemoteSource,
        numbers: npt.NDArray[np.int64],
        counters: Counters,
        turn: Turn | None = None,
    ) -> None:
        self.source = source
        self._turn = turn
        self._numbers = numbers
        self._counters = counters
        self._stack = contextlib.ExitStack()
        self._parts: list[_Part] = []
        self._again: list[_Part] = []
        self._kept: list[memoryview] = []

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of its turn, the cached files and the pieces in memory."""
        if self._turn:
            self._turn.over()
        self._parts.clear()
        self._again.clear()
        self._kept.clear()
        self._stack.close()

    def look(self) -> bool:
        """Whether every record is cached, told without waiting for anything."""
        shards = self.source.places.shards_of(self._numbers)
        targets = {}
        for shard in np.unique(shards).tolist():
            target = self.source.shard(shard)
            if target is None:
                return False
            targets[shard] = target
        hits = 0
        complete = True
        for shard, target in targets.items():
            part, cached = self._part(shard, target, np.flatnonzero(shards == shard))
            self._parts.append(part)
            hits += cached
            complete = complete and cached == len(part.places)
        self._counters.add(cache_hits=hits, cache_misses=len(self._numbers) - hits)
        return complete

    def fetch(self) -> None:
        """Brings what is not cached; waits for it.

        Raises:
            TfstreamError: Something cannot be had.
        """
        if not self._parts:
            self.source.prepare(self.source.places.shards_of(self._numbers), self._counters)
            if self.look():
                return
        if self._turn:
            self._turn.wait()
        bring([part.want for part in self._parts], self._counters, self._turn)

    def places(self) -> npt.NDArray[Any]:
        """Where each record's bytes are now: PLACE [n]; they stay until `close`."""
        for part in self._parts:
            self._point(part)
        return np.concatenate([part.places for part in self._parts])

    def again(self, rows: Sequence[int]) -> npt.NDArray[Any]:
        """Fetches records anew, whether cached or not: they were found bad, or cannot be read.

        Args:
            rows: Of what `places` returned.

        Returns:
            PLACE [rows]: where their bytes are now.
        """
        bad = set(rows)
        begin = 0
        parts = []
        for part in self._parts:
            chosen = [row for row in range(len(part.places)) if begin + row in bad]
            begin += len(part.places)
            if not chosen:
                continue
            fresh = part.places[chosen]
            fresh["address"] = 0
            ends = fresh["offset"] + fresh["length"]
            ranges = coalesce(zip(fresh["offset"].tolist(), ends.tolist(), strict=True), gap=0)
            part.target.forget(ranges)
            parts.append(_Part(part.target, part.descriptor, fresh, Want(part.target, ranges)))
        bring([part.want for part in parts], self._counters)
        for part in parts:
            self._point(part)
        self._again = [*parts, *self._again]
        return np.concatenate([part.places for part in parts])

    def bytes_of(self, place: Any) -> memoryview:
        """The frame of a record that is placed."""
        begin, end = int(place["offset"]), int(place["offset"] + place["length"])
        for part in [*self._again, *self._parts]:
            if int(place["number"]) in part.places["number"]:
                return assemble(part.want, begin, end, part.descriptor)
        raise KeyError(place)

    def describe(self, place: Any) -> tuple[str, str, int]:
        """The shard of a place, its index, and the record's offset in bytes: for messages."""
        number = self._numbers[int(place["number"])]
        places = self.source.places
        shard = places.shards[int(places.shards_of(np.array([number]))[0])]
        path = self.source.files.directory.locate(shard.path)
        return path, shard.index_path, int(place["offset"])

    def _part(
        self, shard: int, target: RemoteObject, rows: npt.NDArray[np.intp]
    ) -> tuple[_Part, int]:
        """The records of a shard, and how many of them are cached."""
        places = np.zeros(len(rows), PLACE)
        places["number"] = rows
        places["offset"], places["length"] = self.source.places.lookup(shard, self._numbers[rows])
        places["fd"] = descriptor = self._stack.enter_context(target.use())
        begins, ends = places["offset"], places["offset"] + places["length"]
        ranges = coalesce(zip(begins.tolist(), ends.tolist(), strict=True), gap=0)
        absent = [each for each in ranges if target.missing(*each)]
        cached = int((_holders(absent, begins, ends) < 0).sum())
        return _Part(target, descriptor, places, Want(target, coalesce(absent, gap=GAP))), cached

    def _point(self, part: _Part) -> None:
        """Gives the records that were fetched their addresses."""
        pieces = sorted(part.want.pieces, key=lambda each: each.begin)
        if not pieces:
            return
        begins = part.places["offset"]
        ends = begins + part.places["length"]
        # Most records are in one piece: no step of Python's for each of them.
        whole = _holders([(each.begin, each.end) for each in pieces], begins, ends)
        starts = np.array([each.begin for each in pieces], np.int64)
        addresses = np.array([_address(each.data) for each in pieces], np.int64)
        part.places["address"] = np.where(whole < 0, 0, addresses[whole] + begins - starts[whole])
        fetched = _holders(part.want.ranges, begins, ends) >= 0
        for row in np.flatnonzero((whole < 0) & fetched).tolist():
            data = assemble(part.want, int(begins[row]), int(ends[row]), part.descriptor)
            self._kept.append(data)
            part.places["address"][row] = _address(data)


def _holders(
    ranges: Sequence[Range], begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Which range each record is wholly in: int64 [n]; -1: in none.

    Args:
        ranges: Sorted by their beginnings; where they overlap, the last is looked at that begins
            early enough.
        begins: int64 [n], the first byte of each record.
        ends: int64 [n], the byte after its last.
    """
    if not ranges:
        return np.full(len(begins), -1, np.int64)
    firsts, lasts = np.array(ranges, np.int64).T
    found = np.searchsorted(firsts, begins, side="right") - 1
    return np.where((found >= 0) & (ends <= lasts[found]), found, -1)


def _address(data: memoryview) -> int:
    """Where bytes are in memory."""
    return np.frombuffer(data, np.uint8).ctypes.data

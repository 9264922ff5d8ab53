"""Records by number, one after the other, read ahead where they are remote; without TensorFlow."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.fetch.ahead import WINDOWS_AHEAD, first_windows, window_records
from tfstream.fetch.counters import Counters
from tfstream.fetch.fetcher import fetcher
from tfstream.fetch.turns import Turn, Turns
from tfstream.format import record
from tfstream.format.lookup import key_at

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.source import Spec
    from tfstream.format.table import RecordTable

    Integers = npt.NDArray[np.int64]

__all__ = ["LocalRecords", "RemoteRecords"]

_OPEN_SHARDS = 64  # further ones are opened for each record


@dataclasses.dataclass(frozen=True, eq=False)
class LocalRecords:
    """Selected records of a dataset on local disk.

    Attributes:
        table: Where they lie.
    """

    table: RecordTable

    def place_of(self, number: int) -> str:
        """Where a record lies, for messages."""
        path = self.table.files[self.table.shards[number]]
        return f"{path} at byte {int(self.table.offsets[number])}"

    def read(
        self, numbers: Iterator[int], *, skip_corrupt: bool, share: int = 1
    ) -> Iterator[bytes | None]:
        """Reads records, checked.

        Args:
            numbers: Which, among the selected ones.
            skip_corrupt: Give None for a corrupt record, with a warning, instead of failing.
            share: How many processes share in the dataset.

        Yields:
            Their payloads.

        Raises:
            CorruptRecordError: A record does not match its checksums; names its place and key.
            StorageError: It cannot be read.
        """
        table = self.table
        with contextlib.ExitStack() as opened:
            shards: dict[int, record.OpenShard] = {}
            for number in numbers:
                at = int(table.shards[number])
                path = table.files[at]
                offset, length = int(table.offsets[number]), int(table.lengths[number])
                try:
                    shard = shards.get(at)
                    if shard is not None:
                        yield shard.read(offset, length)
                    elif len(shards) < _OPEN_SHARDS:
                        shards[at] = opened.enter_context(record.OpenShard(path))
                        yield shards[at].read(offset, length)
                    else:
                        yield record.read_record(path, offset, length)
                except CorruptRecordError as error:
                    if not skip_corrupt:  # once more, to name the record by its key as well
                        key = key_at(path, offset) or ""
                        yield record.read_record(path, offset, length, key=key)
                    else:
                        warnings.warn(f"skipped a record: {error}", RuntimeWarning, stacklevel=2)
                        yield None


@dataclasses.dataclass(frozen=True, eq=False)
class RemoteRecords:
    """Selected records of a dataset that is not on local disk.

    Attributes:
        spec: The dataset.
        rows: int64 [selected], which of its records; None: all.
        mean_bytes: Of a record.
        read_ahead: Bytes that are fetched before they are asked for, over all workers.
    """

    spec: Spec
    rows: Integers | None
    mean_bytes: float
    read_ahead: int

    def place_of(self, number: int) -> str:
        """Where a record lies, for messages."""
        return self.spec.uri

    def read(
        self, numbers: Iterator[int], *, skip_corrupt: bool, share: int = 1
    ) -> Iterator[bytes | None]:
        """See `LocalRecords.read`."""
        window = window_records(self.mean_bytes, self.read_ahead // share)
        growing = np.diff(first_windows(window)).tolist()

        def windows() -> Iterator[Integers]:
            for size in itertools.chain(growing, itertools.repeat(window)):
                wanted = np.fromiter(itertools.islice(numbers, size), np.int64)
                if not len(wanted):
                    return
                yield wanted if self.rows is None else self.rows[wanted]

        counters = Counters()
        source = fetcher().source(self.spec)
        turns, places = Turns(), itertools.count()

        def fetch(wanted: Integers, turn: Turn) -> list[bytes | None]:
            return fetcher().read(source, wanted, counters, turn=turn, skip_corrupt=skip_corrupt)

        def begin(wanted: Integers) -> Future[list[bytes | None]]:
            place = next(places)
            return pool.submit(fetch, wanted, turns.take(None, 0, place, place + 1))

        under_way: collections.deque[Future[list[bytes | None]]] = collections.deque()
        asked = windows()
        pool = ThreadPoolExecutor(WINDOWS_AHEAD, "tfstream-window")
        try:
            under_way.extend(map(begin, itertools.islice(asked, WINDOWS_AHEAD)))
            while under_way:
                payloads = under_way.popleft().result()
                under_way.extend(map(begin, itertools.islice(asked, 1)))
                yield from payloads
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

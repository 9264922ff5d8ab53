"""Bytes, requests and cache hits of each host and epoch: counted, or estimated from some shards."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfstream.cache.layout import PAGE
from tfstream.fetch.ahead import WINDOWS_AHEAD
from tfstream.fetch.ranges import GAP, LARGEST_REQUEST, Range, coalesce, cut
from tfstream.simulate.cached import Flight, HostCache
from tfstream.simulate.layout import Layout
from tfstream.simulate.plan import Plan

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

__all__ = ["NAMES", "Counts", "Load", "Sample", "Traffic", "choose", "count", "loads"]

NAMES = (
    "bytes",  # of records and indexes, with the gaps and the rest of pages that come with them
    "requests",  # for ranges
    "lookups",  # requests for what the storage says of an object
    "index_bytes",  # of the bytes, those of indexes
    "index_requests",  # of the requests, those for indexes
    "hits",  # records that were in the cache when they were wanted
    "records",
)

_HOSTS = 4  # looked at, where there are too many records to look at all
_RECORDS = 2_000_000  # looked at in an epoch, without a cache
_CACHED_RECORDS = 150_000  # and with one, where each is a step of its own
_CACHED_STEPS = 450_000  # in all epochs
_PLACED_RECORDS = 8_000_000  # whose hosts are found out
_PAGES = 1 << 30  # of simulated caches: a byte each


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What of it all is looked at.

    Attributes:
        hosts: Numbers of hosts.
        shards: int64 [n], ascending; None: all.
        fraction: What part of the records lies in these shards.
    """

    hosts: tuple[int, ...]
    shards: Integers | None
    fraction: float


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """What the hosts of a sample do in an epoch; estimated for all shards.

    Attributes:
        sums: By name, one of `NAMES`: float64 [hosts of the sample].
    """

    sums: dict[str, npt.NDArray[np.float64]]

    def mean(self, name: str) -> float:
        """Of a host."""
        return float(self.sums[name].mean())


@dataclasses.dataclass(frozen=True, eq=False)
class Traffic:
    """What was counted.

    Attributes:
        sample: What was looked at.
        epochs: Of each epoch, from the first on.
        error: The standard error of the bytes, as a part of them; 0: nothing is estimated.
    """

    sample: Sample
    epochs: list[Counts]
    error: float


@dataclasses.dataclass(frozen=True)
class Load:
    """What one window fetches.

    Attributes:
        samples: In it.
        indexes: Bytes of each index that is read first.
        requests: Bytes of each request for records.
    """

    samples: int
    indexes: tuple[int, ...]
    requests: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Wanted:
    """Records that the hosts of a sample want in an epoch, in the order of their fetching."""

    host: Integers  # of the sample
    worker: Integers
    window: Integers
    shard: Integers
    offset: Integers
    length: Integers

    def starts(self, *names: str) -> Integers:
        """Where one of these differs from that of the record before."""
        differs = np.zeros(len(self.host), bool)
        differs[:1] = True
        for name in names:
            values = getattr(self, name)
            differs[1:] |= values[1:] != values[:-1]
        return np.flatnonzero(differs)


def choose(
    plan: Plan, layout: Layout, chosen: Sequence[int] | None = None, *, seed: int = 0
) -> Sample:
    """Decides what to look at: everything where that is not too much; else some hosts, some shards.

    Args:
        plan: What is simulated.
        layout: Where its records lie.
        chosen: Hosts, ascending; None: all, or a few.
        seed: Of the choice.
    """
    most = min(_CACHED_RECORDS, _CACHED_STEPS // plan.epochs) if plan.cached else _RECORDS
    hosts = range(plan.hosts) if chosen is None else chosen
    pages = float(layout.shards.sizes.sum()) / PAGE * plan.cached
    if chosen is None and (layout.records > most or pages * len(hosts) > _PAGES):
        hosts = range(0, plan.hosts, -(-plan.hosts // _HOSTS))
    part = len(hosts) / plan.hosts
    if layout.records * part <= most and pages * len(hosts) <= _PAGES:
        return Sample(tuple(hosts), None, 1.0)
    wanted = min(most / part, _PLACED_RECORDS) / layout.records
    if pages:
        wanted = min(wanted, _PAGES / (pages * len(hosts)))
    total = len(layout.shards)
    number = max(1, min(total, round(wanted * total)))
    # One of each of so many equal runs of shards: every split and every part of them has its share.
    runs = np.linspace(0, total, number + 1)[:-1]
    step = total / number
    shards = np.unique((runs + np.random.default_rng(seed).random(number) * step).astype(np.int64))
    inside = len(layout.within(shards))
    if inside == 0:  # a selection that leaves these out
        return Sample(tuple(hosts), None, 1.0)
    return Sample(tuple(hosts), shards, inside / layout.records)


def count(plan: Plan, layout: Layout, sample: Sample, window_seconds: float) -> Traffic:
    """Counts what the hosts of a sample fetch.

    Args:
        plan: What is simulated.
        layout: Where its records lie.
        sample: What of it.
        window_seconds: From one window of a worker to the next, about.
    """
    counter = _Cached(plan, layout, sample, window_seconds) if plan.cached else None
    seen = np.empty(0, np.int64)
    of_shards = np.zeros(len(layout.shards))
    epochs = []
    for epoch in range(plan.epochs):
        wanted = _wanted(plan, layout, sample, epoch)
        sums = {name: np.zeros(len(sample.hosts)) for name in NAMES}
        sums["records"] += np.bincount(wanted.host, minlength=len(sample.hosts))
        pairs = np.unique(wanted.worker * len(layout.shards) + wanted.shard)
        new = np.setdiff1d(pairs, seen, assume_unique=True)
        seen = np.union1d(seen, new)
        if counter is None:
            _count_uncached(wanted, sums, of_shards)
            _count_indexes(plan, layout, sample, new, sums)
        else:
            counter.count(wanted, sums, of_shards)
        owners = _owners(plan, sample, new // len(layout.shards))
        sums["lookups"] += 2.0 * np.bincount(owners, minlength=len(sample.hosts))
        epochs.append(Counts({name: each / sample.fraction for name, each in sums.items()}))
    return Traffic(sample, epochs, _error(sample, of_shards))


def loads(plan: Plan, layout: Layout, worker: int, most: int, *, epoch: int = 0) -> list[Load]:
    """What a worker's first windows fetch, where nothing is cached and no index known.

    Args:
        plan: What is simulated.
        layout: Where its records lie.
        worker: Which one.
        most: Windows, at most.
        epoch: Which one.
    """
    known: set[int] = set()
    found = []
    count = min(plan.share(worker).samples, (most + 1) * plan.window)
    samples = np.arange(count, dtype=np.int64)
    windows = plan.window_of(samples)
    for number in range(min(most, int(windows[-1]) + 1)):
        begin, end = np.searchsorted(windows, [number, number + 1]).tolist()
        places = plan.order.records_at(plan.positions(worker, begin, end), epoch)
        shards, offsets, lengths = layout.locate(places)
        requests: list[int] = []
        indexes = []
        for shard in np.unique(shards).tolist():
            rows = shards == shard
            begins, ends = offsets[rows], offsets[rows] + lengths[rows]
            ranges = coalesce(zip(begins.tolist(), ends.tolist(), strict=True), gap=GAP)
            if plan.cached:
                size = int(layout.shards.sizes[shard])
                ranges = coalesce((_paged(each, size) for each in ranges), gap=0)
            requests += [end - begin for begin, end in cut(ranges, largest=LARGEST_REQUEST)]
            if shard not in known:
                known.add(shard)
                indexes.append(int(layout.shards.indexes[shard]))
        found.append(Load(end - begin, tuple(indexes), tuple(requests)))
    return found


def _paged(each: Range, size: int) -> Range:
    return each[0] // PAGE * PAGE, min(-(-each[1] // PAGE) * PAGE, size)


def _owners(plan: Plan, sample: Sample, workers: Integers) -> Integers:
    """Which of the sample's hosts each worker is on."""
    return np.searchsorted(sample.hosts, workers // plan.workers_per_host)


def _wanted(plan: Plan, layout: Layout, sample: Sample, epoch: int) -> _Wanted:
    """The records that the sample's hosts want, sorted."""
    if sample.shards is None:
        positions = np.concatenate(
            [
                plan.positions(worker, 0, plan.share(worker).samples)
                for host in sample.hosts
                for worker in plan.workers(host)
            ]
        )
        places = plan.order.records_at(positions, epoch)
    else:
        places = layout.within(sample.shards)
        positions = plan.order.positions_of(places, epoch)
        mine = np.isin(positions % plan.world // plan.workers_per_host, sample.hosts)
        places, positions = places[mine], positions[mine]
    worker = positions % plan.world
    host = _owners(plan, sample, worker)
    window = plan.window_of(positions // plan.world)
    shard, offset, length = layout.locate(places)
    order = np.lexsort((offset, shard, worker, window, host))
    columns = (host, worker, window, shard, offset, length)
    return _Wanted(*(column[order] for column in columns))


def _count_uncached(
    wanted: _Wanted,
    sums: dict[str, npt.NDArray[np.float64]],
    of_shards: npt.NDArray[np.float64],
) -> None:
    """Adds up the requests for records where nothing is kept."""
    ends = wanted.offset + wanted.length
    apart = np.zeros(len(ends), bool)
    apart[wanted.starts("host", "worker", "window", "shard")] = True
    apart[1:] |= wanted.offset[1:] > ends[:-1] + GAP
    first = np.flatnonzero(apart)
    sizes = ends[np.append(first[1:], len(ends)) - 1] - wanted.offset[first]
    hosts = len(sums["bytes"])
    sums["bytes"] += np.bincount(wanted.host[first], sizes, minlength=hosts)
    requests = -(-sizes // LARGEST_REQUEST)
    sums["requests"] += np.bincount(wanted.host[first], requests, minlength=hosts)
    of_shards += np.bincount(wanted.shard[first], sizes, minlength=len(of_shards))


def _count_indexes(
    plan: Plan,
    layout: Layout,
    sample: Sample,
    pairs: Integers,
    sums: dict[str, npt.NDArray[np.float64]],
) -> None:
    """Adds up the indexes that workers read, each its own; a pair is a worker and a shard."""
    sizes = layout.shards.indexes[pairs % len(layout.shards)]
    host = _owners(plan, sample, pairs // len(layout.shards))
    hosts = len(sample.hosts)
    amounts = {"bytes": sizes, "requests": -(-sizes // LARGEST_REQUEST)}
    for name, each in amounts.items():
        summed = np.bincount(host, each, minlength=hosts)
        sums[name] += summed
        sums[f"index_{name}"] += summed


def _error(sample: Sample, of_shards: npt.NDArray[np.float64]) -> float:
    """The standard error of the sum over all shards, as a part of it."""
    if sample.shards is None:
        return 0.0
    each = of_shards[sample.shards]
    if len(each) < 2 or not each.any():
        return 1.0
    left_out = 1 - len(each) / len(of_shards)
    return float(each.std(ddof=1) / each.mean() * np.sqrt(left_out / len(each)))


class _Cached:
    """The caches of the sample's hosts, epoch after epoch."""

    def __init__(self, plan: Plan, layout: Layout, sample: Sample, window_seconds: float) -> None:
        limit = None if plan.cache_limit is None else plan.cache_limit * sample.fraction
        self._layout = layout
        self._caches = [HostCache(limit) for _ in sample.hosts]
        self._known: set[tuple[int, int]] = set()  # workers and shards whose index they have
        self._flying: list[deque[tuple[int, list[Flight], int]]] = [deque() for _ in sample.hosts]
        self._in_use: list[Counter[int]] = [Counter() for _ in sample.hosts]
        self._window_seconds = window_seconds
        self._windows = 0  # of the epochs before this

    def count(
        self,
        wanted: _Wanted,
        sums: dict[str, npt.NDArray[np.float64]],
        of_shards: npt.NDArray[np.float64],
    ) -> None:
        """Goes through an epoch, window by window."""
        begins = wanted.starts("host", "window", "worker", "shard").tolist()
        offsets, ends = wanted.offset.tolist(), (wanted.offset + wanted.length).tolist()
        columns = (wanted.host, wanted.worker, wanted.window, wanted.shard)
        heads = zip(*(column[begins].tolist() for column in columns), strict=True)
        bounds = zip(begins, [*begins[1:], len(offsets)], strict=True)
        for (host, worker, window, shard), (begin, end) in zip(heads, bounds, strict=True):
            now = (self._windows + window) * self._window_seconds
            self._land(host, window - WINDOWS_AHEAD, now)
            if (worker, shard) not in self._known:
                self._known.add((worker, shard))
                self._read_index(host, shard, sums, now)
            ranges = list(zip(offsets[begin:end], ends[begin:end], strict=True))
            hits, flights = self._look(host, shard, ranges, now)
            sums["hits"][host] += hits
            fetched = _add(sums, host, flights)
            of_shards[shard] += fetched
            self._flying[host].append((window, flights, shard))
            self._in_use[host][shard] += 1
        last = int(wanted.window.max(initial=0)) + 1
        self._windows += last
        for host in range(len(self._caches)):
            self._land(host, last, self._windows * self._window_seconds)

    def _look(
        self, host: int, shard: int, ranges: list[Range], now: float
    ) -> tuple[int, list[Flight]]:
        """The records of a window that are in one shard: how many are there, what is fetched."""
        cache = self._caches[host]
        cache.begin_use(shard, int(self._layout.shards.sizes[shard]), now)
        absent = [each for each in coalesce(ranges, gap=0) if not cache.stored(shard, *each)]
        if not absent:
            return len(ranges), []
        missed = sum(
            any(first <= begin and end <= last for first, last in absent) for begin, end in ranges
        )
        return len(ranges) - missed, cache.fetch(shard, coalesce(absent, gap=GAP))

    def _read_index(
        self, host: int, shard: int, sums: dict[str, npt.NDArray[np.float64]], now: float
    ) -> None:
        cache, size = self._caches[host], int(self._layout.shards.indexes[shard])
        cache.begin_use(~shard, size, now)
        flights = cache.fetch(~shard, [(0, size)])
        fetched = _add(sums, host, flights)
        sums["index_bytes"][host] += fetched
        sums["index_requests"][host] += len(flights)
        self._in_use[host][~shard] += 1
        for flight in flights:
            cache.land(flight, self._in_use[host], now)
        del self._in_use[host][~shard]

    def _land(self, host: int, window: int, now: float) -> None:
        """Ends the windows up to this one."""
        flying, in_use = self._flying[host], self._in_use[host]
        while flying and flying[0][0] <= window:
            _, flights, shard = flying.popleft()
            for flight in flights:
                self._caches[host].land(flight, in_use, now)
            in_use[shard] -= 1
            if not in_use[shard]:
                del in_use[shard]


def _add(sums: dict[str, npt.NDArray[np.float64]], host: int, flights: list[Flight]) -> int:
    """Counts requests; their bytes."""
    fetched = sum(flight.end - flight.begin for flight in flights)
    sums["bytes"][host] += fetched
    sums["requests"][host] += len(flights)
    return fetched

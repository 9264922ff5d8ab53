"""A plan and where its records lie -> what its hosts will see, epoch by epoch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from tfstream.fetch.ahead import WINDOWS_AHEAD, first_windows
from tfstream.simulate.clock import Times, play
from tfstream.simulate.layout import Layout
from tfstream.simulate.plan import Plan
from tfstream.simulate.shuffle import Shuffle, shuffle_of
from tfstream.simulate.traffic import Counts, Load, choose, count, loads

__all__ = ["Epoch", "Report", "Spread", "simulate"]

# Before the first record: the list of versions, the manifest, and what the storage says of it.
_OPENING_ROUND_TRIPS = 3
_REQUESTS = 60_000  # that are played, of one host
_FEWEST_WINDOWS, _MOST_WINDOWS = 24, 128  # of them, of each worker


@dataclasses.dataclass(frozen=True)
class Spread:
    """One figure of several hosts."""

    mean: float
    least: float
    most: float


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What a host sees in an epoch.

    Attributes:
        bytes: That it fetches, indexes among them.
        requests: For ranges.
        lookups: Requests for what the storage says of an object.
        index_bytes: Of the bytes, those of indexes.
        hit_rate: Records that were cached when they were wanted, of all; None: no cache.
        first_batch_seconds: From the first request to the first batch, of its slowest worker.
        samples_per_second: Of all its workers, once it runs; None: nothing that is simulated
            holds it up.
        seconds: Of the epoch; None: likewise.
        waiting: The part of its time for which training waits; None: nothing was said of steps.
        limit: What holds it up: "bandwidth", "latency", "training", or "nothing".
    """

    bytes: Spread
    requests: Spread
    lookups: Spread
    index_bytes: Spread
    hit_rate: Spread | None
    first_batch_seconds: float
    samples_per_second: float | None
    seconds: float | None
    waiting: float | None
    limit: str


@dataclasses.dataclass(frozen=True)
class Report:
    """What a simulation says.

    Attributes:
        epochs: From the first on.
        open_seconds: Of `tfstream.open`: round trips.
        shuffle: How well the order shuffles; None: of one record there is nothing to say.
        hosts: How many were looked at.
        shards: How many were looked at.
        fraction: Of the records, those in these shards; 1: nothing is estimated.
        error: The standard error of the bytes, as a part of them.
    """

    epochs: tuple[Epoch, ...]
    open_seconds: float
    shuffle: Shuffle | None
    hosts: int
    shards: int
    fraction: float
    error: float


def simulate(plan: Plan, layout: Layout, hosts: Sequence[int] | None = None) -> Report:
    """Predicts what a plan's hosts fetch, and when.

    Args:
        plan: The stream, the machines and their link.
        layout: Where its records lie.
        hosts: The hosts whose bytes and requests are looked at; None: all, or a few for all.
    """
    sample = choose(plan, layout, hosts)
    windows = _windows(plan, layout)
    cold = _steady(plan, windows, None)
    rate = sum(_rates(plan, cold)) / len(windows)
    window_seconds = plan.window / rate if rate and math.isfinite(rate) else 0.0
    traffic = count(plan, layout, sample, window_seconds)
    epochs = tuple(
        _epoch(plan, windows, counts, number) for number, counts in enumerate(traffic.epochs)
    )
    return Report(
        epochs=epochs,
        open_seconds=_OPENING_ROUND_TRIPS * plan.latency,
        shuffle=shuffle_of(plan.order, plan.batch_size * plan.world),
        hosts=len(sample.hosts),
        shards=len(layout.shards) if sample.shards is None else len(sample.shards),
        fraction=sample.fraction,
        error=traffic.error,
    )


def _windows(plan: Plan, layout: Layout) -> list[list[Load]]:
    """The first windows of each worker of the first host."""
    ramp = len(first_windows(plan.window)) - 1
    some = loads(plan, layout, 0, ramp + 2)
    each = max(1.0, len(some[-1].requests), len(some[-1].indexes))
    workers = plan.workers(0)
    number = int(min(max(_REQUESTS / each / len(workers), _FEWEST_WINDOWS), _MOST_WINDOWS))
    return [loads(plan, layout, worker, ramp + number) for worker in workers]


def _epoch(plan: Plan, windows: list[list[Load]], counts: Counts, number: int) -> Epoch:
    first = _first(plan, windows, counts if number else None)
    times = _steady(plan, windows, counts)
    rates = _rates(plan, times)
    rate = sum(rates) if all(map(math.isfinite, rates)) else None
    hits = counts.sums["hits"] / counts.sums["records"]
    asked = plan.batch_size * len(windows) / plan.step_seconds if plan.step_seconds else math.inf
    if rate is None:
        limit = "nothing"
    elif rate > 0.98 * asked:
        limit = "training"
    else:
        limit = "bandwidth" if times.link_seconds > 0.9 * times.seconds else "latency"
    return Epoch(
        bytes=_spread(counts, "bytes"),
        requests=_spread(counts, "requests"),
        lookups=_spread(counts, "lookups"),
        index_bytes=_spread(counts, "index_bytes"),
        hit_rate=Spread(*map(float, (hits.mean(), hits.min(), hits.max())))
        if plan.cached
        else None,
        first_batch_seconds=first,
        samples_per_second=rate,
        seconds=None if rate is None else first + counts.mean("records") / rate,
        waiting=max(0.0, 1 - (rate or asked) / asked) if plan.step_seconds else None,
        limit=limit,
    )


def _spread(counts: Counts, name: str) -> Spread:
    values = counts.sums[name]
    return Spread(float(values.mean()), float(values.min()), float(values.max()))


def _first(plan: Plan, windows: list[list[Load]], counts: Counts | None) -> float:
    """Seconds to the first batch.

    Args:
        plan: What is simulated.
        windows: The first ones, where nothing is cached.
        counts: Of the epoch, whose indexes are known; None: all is as new.
    """
    needed = [
        next(
            (number for number, end in enumerate(_ends(mine)) if end >= plan.batch_size),
            len(mine),
        )
        + 1
        + WINDOWS_AHEAD
        for mine in windows
    ]
    begun = [mine[:most] for mine, most in zip(windows, needed, strict=True)]
    if counts is not None:
        begun = _thinned(begun, counts, indexes=0.0)
    times = play(dataclasses.replace(plan, step_seconds=0.0), begun)
    slowest = max((batches[0] for batches in times.batches if batches), default=times.seconds)
    return plan.costs.start + slowest


def _ends(windows: Sequence[Load]) -> list[int]:
    return list(itertools.accumulate(load.samples for load in windows))


def _steady(plan: Plan, windows: list[list[Load]], counts: Counts | None) -> Times:
    """Plays windows of full size, with an epoch's mean of requests and bytes.

    Args:
        plan: What is simulated.
        windows: The first ones, where nothing is cached.
        counts: Of the epoch; None: as they are, without indexes.
    """
    ramp = len(first_windows(plan.window)) - 1
    full: list[list[Load]] = []
    for mine in windows:
        body = [load for load in mine[ramp:] if load.samples == plan.window] or mine
        body = [dataclasses.replace(load, indexes=()) for load in body]
        number = max(len(body), _FEWEST_WINDOWS)
        full.append(list(itertools.islice(itertools.cycle(body), number)))
    if counts is not None:
        begun = sum(len(load.indexes) for mine in windows for load in mine[: ramp + WINDOWS_AHEAD])
        samples = sum(load.samples for mine in windows for load in mine[: ramp + WINDOWS_AHEAD])
        left = max(0.0, counts.mean("lookups") / 2 - begun)
        rest = max(1.0, counts.mean("records") - samples)
        full = _thinned(full, counts, indexes=left / rest)
    return play(plan, full)


def _thinned(windows: list[list[Load]], counts: Counts, *, indexes: float) -> list[list[Load]]:
    """Windows with as many requests and bytes a sample as a whole epoch has in the mean.

    Args:
        windows: Where nothing is cached.
        counts: Of the epoch.
        indexes: That are read, a sample.
    """
    samples = sum(load.samples for mine in windows for load in mine)
    requests = sum(len(load.requests) for mine in windows for load in mine)
    fetched = sum(sum(load.requests) for mine in windows for load in mine)
    records = counts.mean("records")
    wanted = (counts.mean("requests") - counts.mean("index_requests")) / records
    wanted_bytes = (counts.mean("bytes") - counts.mean("index_bytes")) / records
    part = wanted * samples / requests
    larger = wanted_bytes / wanted * requests / fetched if wanted else 0.0
    looked_up = max(1.0, counts.mean("lookups") / 2)
    index_bytes = int(counts.mean("index_bytes") / looked_up)
    made = []
    for mine in windows:
        kept, known, thinned = 0.0, 0.0, []
        for load in mine:
            left: list[int] = []
            for size in load.requests:
                before, kept = kept, kept + part
                left += [max(1, round(size * larger))] * (int(kept) - int(before))
            before, known = known, known + indexes * load.samples
            new = (index_bytes,) * (int(known) - int(before))
            thinned.append(Load(load.samples, new, tuple(left)))
        made.append(thinned)
    return made


def _rates(plan: Plan, times: Times) -> list[float]:
    """Samples a second of each worker, between beginning and end; infinite: it never waits."""
    rates = []
    for taken in times.windows:
        begin = min(WINDOWS_AHEAD, len(taken) - 1)
        end = max(begin, len(taken) - 1 - WINDOWS_AHEAD)
        samples = sum(size for _, size in taken[begin + 1 : end + 1])
        seconds = taken[end][0] - taken[begin][0]
        rates.append(samples / seconds if seconds > 0 else math.inf)
    return rates

"""What `tfstream simulate` predicts beside what streams from a server with a link do.

    python benchmarks/simulate.py PACKED [--only NAME ...] [--rounds 3] [--latency 50ms]
        [--bandwidth 100MB/s]
    python benchmarks/simulate.py PACKED --first [--rounds 5] [--bandwidth 100MB/s]

PACKED is a dataset made by `tfstream pack`; its training split is streamed, not decoded. The
server is object_server.py. Of each case and epoch: bytes, requests, seconds to the first batch
(from the moment that the stream is asked for it), seconds of the epoch, samples a second from the
first batch on; predicted, measured (the median of the rounds), and the one over the other. What
training takes is slept.

With --first it is first batches alone, of new streams whose indexes nobody knows, at several
latencies and worlds. What is timed begins with `iter(stream)`: TensorFlow's making of the iterator
is in it, imports, `tfstream.open` and the making of the stream are not.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import object_server
import rounds

import tfstream
from tfstream.fetch.fetcher import fetcher
from tfstream.format import index
from tfstream.order import Order
from tfstream.simulate import sources
from tfstream.simulate.layout import Layout
from tfstream.simulate.plan import Costs, Plan
from tfstream.simulate.simulation import Report, simulate
from tfstream.simulate.units import parse_bandwidth, parse_duration
from tfstream.sizes import parse_size
from tfstream.stream import StreamDataset

_BUCKETS = itertools.count(1)
_READ_AHEAD = parse_size("64MB")


@dataclasses.dataclass(frozen=True)
class Case:
    """A stream.

    Attributes:
        world: Workers; the first of them is measured.
        batch: Its samples a step.
        block_size: Of the order; None: as it is by default.
        cached: Whether there is a page cache.
        step: Seconds that training takes.
        epochs: How many follow one another.
    """

    world: int = 1
    batch: int = 64
    block_size: int | None = None
    cached: bool = False
    step: float = 0.0
    epochs: int = 1


CASES = {
    "blocks": Case(),
    "blocks, world 4": Case(world=4, epochs=2),
    "single records, world 4": Case(world=4, block_size=1),
    "cached, world 2": Case(world=2, cached=True, epochs=3),
    "a slow step": Case(world=2, step=0.06),
}


FIRST = {
    "blocks": Case(),
    "blocks, world 8": Case(world=8, batch=32),
    "single records, world 4": Case(world=4, block_size=1),
    "single records, world 16": Case(world=16, batch=16, block_size=1),
}
LATENCIES = ("10ms", "20ms", "50ms", "200ms")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an epoch was, predicted or not."""

    bytes: float
    requests: float
    first: float
    seconds: float

    def rate(self, samples: int, batch: int) -> float:
        """Samples a second, from the first batch on."""
        return (samples - batch) / max(1e-9, self.seconds - self.first)


def predicted(report: Report) -> list[Measured]:
    """The first host's epochs."""
    found = []
    for epoch in report.epochs:
        seconds = epoch.seconds or 0.0
        found.append(
            Measured(epoch.bytes.mean, epoch.requests.mean, epoch.first_batch_seconds, seconds)
        )
    return found


def stream_of(
    uri: str, case: Case, plan: Plan, cache: str | None = None, *, read_ahead: int = _READ_AHEAD
) -> StreamDataset:
    """What is measured."""
    return (
        tfstream.open(uri, cache_dir=cache)
        .split("train")
        .stream(
            batch_size=case.batch,
            image=tfstream.RAW,
            label=None,
            elements="dict",
            seed=plan.order.seed,
            world=(0, case.world),
            block_size=plan.order.block_size,
            read_ahead=read_ahead,
        )
    )


def first_seconds(uri: str, case: Case, plan: Plan) -> float:
    """To the first batch of a new stream."""
    stream = stream_of(uri, case, plan)
    gc.collect()
    begun = time.perf_counter()
    iterator = iter(stream)
    next(iterator)
    seconds = time.perf_counter() - begun
    del iterator
    time.sleep(1)  # for what is under way
    return seconds


def measure(
    uri: str, case: Case, plan: Plan, cache: str | None, *, read_ahead: int = _READ_AHEAD
) -> list[Measured]:
    """Streams."""
    stream = stream_of(uri, case, plan, cache, read_ahead=read_ahead)
    found = []
    before = stream.stats()
    for _ in range(case.epochs):
        gc.collect()  # what earlier rounds have left is not this one's
        begun, first = time.perf_counter(), 0.0
        for _ in stream:
            first = first or time.perf_counter() - begun
            time.sleep(case.step)
        seconds = time.perf_counter() - begun
        fetcher()._writer.flush()
        now = stream.stats()
        fetched, requests = (now[name] - before[name] for name in ("bytes_fetched", "fetches"))
        found.append(Measured(fetched, requests, first, seconds))
        before = now
    return found


def own_time(packed: Path, records: int) -> Costs:
    """What this machine takes for what is no waiting."""
    with object_server.serving(packed.parent):
        single = Plan(Order(records, block_size=1))
        few = Case(world=records // 8, batch=1, epochs=12)
        uri = f"gs://simulated-{next(_BUCKETS)}/{packed.name}"
        begun = measure(uri, few, single, None, read_ahead=1)[2:]
        uri = f"gs://simulated-{next(_BUCKETS)}/{packed.name}"
        runs = measure(uri, Case(world=4, epochs=3), single, None)[1:]
        start = statistics.median(epoch.first for epoch in begun)
        # Many of its requests are answered before its first batch is whole.
        request = min((epoch.seconds - start) / epoch.requests for epoch in runs)
        # Its windows have one record each.
        window = statistics.median((epoch.seconds - epoch.first) / 7 for epoch in begun) - request
        version = tfstream.open(uri)._version
        name = version.shards(("train",))[0].index_path
        data = version.directory.read(name)
        return Costs(
            start=start,
            request=request,
            lookup=_seconds(lambda: version.directory.stat(name)),
            index=_seconds(lambda: index.read(data, ["offset", "length"])),
            window=max(0.0, window),
        )


def _seconds(function: Callable[[], object]) -> float:
    """What a call takes: the median of some."""
    taken = []
    for _ in range(30):
        begun = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def show(case: Case, samples: int, here: Measured, there: Measured, epoch: int) -> None:
    """A line an amount."""
    pairs = {
        "bytes": (here.bytes, there.bytes),
        "requests": (here.requests, there.requests),
        "first batch, s": (here.first, there.first),
        "epoch, s": (here.seconds, there.seconds),
        "samples/s": (here.rate(samples, case.batch), there.rate(samples, case.batch)),
    }
    for name, (mine, real) in pairs.items():
        print(f"  epoch {epoch} {name:15} {mine:15,.3f} {real:15,.3f}  {mine / real:.3f}")


def plan_of(case: Case, layout: Layout, costs: Costs, latency: float, bandwidth: float) -> Plan:
    """What is simulated of a case."""
    block = case.block_size or sources.block_of(layout, 16)
    return Plan(
        Order(layout.records, seed=3, block_size=block),
        world=case.world,
        batch_size=case.batch,
        window=sources.window_of(layout, _READ_AHEAD),
        latency=latency,
        bandwidth=bandwidth,
        cached=case.cached,
        step_seconds=case.step,
        epochs=case.epochs,
        costs=costs,
    )


def compare_first(packed: Path, layout: Layout, costs: Costs, bandwidth: float, count: int) -> None:
    """First batches: a line a case and latency, and what part of them is told within a tenth."""
    ratios = []
    for text in LATENCIES:
        latency = parse_duration(text)
        with object_server.serving(packed.parent, latency=latency, bandwidth=bandwidth):
            for name, case in FIRST.items():
                plan = plan_of(case, layout, costs, latency, bandwidth)
                told = simulate(plan, layout, hosts=[0]).epochs[0].first_batch_seconds
                real = sorted(
                    first_seconds(f"gs://simulated-{next(_BUCKETS)}/{packed.name}", case, plan)
                    for _ in range(count)
                )
                ratios.append(told / statistics.median(real))
                print(
                    f"  {text:>6} {name:26} {told:8.3f} {statistics.median(real):8.3f} "
                    f"({real[0]:.3f}-{real[-1]:.3f})  {ratios[-1]:.3f}"
                )
    good = sum(abs(ratio - 1) <= 0.1 for ratio in ratios)
    print(
        f"ratios: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}; "
        f"{good} of {len(ratios)} within a tenth"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", default="50ms")
    parser.add_argument("--bandwidth", default="100MB/s")
    parser.add_argument("--first", action="store_true", help="first batches alone")
    arguments = parser.parse_args()
    latency = parse_duration(arguments.latency)
    bandwidth = parse_bandwidth(arguments.bandwidth)
    packed = arguments.packed.resolve()
    local = tfstream.open(packed).split("train")
    # What TensorFlow does when it is first used is not of interest.
    next(iter(local.stream(image=tfstream.RAW, label=None, elements="dict")))
    layout = sources.layout_of(local)
    print(f"{rounds.machine()}; {arguments.latency}, {arguments.bandwidth}")
    root = packed.parent
    costs = own_time(packed, layout.records)
    told = dataclasses.asdict(costs).items()
    print(", ".join(f"{name} {seconds * 1e3:.2f} ms" for name, seconds in told))
    if arguments.first:
        compare_first(packed, layout, costs, bandwidth, arguments.rounds)
        return
    with object_server.serving(root, latency=latency, bandwidth=bandwidth):
        for name in arguments.only:
            case = CASES[name]
            plan = plan_of(case, layout, costs, latency, bandwidth)
            print(f"{name}: predicted, measured, ratio")
            told = predicted(simulate(plan, layout, hosts=[0]))
            runs = []
            for _ in range(arguments.rounds):
                uri = f"gs://simulated-{next(_BUCKETS)}/{packed.name}"
                with tempfile.TemporaryDirectory() as cache:
                    runs.append(measure(uri, case, plan, cache if case.cached else None))
            samples = plan.share(0).samples
            for epoch, here in enumerate(told):
                several = [run[epoch] for run in runs]
                there = Measured(
                    *(
                        statistics.median(getattr(each, field.name) for each in several)
                        for field in dataclasses.fields(Measured)
                    )
                )
                show(case, samples, here, there, epoch)


if __name__ == "__main__":
    main()

"""A dataset in a bucket beside the same on local disk: what the road over the network costs.

    python benchmarks/remote.py PACKED [--only steady ...] [--rounds 5] [--copies 6] [--quick]

PACKED is a dataset made by `tfstream pack` (the figures in docs/benchmarks.md are for 8,000
photographs of 500x375, 55 KB each). Larger ones are made of its training split by hard links,
in a directory beside it that is removed at the end; they should fit the page cache. The bucket is
object_server.py, a process on this machine, which answers after 50 ms and sends 200 MB/s over all
connections.

- steady: epochs without a cache and with a cold one, from the first batch on, against the smaller
  of local disk's rate (page cache warm, same blocks) and the link's. The server has a core of its
  own, the last one, which no candidate may use.
- first: seconds from `tfstream.open` to the first batch, each in a new process, without its
  imports; of PACKED, and of 10 million records in 2,000 shards.
- cached: an epoch from the page cache against local disk.
- slice: bytes sent for a random hundredth, and for a full pass, against the bytes of its records.
- shared: bytes sent to four processes with one cache directory, against those to one.
- memory: resident memory, and the cache's size on disk, while a pass is made over ten times as
  much as the cache may hold.
- faults: 10,000 faults from tests/fault_proxy.py before the server; the samples against those of
  a pass without one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import faults
import numpy as np
import object_server
import passes
import replicas
import rounds
import tensorflow as tf

import tfstream
from tfstream.fetch.fetcher import fetcher

LATENCY = 0.05  # seconds
BANDWIDTH = 200_000_000  # bytes/s
IMAGE = tfstream.ImageSpec(size=(224, 224))
BATCH = 64
_BUCKETS = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is measured, and how thoroughly.

    Attributes:
        root: What the server serves; `one` in it is the training split of PACKED.
        rounds: That count.
        copies: Of the split, in the dataset that stands for a long epoch.
        quick: As little of everything as shows that it runs.
    """

    root: Path
    rounds: int
    copies: int
    quick: bool

    def uri(self, name: str) -> str:
        """A dataset in a bucket that nobody has heard of."""
        return f"gs://bench-{next(_BUCKETS):04d}/{name}"

    def cache(self) -> str:
        """A new cache directory."""
        return tempfile.mkdtemp(prefix="cache-", dir=self.root)

    def local(self, name: str = "one") -> tfstream.PackedDataset:
        """A dataset on disk."""
        return tfstream.open(self.root / name).split("train")

    def serving(
        self, cores: Sequence[int] = ()
    ) -> contextlib.AbstractContextManager[object_server.Serving]:
        """The server, on these cores; on all, where none is named."""
        return object_server.serving(self.root, latency=LATENCY, bandwidth=BANDWIDTH, cores=cores)


def stored_bytes(data: tfstream.PackedDataset) -> int:
    """Of the frames of a local selection."""
    return int(data.stored.table.lengths.sum(dtype=np.int64))


def size(element: tuple[tf.Tensor, ...]) -> int:
    """Samples of a batch."""
    return int(element[0].shape[0])


def drop(directories: list[str]) -> None:
    """Removes cache directories, once all is written that would be."""
    fetcher()._writer.flush()
    while directories:
        shutil.rmtree(directories.pop())


def steady(bench: Bench) -> None:
    """Full epochs over the link."""
    replicas.replicate(bench.root / "one", bench.root / "long", bench.copies)
    local = bench.local("long")
    mean = stored_bytes(local) / len(local)
    used: list[str] = []
    # The server has a core of its own: a bucket's is elsewhere.
    mine = sorted(os.sched_getaffinity(0))
    mine, its = (mine[:-1], mine[-1:]) if len(mine) > 1 else (mine, mine)
    with bench.serving(its) as server, rounds.on_cores(set(mine)):
        block = tfstream.open(bench.uri("long")).split("train").stream().block_size
        for what, image in {"224x224 images": IMAGE, "records as stored": tfstream.RAW}.items():

            def stream(
                data: tfstream.PackedDataset, image: tfstream.ImageSpec | tfstream.Raw = image
            ) -> tf.data.Dataset:
                drop(used)
                return data.stream(batch_size=BATCH, image=image, block_size=block)

            def cold(*, cached: bool, stream: Callable[..., tf.data.Dataset] = stream) -> object:
                made = bench.cache() if cached else None
                ds = stream(tfstream.open(bench.uri("long"), cache_dir=made).split("train"))
                used.extend([made] if made else [])
                return ds

            candidates = {
                "local disk": functools.partial(stream, local),
                "bucket, no cache": functools.partial(cold, cached=False),
                "bucket, cold cache": functools.partial(cold, cached=True),
            }
            before = server.counts()
            results = rounds.measure(candidates, bench.rounds, size, steady=True)
            done = server.counts() - before
            drop(used)
            against = f"smaller of local disk and link ({BANDWIDTH / mean:,.0f}/s)"
            base = results["local disk"]
            results[against] = rounds.Rounds(
                [min(r, BANDWIDTH / mean) for r in base.rates], base.cpu
            )
            print(f"{what}; {len(local)} of {mean:,.0f} bytes; blocks of {block}")
            rounds.report(results, against=against, unit="images/s")
            print(
                f"The server took {done.cpu / done.bytes * mean * 1e6:.0f} µs of CPU an image, "
                f"on core {its}; the passes, on {mine}."
            )


def first(bench: Bench) -> None:
    """Time to the first batch, cold."""
    shards, records = (20, 50) if bench.quick else (2000, 5000)
    replicas.uniform(bench.root / "one", bench.root / "huge", shards=shards, records=records)
    with bench.serving() as server:
        runs: dict[str, list[passes.Outcome]] = {"one": [], "huge": []}
        sent: dict[str, list[object_server.Counts]] = {"one": [], "huge": []}
        for name in [*runs] * bench.rounds:
            before = server.counts()
            what = passes.Pass(bench.uri(name), cache_dir=bench.cache(), decode=True, batches=1)
            runs[name] += passes.run(what)
            sent[name].append(server.counts() - before)
    for name, outcomes in runs.items():
        seconds = [outcome.first for outcome in outcomes]
        index_bytes = statistics.median(counts.by_kind[".parquet"] for counts in sent[name])
        print(
            f"{len(bench.local(name)):,} records: first batch after "
            f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}–{max(seconds):.2f}), of which "
            f"{index_bytes / 1e6:.1f} MB were indexes; imports, not counted, "
            f"{statistics.median(outcome.imports for outcome in outcomes):.2f} s"
        )


def cached(bench: Bench) -> None:
    """An epoch from the page cache."""
    local = bench.local()
    with bench.serving() as server:
        remote = tfstream.open(bench.uri("one"), cache_dir=bench.cache()).split("train")
        remote.prefetch()
        block = remote.stream().block_size
        before = server.counts()
        for what, image in {"224x224 images": IMAGE, "records as stored": tfstream.RAW}.items():
            # Nothing decoded, an epoch is over in an instant.
            epochs = 10 if image is tfstream.RAW else 1
            candidates = {
                name: data.stream(batch_size=BATCH, image=image, block_size=block, epochs=epochs)
                for name, data in {"local disk": local, "page cache": remote}.items()
            }
            results = rounds.measure(candidates, bench.rounds, size)
            print(f"{what}; {len(local)}, {epochs} epochs a round; blocks of {block}")
            rounds.report(results, against="local disk", unit="images/s")
        print(f"fetched meanwhile: {(server.counts() - before).bytes} bytes")


def slices(bench: Bench) -> None:
    """Bytes sent against bytes wanted."""
    local = bench.local()
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.choice(len(local), max(1, len(local) // 100), replace=False))
    with bench.serving() as server:
        for what, numbers in {"1 % at random": chosen, "full pass": None}.items():
            for cache in (None, bench.cache()):
                before = server.counts()
                data = tfstream.open(bench.uri("one"), cache_dir=cache).split("train")
                part = data if numbers is None else data[numbers.tolist()]
                wanted = stored_bytes(local if numbers is None else local[numbers.tolist()])
                samples = sum(map(size, part.stream(batch_size=BATCH, image=tfstream.RAW)))
                sent = server.counts() - before
                print(
                    f"{what}, {'page cache' if cache else 'no cache'}: {samples} records of "
                    f"{wanted / 1e6:.2f} MB; shards {sent.by_kind['.tfrecord'] / wanted:.4f} of "
                    f"that, all {sent.bytes / wanted:.4f}, in {sent.downloads} downloads"
                )


def shared(bench: Bench) -> None:
    """Several processes, one cache."""
    count = 2 if bench.quick else 4
    with bench.serving() as server:

        def measure(name: str, worlds: list[tuple[int, int]]) -> int:
            before = server.counts()
            uri, cache = bench.uri("one"), bench.cache()
            outcomes = passes.run(*(passes.Pass(uri, cache, world=world) for world in worlds))
            sent = (server.counts() - before).bytes
            seconds = max(outcome.seconds for outcome in outcomes)
            samples = sum(outcome.samples for outcome in outcomes)
            print(f"{name}: {sent} bytes for {samples} samples in {seconds:.1f} s", end="")
            return sent

        alone = measure("one process", [(0, 1)])
        print()
        for name, worlds in {
            f"{count} processes, each all of it": [(0, 1)] * count,
            f"{count} processes, each its part": [(number, count) for number in range(count)],
        }.items():
            print(f": {measure(name, worlds) / alone:.4f} of the one's")


def memory(bench: Bench) -> None:
    """Resident memory and the cache's size, over ten times the cache's limit."""
    ahead = 50_000 if bench.quick else 64_000_000
    limit = 200_000 if bench.quick else 500_000_000
    copies = -(-10 * limit // stored_bytes(bench.local()))
    replicas.replicate(bench.root / "one", bench.root / "tenfold", copies)
    cache = bench.cache()
    what = passes.Pass(bench.uri("tenfold"), cache, limit, decode=True, read_ahead=ahead)
    resident: list[int] = []
    largest = 0
    with bench.serving(), passes.running([what]) as (child,):
        while child.process.poll() is None:
            begin = time.monotonic()
            with contextlib.suppress(OSError, IndexError):
                resident.append(resident_bytes(child.process.pid))
            while time.monotonic() - begin < 1 and child.process.poll() is None:
                largest = max(largest, disk_bytes(cache))
                time.sleep(0.05)
        outcome = child.outcome()
    # At its very end, nothing is read ahead any more.
    later = resident[len(resident) // 5 : -2] or resident
    middle = (max(later) + min(later)) / 2
    every = max(1, len(resident) // 20)
    print(
        f"{outcome.samples} samples in {outcome.seconds:.0f} s, "
        f"{outcome.stats['bytes_fetched'] / limit:.1f} times the cache's "
        f"limit of {limit / 1e6:.0f} MB\n"
        f"resident, after the first fifth: {min(later) / 1e6:.0f}–{max(later) / 1e6:.0f} MB, "
        f"±{(max(later) - middle) / max(middle, 1):.1%}; each {every} s: "
        f"{' '.join(f'{n / 1e6:.0f}' for n in resident[::every])}\n"
        f"cache on disk: at most {largest / 1e6:.1f} MB, {(largest - limit) / ahead:+.2f} "
        "read-aheads from its limit"
    )


def resident_bytes(process: int) -> int:
    """Of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def disk_bytes(directory: str) -> int:
    """What a directory takes of its disk."""
    total = 0
    for base, _, files in os.walk(directory):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(base, file)).st_blocks * 512
    return total


def survive(bench: Bench) -> None:
    """Faults, and what becomes of the samples."""
    with object_server.serving(bench.root) as server:
        faults.compare(
            server.url,
            lambda: bench.uri("one"),
            bench.cache,
            faults=4 if bench.quick else 10_000,
        )


PARTS: dict[str, Callable[[Bench], None]] = {
    "steady": steady,
    "first": first,
    "cached": cached,
    "slice": slices,
    "shared": shared,
    "memory": memory,
    "faults": survive,
}


@contextlib.contextmanager
def prepared(packed: Path, *, repeats: int, copies: int, quick: bool) -> Iterator[Bench]:
    """The bench, with a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="remote-", dir=packed.parent) as root:
        replicas.replicate(packed, Path(root, "one"), 1)
        yield Bench(Path(root), 1 if quick else repeats, 1 if quick else copies, quick)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=6, help="of the dataset, for a long epoch")
    parser.add_argument("--quick", action="store_true", help="see whether it runs")
    arguments = parser.parse_args()
    print(f"{rounds.machine()}; {LATENCY * 1000:.0f} ms, {BANDWIDTH / 1e6:.0f} MB/s")
    with prepared(
        arguments.packed.resolve(),
        repeats=arguments.rounds,
        copies=arguments.copies,
        quick=arguments.quick,
    ) as bench:
        for name in arguments.only:
            print(f"\n{name}")
            PARTS[name](bench)


if __name__ == "__main__":
    main()

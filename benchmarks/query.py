"""Queries over ten and a hundred million records, and what a slice costs the stream of it.

    python benchmarks/query.py PACKED [--only ten ...] [--rounds 5] [--copies 10] [--quick]

PACKED is a dataset made by `tfstream pack` (the figures in docs/benchmarks.md are for 8,000
photographs of 500x375, 55 KB each). Larger ones are made of its training split, in a directory
beside it that is removed at the end. The page cache is warm.

- ten: 10 million records in 2,000 shards. A query of two terms is answered, and the first batch
  of a stream of what it selects delivered (224x224, batches of 64, uniform shuffle); opening the
  dataset included, and the modules that this imports. Each round is a process of its own.
- hundred: the same of 100 million in 20,000 shards, with the peak of the process's memory, of
  which TensorFlow's own is printed too.
- questions: what else is asked of 10 million records, in one process.
- slice: full epochs of a slice of a slice, a tenth of the records at random, against those of the
  same records packed alone. Local disk, page cache warm.

The shards of the large datasets are links to one, which is put together of PACKED's records; their
indexes are links to 200, which say where those records lie, and of what they show something made
up: sizes, labels of PACKED's label map, and two columns of metadata.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import replicas
import rounds

import tfstream
from tfstream.format import index

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    import tensorflow as tf

BATCH = 64
_DISTINCT = 200  # indexes
_RECORDS = 5000  # a shard

# A process that asks once.
CHILD = """
import json, os, resource, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf, tfstream
tf.constant(0)  # the runtime's own start is not tfstream's
alone = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
data = tfstream.open(sys.argv[1])
opened = time.perf_counter()
part = data.slice(sys.argv[2])
selected = len(part)
answered = time.perf_counter()
images, labels = next(iter(part.stream(batch_size=64)))
delivered = time.perf_counter()
print(json.dumps({
    "records": len(data), "selected": selected, "opened": opened - begin,
    "answered": answered - begin, "delivered": delivered - begin, "alone": alone * 1024,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is measured, and how thoroughly.

    Attributes:
        packed: The dataset of which larger ones are made.
        root: Where those are put.
        rounds: That count.
        copies: Of the training split, in the dataset of which a tenth is streamed.
        quick: As little of everything as shows that it runs.
    """

    packed: Path
    root: Path
    rounds: int
    copies: int
    quick: bool

    def large(self, shards: int) -> Path:
        """A dataset of that many shards."""
        out = self.root / f"of-{shards}"
        if not out.exists():
            synthetic(
                self.packed, out, 20 if self.quick else shards, 50 if self.quick else _RECORDS
            )
        return out

    @property
    def question(self) -> str:
        """Of two terms."""
        loaded, _ = replicas.load(self.packed)
        return f'labels."{loaded.labels.labels[0].name}" >= 1 and width > 300'


def synthetic(packed: Path, out: Path, shards: int, records: int) -> None:
    """Makes a dataset of many shards, whose indexes say something made up."""
    import pyarrow.parquet as pq

    loaded, _ = replicas.load(packed)
    loaded.schema.metadata.clear()
    loaded.schema.metadata.update(camera="string", day="int")
    names = np.array([label.name for label in loaded.labels.labels])
    (out / "made").mkdir(parents=True)
    shard = out / "made/shard.tfrecord"
    rows = replicas.one_shard(packed, shard, records)
    files = []
    for number in range(min(shards, _DISTINCT)):
        path = out / f"made/{number}.parquet"
        pq.write_table(_varied(rows, names, number), path, compression="zstd")
        files.append((shard, path))
    files = [files[number % len(files)] for number in range(shards)]
    replicas.write(out, loaded, files, [(records, shard.stat().st_size)] * shards)


def _varied(rows: pa.Table, names: npt.NDArray[np.str_], seed: int) -> pa.Table:
    """The index of other records in the same places."""
    import pyarrow as pa

    draw = np.random.default_rng(seed)
    count = rows.num_rows
    kinds = draw.integers(0, 3, count)  # labels of each
    ends = np.concatenate([[0], np.cumsum(kinds)])
    # Two labels of a record differ.
    first = draw.integers(0, len(names), count)
    labels = np.repeat(first, kinds)
    labels[ends[1:][kinds == 2] - 1] += 1
    counts = draw.integers(1, 5, len(labels))
    sums = np.concatenate([[0], np.cumsum(counts)])
    main = pa.array(names[first], pa.string(), mask=kinds == 0)
    made = {
        "key": pa.array([f"made/{seed:04d}/{number:06d}" for number in range(count)]),
        "width": pa.array(draw.integers(200, 900, count)),
        "height": pa.array(draw.integers(200, 900, count)),
        "label": main,
        "objects": pa.array(sums[ends[1:]] - sums[ends[:-1]]),
        "labels": pa.MapArray.from_arrays(
            pa.array(ends, pa.int32()),
            pa.array(names[labels % len(names)], pa.string()),
            pa.array(counts, pa.int32()),
        ),
        "camera": pa.array(np.array(["left", "right", "rear"])[draw.integers(0, 3, count)]),
        "day": pa.array(draw.integers(0, 365, count)),
    }
    schema = index.schema({"camera": "string", "day": "int"})
    return pa.table(
        [
            made.get(name, rows[name] if name in rows.column_names else None)
            for name in schema.names
        ],
        names=schema.names,
    ).cast(schema)


def _asked_once(bench: Bench, shards: int) -> None:
    """A query and a first batch, in processes of their own."""
    command = [sys.executable, "-c", CHILD, str(bench.large(shards)), bench.question]
    runs = []
    warming = 0 if bench.quick else 1  # of the page cache
    for _ in range(warming + bench.rounds):
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        runs.append(json.loads(out.splitlines()[-1]))
    runs = runs[warming:]
    middle = {what: statistics.median(run[what] for run in runs) for what in runs[0]}
    spread = [run["delivered"] for run in runs]
    print(
        f"{bench.question!r} selects {middle['selected']:,.0f} of {middle['records']:,.0f}\n"
        f"opened after {middle['opened']:.2f} s, answered after {middle['answered']:.2f}, first "
        f"batch after {middle['delivered']:.2f} ({min(spread):.2f}–{max(spread):.2f})\n"
        f"memory at most {middle['peak'] / 1e9:.2f} GB, of which TensorFlow alone "
        f"{middle['alone'] / 1e9:.2f}"
    )


def ten(bench: Bench) -> None:
    """Ten million records."""
    _asked_once(bench, 2000)


def hundred(bench: Bench) -> None:
    """A hundred million."""
    _asked_once(dataclasses.replace(bench, rounds=min(bench.rounds, 3)), 20_000)


def questions(bench: Bench) -> None:
    """What else is asked."""
    data = tfstream.open(bench.large(2000))
    asked: dict[str, Callable[[], object]] = {
        "count of a query's records": lambda: len(data.slice(bench.question)),
        "one of two terms or a third": lambda: len(
            data.slice(f'({bench.question}) or camera = "left"')
        ),
        "split by hash, 80:10:10": lambda: len(data.partition(train=0.8, val=0.1, test=0.1).val),
        "the same, stratified": lambda: len(
            data.partition(train=0.8, val=0.1, test=0.1, stratify="label").val
        ),
        "sample of 1 %": lambda: len(data.sample(0.01)),
        "sorted by two columns": lambda: len(data.sort_by("-width", "day")),
        "grouped": lambda: len(data.group_by("camera")),
        "metadata of a query's records": lambda: data.slice(bench.question).metadata.num_rows,
        "metadata of 100 records": lambda: data[:: max(1, len(data) // 100)].metadata.num_rows,
    }
    for what, ask in asked.items():
        seconds = []
        for _ in range(1 if bench.quick else 3):
            begin = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - begin)
        print(f"{what:32}{statistics.median(seconds):7.2f} s")


def slices(bench: Bench) -> None:
    """A slice against the same records packed alone."""
    replicas.replicate(bench.packed, bench.root / "whole", bench.copies)
    whole = tfstream.open(bench.root / "whole")
    part = whole.slice("width > 0 and objects >= 0").slice("@sample:0.1")
    pack_alone(bench.root / "whole", part, bench.root / "alone")
    alone = tfstream.open(bench.root / "alone")
    print(f"{len(part):,} of {len(whole):,} records")
    image = tfstream.ImageSpec(size=(224, 224))
    for what, spec in {"224x224 images": image, "records as stored": tfstream.RAW}.items():
        # Nothing decoded, an epoch is over in an instant.
        epochs = 20 if spec is tfstream.RAW and not bench.quick else 1

        def stream(
            data: tfstream.PackedDataset,
            spec: tfstream.ImageSpec | tfstream.Raw = spec,
            epochs: int = epochs,
        ) -> tf.data.Dataset:
            return data.stream(batch_size=BATCH, image=spec, epochs=epochs)

        results = rounds.measure(
            {"packed alone": stream(alone), "slice of a slice": stream(part)},
            bench.rounds,
            lambda element: int(element[0].shape[0]),
        )
        print(f"{what}, {epochs} epochs a round")
        rounds.report(results, against="packed alone", unit="images/s")


def pack_alone(source: Path, part: tfstream.PackedDataset, out: Path) -> None:
    """Writes a dataset of the records of a slice, in one shard, frame by frame."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    loaded, train = replicas.load(source)
    (out / "made").mkdir(parents=True)
    shard, rows = out / "made/shard.tfrecord", out / "made/shard.parquet"
    table = part.stored.table
    indexes: list[pa.Table] = []
    written = 0
    with open(shard, "wb") as file:
        for number, old in enumerate(train.shards):
            here = np.flatnonzero(table.shards == number)
            whole = index.read(source / old.index_path)
            kept = whole.filter(np.isin(whole["offset"].to_numpy(), table.offsets[here]))
            lengths = table.lengths[here].astype(np.int64)
            with open(source / old.path, "rb") as frames:
                for offset, length in zip(table.offsets[here], lengths, strict=True):
                    frames.seek(offset)
                    file.write(frames.read(length))
            offsets = written + np.cumsum(lengths) - lengths
            at = kept.schema.get_field_index("offset")
            field = kept.schema.field("offset")
            indexes.append(kept.set_column(at, field, pa.array(offsets, field.type)))
            written += int(lengths.sum())
    pq.write_table(pa.concat_tables(indexes), rows, compression="zstd")
    replicas.write(out, loaded, [(shard, rows)], [(len(table), written)])


PARTS: dict[str, Callable[[Bench], None]] = {
    "ten": ten,
    "hundred": hundred,
    "questions": questions,
    "slice": slices,
}


@contextlib.contextmanager
def prepared(packed: Path, *, repeats: int, copies: int, quick: bool) -> Iterator[Bench]:
    """The bench, with a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="query-", dir=packed.parent) as root:
        yield Bench(packed, Path(root), 1 if quick else repeats, 1 if quick else copies, quick)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=10, help="of the dataset that is sliced")
    parser.add_argument("--quick", action="store_true", help="see whether it runs")
    arguments = parser.parse_args()
    print(rounds.machine())
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

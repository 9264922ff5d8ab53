"""First batch of a dataset of ten million records: time, and memory a record.

    python benchmarks/ten_million.py PACKED [--records 10000000] [--rounds 3]

PACKED is any dataset made by `tfstream pack`: its first shard lends the records.
The large dataset has an index of that many rows, over and over the same records,
as its shards could not be told apart by a reader; everything else is as it
would be. Each measurement is a process of its own: it opens the dataset, makes
a stream (224x224, batches of 64, uniform shuffle) and takes one batch. The same
with a small dataset gives TensorFlow's own footprint.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, os, resource, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf, tfstream
begin = time.perf_counter()
data = tfstream.open(sys.argv[1]).split("train")
images, labels = next(iter(data.stream(batch_size=64)))
seconds = time.perf_counter() - begin
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps({
    "records": len(data), "seconds": seconds, "resident": pages * resource.getpagesize(),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def synthetic(packed: Path, out: Path, records: int, per_shard: int = 1_000_000) -> None:
    """A dataset of `records` rows that all lie in the first training shard of `packed`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tfstream.format import index, manifest

    loaded = manifest.load(packed)
    train = next(split for split in loaded.splits if split.name == "train")
    shard = train.shards[0]
    rows = index.read(packed / shard.index_path)
    (out / "shards").mkdir(parents=True)
    copies = -(-min(per_shard, records) // rows.num_rows)
    many = pa.concat_tables([rows] * copies)
    del train.shards[1:]
    del train.shards[0]
    for number, begin in enumerate(range(0, records, per_shard)):
        count = min(per_shard, records - begin)
        name = f"shards/train-synthetic-{number:05d}"
        os.link(packed / shard.path, out / f"{name}.tfrecord")
        keys = pa.array([f"{begin + i:08d}" for i in range(count)])
        part = many.slice(0, count).set_column(0, many.schema.field("key"), keys)
        pq.write_table(part, out / f"{name}.parquet", compression="zstd", row_group_size=1 << 16)
        train.shards.add(
            path=f"{name}.tfrecord", index_path=f"{name}.parquet", records=count, bytes=shard.bytes
        )
    train.statistics.records = records
    for split in [s for s in loaded.splits if s.name != "train"]:
        loaded.splits.remove(split)
    loaded.version = 1
    manifest.commit(out, loaded)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.packed.parent) as scratch:
        sizes = {"small": 1000, "large": arguments.records}
        for name, records in sizes.items():
            synthetic(arguments.packed, Path(scratch, name), records)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in sizes}
        for _ in range(arguments.rounds):
            for name in sizes:
                command = [sys.executable, "-c", CHILD, str(Path(scratch, name))]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                runs[name].append(json.loads(out.splitlines()[-1]))
    median = {
        name: {key: statistics.median(run[key] for run in mine) for key in mine[0]}
        for name, mine in runs.items()
    }
    for name, figures in median.items():
        print(
            f"{name}: {figures['records']:,.0f} records, first batch after "
            f"{figures['seconds']:.2f} s, resident {figures['resident'] / 1e6:,.0f} MB, "
            f"peak {figures['peak'] / 1e6:,.0f} MB"
        )
    for what in ("resident", "peak"):
        more = (median["large"][what] - median["small"][what]) / arguments.records
        print(f"{what}: {more:.1f} bytes a record above the small dataset")


if __name__ == "__main__":
    main()

"""How fast existing TFRecord files are indexed, against reading them once by `sha256sum`.

Both read the same files from the page cache, with as many processes, in turns; the ratio is of the
median rates. `python benchmarks/indexing.py [--megabytes 1000] [--rounds 3]`
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tfstream.format import record
from tfstream.indexing import indexer
from tfstream.v1 import example_pb2

_SHARDS = 8
_IMAGE_BYTES = 56_000


def main() -> None:
    """Measures, and prints a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tfstream-indexing-") as room:
        shards = _write(Path(room), arguments.megabytes)
        size = sum(path.stat().st_size for path in shards)
        hashed, indexed = [], []
        for number in range(arguments.rounds):
            hashed.append(_hash(shards, arguments.processes))
            into = Path(room, f"dataset-{number}")
            begin = time.monotonic()
            result = indexer.index(
                *shards, into=into, processes=arguments.processes, progress=False
            )
            indexed.append(time.monotonic() - begin)
            shutil.rmtree(into)
    rates = [size / statistics.median(times) / 1e6 for times in (hashed, indexed)]
    told = {
        "records": sum(result.splits.values()),
        "megabytes": round(size / 1e6),
        "processes": arguments.processes,
        "sha256sum_mb_per_s": round(rates[0], 1),
        "index_mb_per_s": round(rates[1], 1),
        "ratio": round(rates[1] / rates[0], 2),
        "sha256sum_seconds": [round(each, 2) for each in hashed],
        "index_seconds": [round(each, 2) for each in indexed],
    }
    print(json.dumps(told, indent=1))


def _hash(shards: list[Path], processes: int) -> float:
    """Seconds that `sha256sum` takes, as many files at a time as there are processes."""
    names = "\0".join(map(str, shards))
    begin = time.monotonic()
    command = ["xargs", "-0", "-n1", f"-P{processes}", "sha256sum"]
    subprocess.run(command, input=names.encode(), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def _write(room: Path, megabytes: int) -> list[Path]:
    """Shards of records with an image header, noise of an image's length, and some boxes."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (500, 375)).save(buffer, "JPEG")
    header = buffer.getvalue()[:-2]
    noise = np.random.default_rng(0).bytes(_IMAGE_BYTES - len(header))
    count = megabytes * 1_000_000 // _IMAGE_BYTES // _SHARDS
    shards = []
    for shard in range(_SHARDS):
        path = room / f"train-{shard:05d}-of-{_SHARDS:05d}"
        with open(path, "wb") as file:
            writer = record.ShardWriter(file)
            for number in range(count):
                writer.append(_example(header + noise, f"{shard}-{number}", number % 4))
        shards.append(path)
    return shards


def _example(encoded: bytes, key: str, objects: int) -> bytes:
    made = example_pb2.Example()
    feature = made.features.feature
    feature["image/encoded"].bytes_list.value.append(encoded)
    feature["image/format"].bytes_list.value.append(b"jpeg")
    feature["image/source_id"].bytes_list.value.append(key.encode())
    feature["image/filename"].bytes_list.value.append(f"{key}.jpg".encode())
    feature["image/height"].int64_list.value.append(375)
    feature["image/width"].int64_list.value.append(500)
    for name, low in (("ymin", 0.1), ("xmin", 0.1), ("ymax", 0.5), ("xmax", 0.6)):
        feature[f"image/object/bbox/{name}"].float_list.SetInParent()
        feature[f"image/object/bbox/{name}"].float_list.value.extend([low] * objects)
    feature["image/object/class/text"].bytes_list.SetInParent()
    feature["image/object/class/text"].bytes_list.value.extend([b"dog", b"cat", b"bird"][:objects])
    feature["image/object/class/label"].int64_list.SetInParent()
    feature["image/object/class/label"].int64_list.value.extend([1, 2, 3][:objects])
    return made.SerializeToString(deterministic=True)


if __name__ == "__main__":
    main()

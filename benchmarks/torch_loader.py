"""PyTorch's DataLoader with two workers: packed records against WebDataset, LitData and files.

    python benchmarks/torch_loader.py PACKED [--images 2000] [--rounds 5] [--workers 2]

All candidates read the same images and do the same with each:
Pillow decodes it, makes it RGB and resizes it to 224x224 (bilinear), and a batch of 32 is
collated; they take turns, round after round. `bare` is a loop in one process that does nothing
else, with the images in memory. WebDataset and LitData take part where they are installed;
TensorFlow is not needed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

import tfstream

BATCH = 32
SHARDS = 4


def resize(image: Image.Image) -> torch.Tensor:
    """What all do with a decoded image."""
    if image.mode != "RGB":
        image = image.convert("RGB")
    return torch.from_numpy(np.array(image.resize((224, 224), Image.Resampling.BILINEAR)))


def work(encoded: bytes) -> torch.Tensor:
    """What all do with an encoded image."""
    return resize(Image.open(io.BytesIO(encoded)))


def of_record(image: Image.Image, label: int) -> tuple[torch.Tensor, int]:
    """The transform of records."""
    return resize(image), label


def of_webdataset(sample: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """The transform of WebDataset's samples."""
    return work(sample["jpg"]), int(sample["cls"])


def of_litdata(sample: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """The transform of LitData's samples."""
    return work(sample["image"]), sample["label"]


class Files(torch.utils.data.Dataset):
    """A file an image."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        with open(self.paths[number], "rb") as file:
            return work(file.read()), 0


def webdataset_of(images: list[bytes], scratch: Path, workers: int) -> Iterable[Any]:
    """Shards of WebDataset, and what loads them."""
    import webdataset

    paths = []
    for shard in range(SHARDS):
        paths.append(str(scratch / f"{shard}.tar"))
        with webdataset.TarWriter(paths[-1]) as writer:
            for number in range(shard, len(images), SHARDS):
                writer.write({"__key__": f"{number:06d}", "jpg": images[number], "cls": number})
    dataset = webdataset.WebDataset(paths, shardshuffle=SHARDS).shuffle(500).map(of_webdataset)
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers)


def litdata_of(images: list[bytes], scratch: Path, workers: int) -> Iterable[Any]:
    """Chunks of LitData, and what loads them."""
    import litdata
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(scratch / "litdata"), chunk_bytes=64 << 20)
    for number, encoded in enumerate(images):
        writer[number] = {"image": encoded, "label": number}
    writer.done()
    writer.merge()

    class Dataset(litdata.StreamingDataset):
        def __getitem__(self, index: Any) -> tuple[torch.Tensor, int]:
            return of_litdata(super().__getitem__(index))

    dataset = Dataset(str(scratch / "litdata"), shuffle=True)
    return litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers)


def seconds_of_cpu() -> float:
    """Of this process, and of the workers that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("packed")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    scratch = Path(tempfile.mkdtemp(prefix="torch-loader-"))
    try:
        run(tfstream.open(chosen.packed)[: chosen.images], scratch, chosen)
    finally:
        shutil.rmtree(scratch)


def run(data: tfstream.PackedDataset, scratch: Path, chosen: argparse.Namespace) -> None:
    """Lets the candidates take turns, and prints what they did."""
    images = list(data.to_torch(image=tfstream.RAW, label=None))
    paths = []
    for number, encoded in enumerate(images):
        paths.append(str(scratch / f"{number:06d}.jpg"))
        Path(paths[-1]).write_bytes(encoded)
    records = data.to_torch(image="pil", transform=of_record, batch_size=BATCH)
    loaders: dict[str, Callable[[], Iterable[Any]]] = {
        "bare": lambda: map(work, images),
        "to_torch": lambda: DataLoader(records, batch_size=BATCH, num_workers=chosen.workers),
        "files": lambda: DataLoader(
            Files(paths), batch_size=BATCH, num_workers=chosen.workers, shuffle=True
        ),
    }
    for name, make in (("webdataset", webdataset_of), ("litdata", litdata_of)):
        with contextlib.suppress(ImportError):
            loader = make(images, scratch, chosen.workers)
            loaders[name] = lambda loader=loader: loader  # type: ignore[misc]
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    cpu: dict[str, list[float]] = {name: [] for name in loaders}
    for number in range(chosen.rounds + 1):
        for name, load in loaders.items():
            before, begun = seconds_of_cpu(), time.perf_counter()
            for _ in load():
                pass
            took, used = time.perf_counter() - begun, seconds_of_cpu() - before
            if number:  # the first round warms up
                rates[name].append(len(images) / took)
                cpu[name].append(used / len(images) * 1e6)
    print(f"{len(images)} images, {chosen.workers} workers, {os.cpu_count()} cores")
    for name in loaders:
        ratios = [
            mine / theirs for mine, theirs in zip(rates["to_torch"], rates[name], strict=True)
        ]
        print(
            f"{name:12} {statistics.median(rates[name]):7.0f} images/s  "
            f"{statistics.median(cpu[name]):6.0f} µs CPU an image  "
            f"to_torch is {statistics.median(ratios):.2f} times as fast"
        )


if __name__ == "__main__":
    main()

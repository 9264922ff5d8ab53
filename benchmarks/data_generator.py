"""Samples a second of Keras's data generator: over .npy files as usual, and over packed tensors.

Makes a set of arrays float32 [32, 32, 32, 1], packs it, and reads whole epochs in turn, so that
what else the machine does weighs on all alike. Files are in the page cache for everyone.

    python benchmarks/data_generator.py [--samples 2000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfstream

DIM = (32, 32, 32)
CLASSES = 4


class PlainGenerator(keras.utils.PyDataset):
    """The usual one: `np.load` of a file a sample, into an array of the batch."""

    def __init__(self, ids: list[str], labels: dict[str, int], root: Path, batch_size: int) -> None:
        super().__init__()
        self.ids, self.labels, self.root, self.batch_size = ids, labels, root, batch_size
        self.order = np.random.permutation(len(ids))

    def __len__(self) -> int:
        return len(self.ids) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        arrays = np.empty((self.batch_size, *DIM, 1), np.float32)
        classes = np.empty(self.batch_size, int)
        for place, number in enumerate(chosen):
            arrays[place] = np.load(self.root / f"{self.ids[number]}.npy")
            classes[place] = self.labels[self.ids[number]]
        return arrays, keras.utils.to_categorical(classes, CLASSES)

    def on_epoch_end(self) -> None:
        """Shuffles."""
        self.order = np.random.permutation(len(self.ids))


def make_set(root: Path, samples: int) -> tuple[list[str], dict[str, int]]:
    """Writes the arrays; their ids and labels."""
    random = np.random.default_rng(0)
    ids = [f"id-{number:06d}" for number in range(samples)]
    for name in ids:
        np.save(root / f"{name}.npy", random.random((*DIM, 1), np.float32))
    return ids, {name: number % CLASSES for number, name in enumerate(ids)}


def by_number(generator: Any) -> Callable[[], Iterable[Any]]:
    """An epoch of a generator, batch by batch."""

    def epoch() -> Iterable[Any]:
        for index in range(len(generator)):
            yield generator[index]
        generator.on_epoch_end()

    return epoch


def rate(epoch: Callable[[], Iterable[Any]]) -> float:
    """Samples a second over an epoch."""
    begun = time.perf_counter()
    samples = sum(len(arrays) for arrays, _ in epoch())
    return samples / (time.perf_counter() - begun)


def main() -> None:
    """Measures, and prints a line a contender."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "data").mkdir()
        ids, labels = make_set(root / "data", flags.samples)
        given = tfstream.NpySet(root / "data", labels)
        packed = tfstream.pack(given, root / "packed", progress=False)
        options: Any = {"batch_size": flags.batch_size}
        files = tfstream.keras.DataGenerator(ids, labels, **options, directory=root / "data")
        stream = packed.stream(**options, label="one_hot", drop_remainder=True)
        numpy = packed.to_numpy_iterator(**options, label="one_hot", drop_remainder=True)
        contenders: dict[str, Callable[[], Iterable[Any]]] = {
            "plain generator, .npy files": by_number(
                PlainGenerator(ids, labels, root / "data", flags.batch_size)
            ),
            "tfstream.keras.DataGenerator, .npy files": by_number(files),
            "tfstream.keras.DataGenerator, packed": by_number(
                tfstream.keras.DataGenerator(packed, **options)
            ),
            "to_numpy_iterator, packed": lambda: numpy,
            "stream, packed": lambda: stream,
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(flags.rounds):
            for name, epoch in contenders.items():
                rates[name].append(rate(epoch))
    told = {name: statistics.median(measured) for name, measured in rates.items()}
    if flags.json:
        print(json.dumps(told))
        return
    for name, median in told.items():
        print(f"{name:<42} {median:9,.0f} samples/s")


if __name__ == "__main__":
    main()

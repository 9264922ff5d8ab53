"""Grain over ArrayRecord."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np
import protocol
from array_record.python.array_record_module import ArrayRecordWriter
from decoding import decode
from ilsvrc import Sample


def _write(samples: Sequence[Sample], out: Path) -> None:
    writer = ArrayRecordWriter(str(out / "part.array_record"), "group_size:1,uncompressed")
    for sample in samples:
        writer.write(pickle.dumps(protocol.parsed(sample)))
    writer.close()


class Grain(protocol.Peer):
    """ArrayRecord files of pickled dicts, and threads."""

    title = "Grain, ArrayRecord"
    requirements = ("grain==0.2.18", "array-record==0.8.6", "opencv-python-headless")
    about = "OpenCV; threads, global shuffle; get_state"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """A process a part."""
        protocol.in_processes(_write, samples, out, processes)
        return len(samples)

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """A seed an epoch."""
        seeds = iter(range(1 << 30))
        return lambda: iter(self._batches(source, config, next(seeds)))

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """By the state of an iterator that gave so many."""
        iterator = iter(self._batches(source, config, 0))
        state = iterator.get_state()
        state["next_index"] = batches
        iterator.set_state(state)
        return iterator

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """By number."""
        records = self._source(source)
        return lambda number: self._image(records[number], config)

    def _source(self, source: Path) -> Any:
        return grain.sources.ArrayRecordDataSource(
            sorted(map(str, source.glob("*/*.array_record")))
        )

    def _image(self, record: bytes, config: protocol.Config) -> Any:
        return decode(pickle.loads(record)["image"], config.size)

    def _batches(self, source: Path, config: protocol.Config, seed: int) -> Any:
        return (
            grain.MapDataset.source(self._source(source))
            .shuffle(seed=seed)
            .map(lambda record: self._image(record, config))
            .batch(config.batch, batch_fn=np.stack)
            .to_iter_dataset(grain.ReadOptions(num_threads=2 * config.workers))
        )


PEER = Grain()

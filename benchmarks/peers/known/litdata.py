"""LitData."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import litdata
import protocol
import torch
from decoding import decode
from ilsvrc import Sample


class _Images(litdata.StreamingDataset):
    wanted = (224, 224)

    def __getitem__(self, index: Any) -> Any:
        return torch.from_numpy(decode(super().__getitem__(index)["image"], self.wanted))


class LitData(protocol.Peer):
    """`optimize`, StreamingDataset and StreamingDataLoader."""

    title = "LitData"
    requirements = ("litdata==0.2.76", "torch==2.13.0", "opencv-python-headless")
    about = "OpenCV; chunks of 64 MB; state_dict"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """Its own workers."""
        litdata.optimize(
            fn=protocol.parsed,
            inputs=list(samples),
            output_dir=str(out),
            chunk_bytes="64MB",
            num_workers=processes,
            start_method="fork",
            reorder_files=False,
            verbose=False,
        )
        return len(samples)

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Batches are collated in the workers."""
        loader = self._loader(source, config)
        return lambda: (batch.numpy() for batch in loader)

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """By the state of a loader that gave so many."""
        loader = self._loader(source, config)
        iterator = iter(loader)
        next(iterator)
        given = batches * config.batch
        state = loader.state_dict() | {
            "dataset": loader.dataset.state_dict(given, config.workers, config.batch),
            "num_samples_yielded": given,
        }
        del iterator
        fresh = self._loader(source, config)
        fresh.load_state_dict(state)
        return (batch.numpy() for batch in fresh)

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """By number."""
        return self._images(source, config, shuffle=False).__getitem__

    def _images(self, source: Path, config: protocol.Config, *, shuffle: bool) -> _Images:
        images = _Images(str(source), shuffle=shuffle, seed=1)
        images.wanted = config.size
        return images

    def _loader(self, source: Path, config: protocol.Config) -> litdata.StreamingDataLoader:
        images = self._images(source, config, shuffle=True)
        return litdata.StreamingDataLoader(
            images, batch_size=config.batch, num_workers=config.workers
        )


PEER = LitData()

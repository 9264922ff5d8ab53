"""MosaicML Streaming."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import protocol
import torch
from decoding import decode
from ilsvrc import Sample


def _stand_in_for_torchvision() -> None:
    """Its import needs torchvision for data sets that nobody uses here; wheels of it need CUDA."""
    names = ("torchvision", "torchvision.datasets", "torchvision.transforms")
    made = {name: types.ModuleType(name) for name in (*names, f"{names[-1]}.functional")}
    for name, module in made.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made["torchvision.datasets"].VisionDataset = object
    made["torchvision.transforms.functional"].to_tensor = None
    sys.modules.update(made)


_stand_in_for_torchvision()
import streaming  # noqa: E402
from streaming.base.util import clean_stale_shared_memory, merge_index  # noqa: E402

_COLUMNS = {
    "key": "str",
    "image": "bytes",
    "width": "int",
    "height": "int",
    "label": "int",
    "names": "json",
    "boxes": "bytes",  # its arrays cannot be empty
}


def _write(samples: Sequence[Sample], out: Path) -> None:
    with streaming.MDSWriter(out=str(out), columns=_COLUMNS, exist_ok=True) as writer:
        for sample in samples:
            found = protocol.parsed(sample)
            writer.write({**found, "boxes": np.asarray(found["boxes"], np.float32).tobytes()})


class _Images(streaming.StreamingDataset):
    wanted = (224, 224)

    def __getitem__(self, at: int) -> Any:
        return torch.from_numpy(decode(super().__getitem__(at)["image"], self.wanted))


class MosaicMl(protocol.Peer):
    """MDSWriter, StreamingDataset and StreamingDataLoader."""

    title = "MosaicML Streaming"
    requirements = (
        "mosaicml-streaming==0.13.0",
        "torch==2.13.0",
        "opencv-python-headless",
    )
    about = "OpenCV; shards of 64 MB, a process a part, indexes merged; py1e shuffle; state_dict"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """A process a part."""
        protocol.in_processes(_write, samples, out, processes)
        merge_index(str(out), keep_local=True)
        return len(samples)

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Batches are collated in the workers."""
        loader = self._loader(source, config)
        return lambda: (batch.numpy() for batch in loader)

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """By a state."""
        loader = self._loader(source, config)
        state = loader.dataset.state_dict(num_samples=batches * config.batch, from_beginning=True)
        loader.dataset.load_state_dict(state)
        return (batch.numpy() for batch in loader)

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """By number."""
        return self._images(source, config, shuffle=False).__getitem__

    def _images(self, source: Path, config: protocol.Config, *, shuffle: bool) -> _Images:
        clean_stale_shared_memory()
        images = _Images(local=str(source), shuffle=shuffle, batch_size=config.batch)
        images.wanted = config.size
        return images

    def _loader(self, source: Path, config: protocol.Config) -> streaming.StreamingDataLoader:
        images = self._images(source, config, shuffle=True)
        return streaming.StreamingDataLoader(
            images, batch_size=config.batch, num_workers=config.workers
        )


PEER = MosaicMl()

"""tfstream, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import protocol
from ilsvrc import Sample
from torch.utils.data import DataLoader

import tfstream
from tfstream.packing.packer import pack


class TfstreamTorch(protocol.Peer):
    """`pack` and `to_torch`."""

    title = "**tfstream**, `to_torch`"
    requirements = ("torch==2.13.0", "simplejpeg", "tfstream")
    about = "simplejpeg, without TensorFlow; global shuffle, exact resume"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """As users do; a validation split, where the tree has one, is packed as well."""
        return pack(tree, out, processes=processes, progress=False).total

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """The DataLoader's batches."""
        loader = self._loader(source, config)
        return lambda: (batch[0].numpy().transpose(0, 2, 3, 1) for batch in loader)

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """A state is arithmetic."""
        state = self._records(source, config).state_dict(batches_consumed=batches)
        return (
            batch[0].numpy().transpose(0, 2, 3, 1)
            for batch in self._loader(source, config, state=state)
        )

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """The map-style dataset."""
        records = self._records(source, config, map_style=True)
        return lambda number: records[number][0]

    def _loader(self, source: Path, config: protocol.Config, **more: Any) -> Any:
        records = self._records(source, config, **more)
        return DataLoader(records, batch_size=config.batch, num_workers=config.workers)

    def _records(self, source: Path, config: protocol.Config, **more: Any) -> Any:
        image = tfstream.ImageSpec(size=config.size, dtype="uint8")
        data = tfstream.open(source).split("train")
        return data.to_torch(batch_size=config.batch, image=image, **more)


PEER = TfstreamTorch()

"""tfstream, in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import protocol
import tensorflow as tf  # noqa: F401 (its import belongs to no measurement)
from ilsvrc import Sample

import tfstream
from tfstream.packing.packer import pack


class Tfstream(protocol.Peer):
    """`pack` and `stream`."""

    title = "**tfstream**"
    requirements = ("tensorflow==2.21.0", "tfstream")
    about = "global shuffle, CRCs checked, exact resume; fused native resize"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """As users do; a validation split, where the tree has one, is packed as well."""
        return pack(tree, out, processes=processes, progress=False).total

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Streams count their epochs themselves."""
        stream = self._stream(source, config)
        return lambda: (batch[0].numpy() for batch in stream)

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """A state is arithmetic."""
        state = self._stream(source, config).state(batches_consumed=batches)
        return (batch[0].numpy() for batch in self._stream(source, config, state=state))

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """By the index; the record's annotation is decoded as well."""
        data = tfstream.open(source).split("train")
        return lambda number: data[number]["image"]

    def _stream(self, source: Path, config: protocol.Config, **more: Any) -> Any:
        image = tfstream.ImageSpec(size=config.size, dtype="uint8")
        data = tfstream.open(source).split("train")
        return data.stream(batch_size=config.batch, image=image, label="index", **more)


PEER = Tfstream()

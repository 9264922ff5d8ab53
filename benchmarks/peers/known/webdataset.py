"""WebDataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import protocol
import torch
import webdataset
from decoding import decode
from ilsvrc import Sample


def _write(samples: Sequence[Sample], out: Path) -> None:
    with webdataset.ShardWriter(str(out / "%05d.tar"), maxsize=64 << 20, verbose=0) as writer:
        for sample in samples:
            values = protocol.parsed(sample)
            notes = {name: values[name] for name in ("width", "height", "label", "names")}
            notes["boxes"] = values["boxes"].tolist()
            text = json.dumps(notes).encode()
            writer.write({"__key__": values["key"], "jpg": values["image"], "json": text})


class WebDataset(protocol.Peer):
    """Tar files."""

    title = "WebDataset"
    requirements = ("webdataset==1.0.2", "torch==2.13.0", "opencv-python-headless")
    about = "OpenCV; shards and a buffer of 1,000 shuffled; no random access, no resume"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """A process a part."""
        protocol.in_processes(_write, samples, out, processes)
        return len(samples)

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Batches are made in the workers."""
        shards = sorted(map(str, source.glob("*/*.tar")))

        def image(sample: dict[str, Any]) -> Any:
            return torch.from_numpy(decode(sample["jpg"], config.size))

        dataset = (
            webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
            .shuffle(1000)
            .map(image)
            .batched(config.batch, collation_fn=torch.stack)
        )
        loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=config.workers)
        return lambda: (batch.numpy() for batch in loader)


PEER = WebDataset()

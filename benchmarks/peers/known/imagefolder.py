"""PyTorch's ImageFolder: a file an image, in a DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import protocol
import torch
from decoding import decode
from ilsvrc import samples
from torch.utils.data import DataLoader, Dataset


class _Folder(Dataset):
    """What torchvision's ImageFolder does, with a decoder of one's own (its `loader=`)."""

    def __init__(self, source: Path, config: protocol.Config) -> None:
        self._paths = [each.image for each in samples(source)]
        self._config = config

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> Any:
        data = Path(self._paths[number]).read_bytes()
        return torch.from_numpy(decode(data, self._config.size))


class ImageFolder(protocol.Peer):
    """Files."""

    title = "torch ImageFolder"
    requirements = ("torch==2.13.0", "opencv-python-headless")
    about = "files, OpenCV; exact shuffle; no resume"
    writes = False

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Batches are collated in the workers."""
        loader = DataLoader(
            _Folder(source, config),
            batch_size=config.batch,
            shuffle=True,
            num_workers=config.workers,
        )
        return lambda: (batch.numpy() for batch in loader)

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """By number."""
        return _Folder(source, config).__getitem__


PEER = ImageFolder()

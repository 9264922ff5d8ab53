"""What a peer is: one way to pack images and to read them, that the others are compared with."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ilsvrc import Sample, annotation

__all__ = ["PEERS", "Config", "Peer", "in_processes", "load", "parsed"]

# Of the modules in known/.
PEERS = (
    "tfstream_stream",
    "tfstream_torch",
    "tfdata",
    "tfds",
    "keras_pydataset",
    "keras_directory",
    "webdataset",
    "litdata",
    "mosaicml",
    "grain",
    "imagefolder",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What all peers are asked for.

    Attributes:
        size: (height, width) of the images, in pixels.
        batch: Images a batch.
        workers: Processes, or threads where a peer has those, that make batches.
    """

    size: tuple[int, int] = (224, 224)
    batch: int = 64
    workers: int = 2


class Peer:
    """One peer, with the best settings that are known to us.

    Attributes:
        title: What the table calls it.
        requirements: What pip installs for it.
        about: Settings that matter, and what it does not do.
        writes: Whether it packs; if not, it reads the files of the tree.
    """

    title: ClassVar[str]
    requirements: ClassVar[tuple[str, ...]]
    about: ClassVar[str]
    writes: ClassVar[bool] = True

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """Packs images with their annotations, parsed: boxes, names, sizes.

        Args:
            tree: Where they lie.
            samples: Those of split train.
            out: A directory that is not there yet.
            processes: How many it may use.

        Returns:
            How many images it packed.
        """
        raise NotImplementedError

    def epochs(self, source: Path, config: Config) -> Callable[[], Iterator[Any]]:
        """Gives a function that begins the next epoch, shuffled as well as the peer can.

        Args:
            source: What was packed; the tree itself where the peer does not pack.
            config: What batches are to be: uint8 [batch, height, width, 3].
        """
        raise NotImplementedError

    def resume(self, source: Path, config: Config, batches: int) -> Iterator[Any]:
        """The rest of an epoch, of which so many batches were consumed before.

        Without a way of its own it reads the others, and throws them away.
        """
        return itertools.islice(self.epochs(source, config)(), batches, None)

    def picker(self, source: Path, config: Config) -> Callable[[int], Any] | None:
        """Gives a function from a number to that record's decoded image; None: it has none."""
        return None


def load(name: str) -> Peer:
    """The peer of a module in known/.

    Raises:
        ImportError: What it needs is not installed.
    """
    peer: Peer = importlib.import_module(f"known.{name}").PEER
    return peer


def parsed(sample: Sample) -> dict[str, Any]:
    """The image's bytes and all that its annotation says, as most peers store it."""
    found = annotation(sample)
    return {
        "key": sample.key,
        "image": Path(sample.image).read_bytes(),
        "width": found.width,
        "height": found.height,
        "label": found.label,
        "names": found.names,
        "boxes": np.array(found.boxes, np.float32).reshape(-1, 4),
    }


def in_processes(
    work: Callable[[Sequence[Sample], Path], None],
    samples: Sequence[Sample],
    out: Path,
    processes: int,
) -> list[Path]:
    """Has forked processes pack equal parts, each into a directory of its own; gives these."""
    import multiprocessing

    fork = multiprocessing.get_context("fork")
    parts = [out / f"{number:02d}" for number in range(processes)]
    bounds = [number * len(samples) // processes for number in range(processes + 1)]
    running = []
    for part, (begin, end) in zip(parts, itertools.pairwise(bounds), strict=True):
        part.mkdir(parents=True)
        running.append(fork.Process(target=work, args=(samples[begin:end], part)))
        running[-1].start()
    for each in running:
        each.join()
        if each.exitcode:
            raise RuntimeError(f"a process that packed ended with status {each.exitcode}")
    return parts

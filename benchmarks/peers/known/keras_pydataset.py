"""Keras's PyDataset over the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import protocol
from decoding import decode
from ilsvrc import samples


class _Files(keras.utils.PyDataset):
    def __init__(self, paths: list[str], config: protocol.Config, workers: int) -> None:
        super().__init__(workers=workers, use_multiprocessing=False, max_queue_size=8)
        self._paths = np.array(paths)
        self._config = config

    def __len__(self) -> int:
        return -(-len(self._paths) // self._config.batch)

    def __getitem__(self, number: int) -> Any:
        batch = self._config.batch
        some = self._paths[number * batch : (number + 1) * batch]
        images = [decode(Path(path).read_bytes(), self._config.size) for path in some]
        return np.stack(images), np.zeros(len(images))

    def on_epoch_end(self) -> None:
        np.random.default_rng().shuffle(self._paths)


class PyDataset(protocol.Peer):
    """Batches by number, asked for by threads of ours, in the place of Keras's enqueuer."""

    title = "Keras PyDataset"
    requirements = ("tensorflow==2.21.0", "opencv-python-headless")
    about = "files, OpenCV, threads; a batch of any number is at hand"
    writes = False

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Batch after batch, a few ahead."""
        files = self._files(source, config)
        return lambda: self._iterate(files, 0)

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """Begins at a batch's number."""
        return self._iterate(self._files(source, config), batches)

    def picker(self, source: Path, config: protocol.Config) -> Callable[[int], Any]:
        """A file is read."""
        paths = [each.image for each in samples(source)]
        return lambda number: decode(Path(paths[number]).read_bytes(), config.size)

    def _files(self, source: Path, config: protocol.Config) -> _Files:
        return _Files([each.image for each in samples(source)], config, config.workers)

    def _iterate(self, files: _Files, begin: int) -> Iterator[Any]:
        from concurrent.futures import ThreadPoolExecutor

        ahead = 2 * files.workers
        with ThreadPoolExecutor(files.workers) as pool:
            waiting: list[Any] = []
            for number in range(begin, len(files)):
                waiting.append(pool.submit(files.__getitem__, number))
                if len(waiting) > ahead:
                    yield waiting.pop(0).result()[0]
            for each in waiting:
                yield each.result()[0]
        files.on_epoch_end()


PEER = PyDataset()

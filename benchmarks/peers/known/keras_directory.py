"""Keras's image_dataset_from_directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import protocol
import tensorflow as tf


class Directory(protocol.Peer):
    """A folder a class."""

    title = "Keras `image_dataset_from_directory`"
    requirements = ("tensorflow==2.21.0",)
    about = "files, TensorFlow's decoder, float32 made uint8; resume by skip"
    writes = False

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Shuffled by the names of the files."""
        ds = self._batches(source, config)
        return lambda: iter(ds.as_numpy_iterator())

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """Skips batches, which still makes them."""
        return iter(self._batches(source, config).skip(batches).as_numpy_iterator())

    def _batches(self, source: Path, config: protocol.Config) -> tf.data.Dataset:
        ds = keras.utils.image_dataset_from_directory(
            source / "Data" / "DET" / "train",
            batch_size=config.batch,
            image_size=config.size,
            shuffle=True,
            seed=1,
            verbose=False,
        )
        return ds.map(lambda images, _: tf.cast(tf.round(images), tf.uint8)).prefetch(2)


PEER = Directory()

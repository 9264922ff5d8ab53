"""Keras's well-known data generator, over ids and `.npy` files, or over packed records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfstream.adapters.generated import FileSamples, PackedSamples, Samples
from tfstream.dataset import PackedDataset
from tfstream.errors import InvalidArgumentError
from tfstream.order import Order

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["DataGenerator"]


class DataGenerator(keras.utils.PyDataset):
    """Batches (X, y) by number, for `model.fit` on any of Keras's backends.

    X is [batch_size, *dim, n_channels]; y is float32 [batch_size, n_classes], one-hot; of packed
    rows whose targets are numbers, these. An epoch has full batches only: what is left over
    is in another epoch's. Each epoch is another permutation of the samples, which follows from
    `seed` and the epoch alone, in however many workers. (`fit` permutes the numbers of the batches
    besides, by Python's own random numbers, unless it is given `shuffle=False`.)

    Args:
        ids: The samples' ids, of files `ID.npy`; or a packed dataset, in whose place no more is
            needed, but for images `dim`.
        labels: The class of each id, from 0; None: that of the packed records.
        batch_size: Samples a batch.
        dim: Lengths of an array's axes but for the channels; None: as the arrays are. Of packed
            images: height and width, to which they are resized (uint8, 0 to 255).
        n_channels: Length of the last axis; with 1, arrays may lack it. Of packed images: 3.
        n_classes: None: one more than the highest label, or those of the dataset.
        shuffle: False: the order of the ids, or of the dataset, in each epoch.
        directory: Where the files are.
        seed: Of the order, 0 to 2**63 - 1.
        workers: How many threads or processes of Keras make batches.
        use_multiprocessing: Processes.
        max_queue_size: Batches that are made before they are asked for, where there are workers.

    Raises:
        InvalidArgumentError: An argument cannot be used; an id has no label, is there twice, or
            leads out of the directory.
        AnnotationError: A file is no array of numbers, or not as the others; raised when it is
            read. MissingImageError: it is not there.

    >>> train = DataGenerator(ids, labels, batch_size=32, dim=(32, 32, 32))    # doctest: +SKIP
    >>> model.fit(train, epochs=10)                                          # doctest: +SKIP
    >>> packed = tfstream.open("packed").split("train")                      # doctest: +SKIP
    >>> model.fit(DataGenerator(packed, dim=(224, 224), n_channels=3))       # doctest: +SKIP
    """

    def __init__(
        self,
        ids: Iterable[str] | PackedDataset,
        labels: Mapping[str, int] | None = None,
        batch_size: int = 32,
        dim: tuple[int, ...] | None = None,
        n_channels: int = 1,
        n_classes: int | None = None,
        shuffle: bool = True,
        *,
        directory: str | os.PathLike[str] = "data",
        seed: int = 0,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        super().__init__(workers, use_multiprocessing, max_queue_size)
        self._samples: Samples
        if isinstance(ids, PackedDataset):
            if labels is not None:
                raise InvalidArgumentError(
                    "a packed dataset has its labels already: leave labels out"
                )
            self._samples = PackedSamples.of(ids, dim, n_channels)
        else:
            self._samples = FileSamples.of(ids, labels, directory)
        spec = self._samples.spec
        shape = spec.shape if dim is None else (*dim, n_channels)
        if dim is not None and spec.shape not in (
            shape,
            *([tuple(dim)] if n_channels == 1 else []),
        ):
            raise InvalidArgumentError(
                f"dim {tuple(dim)} and n_channels {n_channels} make {list(shape)}, and the arrays "
                f"are {spec}"
            )
        if isinstance(batch_size, bool) or not 1 <= batch_size <= len(self._samples):
            raise InvalidArgumentError(
                f"batch_size must be 1 to {len(self._samples)}, the number of samples (got "
                f"{batch_size!r})"
            )
        self._shape = shape
        self._batch_size = batch_size
        self._order = Order(len(self._samples), seed=seed, shuffle=shuffle)
        self._epoch = 0
        self._classes = self._samples.classes if n_classes is None else n_classes
        if self._samples.classes > self._classes:
            raise InvalidArgumentError(
                f"n_classes is {n_classes}, and there is the label {self._samples.classes - 1}: "
                "labels are 0 to n_classes - 1"
            )

    def __len__(self) -> int:
        """Full batches of an epoch."""
        return len(self._samples) // self._batch_size

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """A batch of the present epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        begin = index * self._batch_size
        positions = np.arange(begin, begin + self._batch_size, dtype=np.int64)
        numbers = self._order.records_at(positions, self._epoch)
        arrays, predicted = self._samples.read(numbers)
        if predicted.dtype.kind == "i":
            # An image without a label, -1, is of no class.
            predicted = (predicted[:, None] == np.arange(self._classes)).astype(np.float32)
        return arrays.reshape(-1, *self._shape), predicted

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch's order; Keras calls it."""
        self._epoch += 1

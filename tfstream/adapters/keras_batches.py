"""Batches that Keras takes for its own: a `keras.utils.PyDataset`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import keras

from tfstream.adapters.batches import Batch, Batches

__all__ = ["KerasBatches"]

# Keras looks at two batches before an epoch begins, to learn their shapes.
_MOST_LOOKED_AT = 8


class KerasBatches(Batches, keras.utils.PyDataset):
    """The batches of one split, for `model.fit` and for `for`.

    Keras asks for batches by number, shuffled or not; it is given the next one, whatever the
    number, because samples that the callback skips move all others. So each of its epochs is
    one of ours; with `steps_per_epoch` it goes on where it stopped. Where samples are skipped, a
    first call of `fit`, `evaluate` or `predict` takes as many batches as if none were, the last
    ones from the next epoch; later ones know better.
    """

    def __init__(self, *arguments: Any) -> None:
        Batches.__init__(self, *arguments)
        keras.utils.PyDataset.__init__(self)
        self._lock = threading.Lock()
        self._current: Iterator[Batch] | None = None
        self._looked_at: deque[Batch] = deque()
        self._again: deque[Batch] = deque()
        self._within_epoch = False
        self._told = len(self)

    @property
    def num_batches(self) -> int | None:
        """Batches an epoch; None: without end."""
        if not self._within_epoch:  # else it counts on what it was told before
            self._told = len(self)
        return None if self._plan.is_infinite else self._told

    def __getitem__(self, index: int) -> Batch:
        """The next batch."""
        with self._lock:
            if self._again:
                return self._again.popleft()
            batch = self._next()
            if not self._within_epoch:
                self._looked_at.append(batch)
                if len(self._looked_at) > _MOST_LOOKED_AT:  # it is no look, but somebody's loop
                    self._looked_at.clear()
            return batch

    def __iter__(self) -> Iterator[Batch]:
        return Batches.__iter__(self)

    def _next(self) -> Batch:
        for _ in range(2):
            if self._current is None:
                self._current = self.epoch()
            batch = next(self._current, None)
            if batch is not None:
                return batch
            self._current = None
        raise self._nothing()

    def on_epoch_begin(self) -> None:
        """Gives what was only looked at again; without shuffling, begins at the beginning."""
        with self._lock:
            self._within_epoch = True
            self._again.extend(self._looked_at)
            self._looked_at.clear()
            if not self._plan.shuffle and not self._plan.is_infinite:
                self._again.clear()
                self._current = None

    def on_epoch_end(self) -> None:
        """Is told by Keras."""
        with self._lock:
            self._within_epoch = False

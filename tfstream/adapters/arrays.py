"""Batches of numpy arrays in the order of streams, made by threads: for JAX, and whoever else."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.adapters.recipe import Read, Recipe
from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.position import Position

__all__ = ["NumpyBatches"]

_ORDERED_AT_ONCE = 1024  # positions: the arithmetic is done on arrays


@dataclasses.dataclass(frozen=True)
class _Making:
    """How batches are made: see `PackedDataset.to_numpy_iterator`."""

    transform: Callable[..., Any] | None
    skip_corrupt: bool
    prefetch: int
    threads: int | None


class NumpyBatches:
    """An iterable of batches; made by `PackedDataset.to_numpy_iterator`.

    Each iteration is the next epoch. Its length is the number of batches of an epoch.

    Attributes:
        recipe: How samples are made.
        position: Their order, what this worker takes of it, and where it began.
    """

    def __init__(
        self,
        recipe: Recipe,
        position: Position,
        *,
        transform: Callable[..., Any] | None,
        skip_corrupt: bool,
        prefetch: int,
        threads: int | None,
    ) -> None:
        if isinstance(recipe.parts.image, str):
            raise InvalidArgumentError(
                "image must be a tfstream.ImageSpec, tfstream.RAW or None, as pictures of other "
                f"sizes make no batch (got {recipe.parts.image!r})"
            )
        if prefetch < 0 or (threads is not None and threads < 1):
            raise InvalidArgumentError(
                f"prefetch must be 0 or more, and threads positive (got {prefetch}, {threads})"
            )
        self.recipe = recipe
        self.position = position
        self._making = _Making(transform, skip_corrupt, prefetch, threads)
        self._next = position.begin
        self._current = (*position.begin, 0)  # epoch, position, samples delivered

    def __len__(self) -> int:
        return self.position.share.steps

    def __iter__(self) -> Iterator[Any]:
        epoch, position = self._next
        self._next = (epoch + 1, 0)
        self._current = (epoch, position, 0)
        making, share = self._making, self.position.share
        batch_size = share.batch_size or 1
        delivered = 0
        with ThreadPoolExecutor(making.threads or os.cpu_count(), "tfstream-decode") as pool:
            reads = self.recipe.read(
                self.position.order,
                epoch,
                self._positions(position),
                skip_corrupt=making.skip_corrupt,
            )
            under_way: deque[Future[Any]] = deque()
            try:
                while True:
                    room = (making.prefetch + 1) * batch_size - len(under_way)
                    some = itertools.islice(reads, room)
                    under_way.extend(pool.submit(self._make, read) for read in some)
                    batch: list[Any] = []
                    while under_way and len(batch) < batch_size:
                        made = under_way.popleft().result()
                        delivered += 1
                        batch += made
                    if not batch or (share.drop_remainder and len(batch) < batch_size):
                        return
                    if self._current[:2] == (epoch, position):
                        self._current = (epoch, position, delivered)
                    yield _stack(batch)
            finally:
                for future in under_way:
                    future.cancel()

    def _positions(self, position: int) -> Iterator[npt.NDArray[np.int64]]:
        share = self.position.share
        rank, ranks = share.world
        first, left = int(share.first(position)), int(share.left(position))
        for begin in range(0, left, _ORDERED_AT_ONCE):
            own = np.arange(begin, min(begin + _ORDERED_AT_ONCE, left), dtype=np.int64)
            yield (first + own) * ranks + rank

    def _make(self, read: Read) -> list[Any]:
        """The element of a sample; none where a record is corrupt."""
        made = self.recipe.make(read)
        if made is None:
            return []
        spec = self.recipe.parts.image
        if isinstance(spec, ImageSpec) and spec.dtype == "bfloat16":
            import ml_dtypes

            made["image"] = made["image"].astype(ml_dtypes.bfloat16)
        transform = self._making.transform
        if transform is not None:  # which may write to what it is given
            for name in self.recipe.parts.tensors:
                made[name] = np.array(made[name])
        out = self.recipe.shape(made)
        if transform is not None:
            out = transform(*out) if isinstance(out, tuple) else transform(out)
        return [out]

    def state(self) -> dict[str, Any]:
        """Where the iteration is: what `restore` goes on from, and streams as well.

        See `StreamDataset.state`: samples count once their batch was delivered.
        """
        epoch, position, delivered = self._current
        share = self.position.share
        position = min(position + delivered * share.world[1], share.records)
        return self.position.state((epoch, position, 0, 0), 0)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Has the next iteration begin where a state was taken; those after it follow.

        Raises:
            StateError: It belongs to another stream; the message shows what differs.
        """
        self._next = self.position.begin_of(state)
        self._current = (*self._next, 0)


def _stack(elements: list[Any]) -> Any:
    """Elements as a batch: arrays where they have one shape, else lists."""
    first = elements[0]
    if isinstance(first, dict):
        return {name: _stack([element[name] for element in elements]) for name in first}
    if isinstance(first, tuple):
        return tuple(_stack(list(parts)) for parts in zip(*elements, strict=True))
    if isinstance(first, np.ndarray):
        return np.stack(elements) if len({each.shape for each in elements}) == 1 else elements
    return np.array(elements) if isinstance(first, int | float | bool | str) else elements

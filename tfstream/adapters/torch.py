"""PyTorch datasets of packed records: an iterable one in the order of streams, one by number."""

from __future__ import annotations

import dataclasses
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed
import torch.utils.data

from tfstream.adapters.iterations import Iterations
from tfstream.adapters.recipe import Recipe
from tfstream.errors import InvalidArgumentError, StateError
from tfstream.images import ImageSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.order import Order
    from tfstream.position import Position

__all__ = ["TorchDataset", "TorchMapDataset", "rank"]

_ORDERED_AT_ONCE = 1024  # positions: the arithmetic is done on arrays


# Of the state that a DataLoader's worker gives.
_OF_WORKERS = ("worker", "workers", "batch_size", "ranks")


def rank() -> tuple[int, int]:
    """Which of how many processes this one is, as torch.distributed or torchrun say."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _finish(recipe: Recipe, made: dict[str, Any], transform: Callable[..., Any] | None) -> Any:
    """The element that a sample gives: tensors for arrays, transformed."""
    for name, value in made.items():
        if isinstance(value, np.ndarray):
            made[name] = _tensor(value)
        elif isinstance(value, list) and name != "key":
            made[name] = [_tensor(each) for each in value]
    spec = recipe.parts.image
    if isinstance(spec, ImageSpec) and spec.dtype == "bfloat16":
        made["image"] = made["image"].to(torch.bfloat16)
    out = recipe.shape(made)
    if transform is None:
        return out
    return transform(*out) if isinstance(out, tuple) else transform(out)


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value if value.flags.writeable else value.copy())


class TorchDataset(torch.utils.data.IterableDataset[Any]):
    """Samples in the order of streams; made by `PackedDataset.to_torch`.

    Each iteration is the next epoch, whether a DataLoader's workers persist or not. Its length is
    the number of samples of an epoch that this rank takes.

    Attributes:
        batch_size: Consecutive samples that one worker makes.
        block_size: Consecutive elements that stay together in the shuffle.
    """

    def __init__(
        self,
        recipe: Recipe,
        position: Position,
        transform: Callable[..., Any] | None,
        *,
        skip_corrupt: bool,
    ) -> None:
        self._recipe = recipe
        self._position = position
        self._transform = transform
        self._skip_corrupt = skip_corrupt
        self.batch_size = position.share.batch_size or 1
        self.block_size = position.order.block_size
        self._iterations = Iterations(*position.begin)
        self._begun = 0  # iterations, in this process
        # Of the newest iteration in this process: epoch, position, samples delivered.
        self._current: tuple[int, int, int] | None = None
        self._restored: tuple[int, int, int] | None = None  # the same, in a DataLoader's worker

    def __len__(self) -> int:
        return self._position.share.samples

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        if worker is None:
            return self._iterate(None, 0, 1)
        self._begun += 1
        if self._begun == 1:
            # What the process was born with is not garbage: going through it again and again is 5 %
            # of a worker's time.
            gc.freeze()
        if self._restored is not None:
            self._current, self._restored = self._restored, None
        else:
            # Not when the first sample is asked for: other workers may be epochs ahead by then.
            begun = self._iterations.begin(self._iteration(worker, self._begun), worker.id)
            self._current = (*begun, 0)
        return self._iterate(self._current, worker.id, worker.num_workers)

    @staticmethod
    def _iteration(worker: Any, begun: int) -> str:
        """What all workers of an iteration know it by."""
        return f"{worker.seed - worker.id} {begun} {worker.num_workers}"

    def _iterate(self, begun: tuple[int, int, int] | None, index: int, count: int) -> Iterator[Any]:
        if begun is None:
            begun = (*self._iterations.begin(), 0)
        epoch, position, delivered = self._current = begun
        recipe, share, order = self._recipe, self._position.share, self._position.order
        rank, ranks = share.world
        first, left = int(share.first(position)), int(share.left(position))

        def positions() -> Iterator[npt.NDArray[np.int64]]:
            begin = delivered
            while len(
                own := _own(begin, begin + _ORDERED_AT_ONCE, left, self.batch_size, index, count)
            ):
                yield (first + own) * ranks + rank
                begin += _ORDERED_AT_ONCE

        for read in recipe.read(
            order, epoch, positions(), skip_corrupt=self._skip_corrupt, share=count
        ):
            delivered += 1
            made = recipe.make(read)
            if made is None:
                continue
            if self._current[:2] == (epoch, position):  # no other iteration has begun since
                self._current = (epoch, position, delivered)
            yield _finish(recipe, made, self._transform)

    def _worker(self, worker: Any) -> dict[str, Any]:
        """What the state of a DataLoader's worker is only good for."""
        ranks = self._position.share.world[1]
        own = (worker.id, worker.num_workers, self.batch_size, ranks)
        return dict(zip(_OF_WORKERS, own, strict=True))

    def set_epoch(self, epoch: int) -> None:
        """Has the next iteration be of this epoch, those after it of the following ones.

        Args:
            epoch: 0, 1, 2 ...
        """
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise InvalidArgumentError(f"an epoch is a number, 0 or more (got {epoch!r})")
        self._iterations.begin_at(epoch, 0)
        self._current = None

    def state_dict(self, *, batches_consumed: int | None = None) -> dict[str, Any]:
        """Where the dataset is; what `load_state_dict` goes on from.

        Args:
            batches_consumed: Batches of `batch_size` that this rank has used since the dataset was
                made, `set_epoch` or `load_state_dict`, all epochs together. None: the samples that
                were taken from the dataset in this process; the workers of a DataLoader
                take them in theirs, which torchdata's StatefulDataLoader keeps account of.

        Returns:
            What `StreamDataset.state` gives, which streams take as well. In a DataLoader's worker
            also what tells it from the others.

        Raises:
            InvalidArgumentError: Other processes took the samples.
        """
        worker = torch.utils.data.get_worker_info()
        if batches_consumed is not None:
            return self._position.state((*self._iterations.begun_at(), 0, 0), batches_consumed)
        if worker is not None:
            epoch, position, delivered = (
                self._restored or self._current or (*self._iterations.next(), 0)
            )
            known = self._position.state((0, 0, 0, 0), 0)
            place = {"epoch": epoch, "position": position, "delivered": delivered}
            return {**known, **place, **self._worker(worker)}
        begun = self._iterations.next()
        if self._current is not None and begun == (self._current[0] + 1, 0):
            epoch, position, delivered = self._current
            share = self._position.share
            # Of a worker that took all, the last samples may be fewer than one for each.
            position = min(position + delivered * share.world[1], share.records)
            return self._position.state((epoch, position, 0, 0), 0)
        if begun != self._iterations.begun_at():
            raise InvalidArgumentError(
                "the samples were taken in the workers of a DataLoader: give batches_consumed, or "
                "use torchdata's StatefulDataLoader and its state_dict"
            )
        return self._position.state((*begun, 0, 0), 0)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Has the next iteration begin where a state was taken; those after it follow.

        Args:
            state_dict: What `state_dict` gave, or `StreamDataset.state`, of the same records in the
                same order; `world`, `batch_size` and the number of workers may be others.

        Raises:
            StateError: It belongs to another dataset; the message shows what differs.
        """
        worker = torch.utils.data.get_worker_info()
        begin = self._position.begin_of(state_dict)
        of = {name: state_dict[name] for name in _OF_WORKERS if name in state_dict}
        if of and of != (here := {} if worker is None else self._worker(worker)):
            raise StateError(
                f"the state is that of one worker of a DataLoader ({_shown(of)}), and this is "
                f"{_shown(here) or 'no worker'}: give the whole state of a StatefulDataLoader to "
                "one of the same kind, or keep state_dict(batches_consumed=...), which any number "
                "of workers can go on from"
            )
        if not of:
            self._iterations.begin_at(*begin)
            self._current = None
            return
        # As it was: at the end of an epoch, so that the loader's last iteration ends as well.
        epoch, position = state_dict["epoch"], state_dict["position"]
        self._iterations.resume(epoch, position)
        self._restored = (epoch, position, state_dict["delivered"])


def _shown(own: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in own.items())


def _own(
    begin: int, end: int, left: int, batch_size: int, worker: int, workers: int
) -> npt.NDArray[np.int64]:
    """Which of a rank's samples a worker of a DataLoader takes: every so many batches one.

    DataLoader takes a batch from each worker in turn: so it gives the batches in the order that
    one worker alone would.

    Args:
        begin: Of the worker's own samples, the first that is asked for.
        end: The one after the last.
        left: How many samples the rank takes at all.
        batch_size: Samples a batch.
        worker: Which of the workers.
        workers: How many there are.

    Returns:
        int64 [n], ascending.

    >>> _own(0, 9, 9, batch_size=2, worker=1, workers=2).tolist()
    [2, 3, 6, 7]
    """
    own = np.arange(begin, end, dtype=np.int64)
    out = (own // batch_size * workers + worker) * batch_size + own % batch_size
    return out[out < left]


class TorchMapDataset(torch.utils.data.Dataset[Any]):
    """Samples by number, in the dataset's order; made by `PackedDataset.to_torch`.

    Its random crops and flips are those of an epoch, which `set_epoch` sets.
    """

    def __init__(self, recipe: Recipe, order: Order, transform: Callable[..., Any] | None) -> None:
        self._recipe = recipe
        self._order = dataclasses.replace(order, shuffle=False)
        self._transform = transform
        self._epoch = 0

    def __len__(self) -> int:
        return self._order.records

    def set_epoch(self, epoch: int) -> None:
        """Has samples be augmented as in this epoch, in workers that begin after this."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Several samples at once, as DataLoader asks for a batch of them."""
        numbers = np.array(indices, np.int64)
        count = len(self)
        wrong = numbers[(numbers < -count) | (numbers >= count)]
        if wrong.size:
            raise IndexError(f"sample {wrong[0]} of {count}")
        numbers = np.where(numbers < 0, numbers + count, numbers)
        reads = self._recipe.read(self._order, self._epoch, iter([numbers]), skip_corrupt=False)
        made = (self._recipe.make(read) for read in reads)
        return [_finish(self._recipe, each, self._transform) for each in made if each is not None]

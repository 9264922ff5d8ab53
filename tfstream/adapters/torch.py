"""PyTorch datasets of packed records: an iterable one in the order of streams, one by number."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed
import torch.utils.data

from tfstream.adapters.iterations import Iterations
from tfstream.adapters.reading import LocalRecords, RemoteRecords
from tfstream.adapters.samples import Parts, make
from tfstream.errors import InvalidArgumentError, StateError
from tfstream.images import ImageSpec
from tfstream.position import Identity
from tfstream.sizes import parse_size
from tfstream.streaming import position_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.format.label_map import LabelMap
    from tfstream.opened import OpenedVersion
    from tfstream.order import Order
    from tfstream.position import Position
    from tfstream.selection import Selection
    from tfstream.stored import StoredRecords

__all__ = ["TorchDataset", "TorchMapDataset", "dataset_of"]

_ORDERED_AT_ONCE = 1024  # positions: the arithmetic is done on arrays


def dataset_of(
    version: OpenedVersion,
    splits: tuple[str, ...],
    selection: Selection | None,
    stored: StoredRecords,
    *,
    what: str,
    parts: Parts,
    batch_size: int,
    world: tuple[int, int] | None,
    transform: Callable[..., Any] | None,
    on_corrupt: str,
    read_ahead: int | str,
    state: Mapping[str, Any] | None,
    map_style: bool,
    **order: Any,
) -> TorchDataset | TorchMapDataset:
    """Makes the dataset that `PackedDataset.to_torch` describes, with its arguments.

    Args:
        version: The version.
        splits: Whose records are numbered.
        selection: The elements; None: all records of the splits.
        stored: Where its records are.
        what: The dataset and how its records were chosen, for messages.
        parts: What a sample holds.
        batch_size: See there, as what follows.
        world: See there.
        transform: See there.
        on_corrupt: See there.
        read_ahead: See there.
        state: See there.
        map_style: See there.
        order: What `tfstream.streaming.position_of` takes as it is.
    """
    if selection is not None and selection.elements.ndim > 1:
        raise InvalidArgumentError(
            f"{what} has data points, which to_torch does not make: take their members from "
            "data[number], or train from data.stream()"
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise InvalidArgumentError(f"batch_size must be a positive integer (got {batch_size!r})")
    if on_corrupt not in ("raise", "skip"):
        raise InvalidArgumentError(f'on_corrupt must be "raise" or "skip" (got {on_corrupt!r})')
    position = position_of(
        version,
        splits,
        selection,
        what=what,
        world=_rank() if world is None else world,
        batch_size=batch_size,
        pad_remainder=False,
        epochs=None,
        counted=True,
        **order,
    )
    # Worked out now: what knows the dataset itself does not travel to other processes.
    known = functools.partial(Identity, **dataclasses.asdict(position.identity()))
    position = dataclasses.replace(position, identity=known)
    spec = version.spec_of(splits)
    records: LocalRecords | RemoteRecords
    if spec is None:
        records = LocalRecords(stored.table)
    else:
        ahead = parse_size(read_ahead, "read_ahead")
        records = RemoteRecords(spec, stored.numbers, version.mean_bytes(splits), ahead)
    recipe = Recipe(parts, version.labels, records, transform)
    if not map_style:
        return TorchDataset(recipe, position.at(state), skip_corrupt=on_corrupt == "skip")
    if state is not None or on_corrupt == "skip":
        raise InvalidArgumentError(
            "a map-style dataset has neither a state nor a place to leave out what is corrupt: its "
            "sampler chooses the samples (got "
            f"{'state' if state is not None else 'on_corrupt'} with map_style=True)"
        )
    return TorchMapDataset(recipe, position.order)


def _rank() -> tuple[int, int]:
    """Which of how many processes this one is, as torch.distributed or torchrun say."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """How a sample is made of a record.

    Attributes:
        parts: What it holds.
        labels: The dataset's label map.
        records: The selected records.
        transform: Called on each sample, in the worker; None: nothing is.
    """

    parts: Parts
    labels: LabelMap
    records: LocalRecords | RemoteRecords
    transform: Callable[..., Any] | None

    def sample(self, payload: bytes, number: int, draws: npt.NDArray[np.float32]) -> Any:
        """Makes a sample of a record that was read.

        Raises:
            CorruptRecordError: Its image cannot be decoded.
        """
        place = self.records.place_of(number)
        made = make(self.parts, self.labels, payload, draws, place=place)
        image = made.get("image")
        if isinstance(image, np.ndarray):
            tensor = torch.from_numpy(image).permute(2, 0, 1)
            if isinstance(self.parts.image, ImageSpec) and self.parts.image.dtype == "bfloat16":
                tensor = tensor.to(torch.bfloat16)
            made["image"] = tensor
        for name in ("label", "boxes", "box_labels"):
            if isinstance(made.get(name), np.ndarray):
                made[name] = torch.from_numpy(made[name])
        if self.parts.form == "dict":
            return made if self.transform is None else self.transform(made)
        values = tuple(made[name] for name in ("image", "label", "boxes") if name in made)
        if self.transform is not None:
            return self.transform(*values)
        return values if len(values) > 1 else values[0]


class TorchDataset(torch.utils.data.IterableDataset[Any]):
    """Samples in the order of streams; made by `PackedDataset.to_torch`.

    Each iteration is the next epoch, whether a DataLoader's workers persist or not. Its length is
    the number of samples of an epoch that this rank takes.

    Attributes:
        batch_size: Consecutive samples that one worker makes.
        block_size: Consecutive elements that stay together in the shuffle.
    """

    def __init__(self, recipe: Recipe, position: Position, *, skip_corrupt: bool) -> None:
        self._recipe = recipe
        self._position = position
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

        def numbered() -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
            for some in positions():
                numbers = order.records_at(some, epoch).tolist()
                yield from zip(numbers, order.draws(some, epoch, recipe.parts.draws), strict=True)

        asked, read = itertools.tee(numbered())
        payloads = recipe.records.read(
            (number for number, _ in read), skip_corrupt=self._skip_corrupt, share=count
        )
        for (number, draws), payload in zip(asked, payloads, strict=True):
            delivered += 1
            if payload is None:
                continue
            sample = recipe.sample(payload, number, draws)
            if self._current[:2] == (epoch, position):  # no other iteration has begun since
                self._current = (epoch, position, delivered)
            yield sample

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
            own = {"worker": [worker.id, worker.num_workers], "delivered": delivered}
            return {**known, "epoch": epoch, "position": position, **own}
        if self._current is not None:
            epoch, position, delivered = self._current
            share = self._position.share
            # Of a worker that took all, the last samples may be fewer than one for each.
            position = min(position + delivered * share.world[1], share.records)
            return self._position.state((epoch, position, 0, 0), 0)
        if self._iterations.next() != self._iterations.begun_at():
            raise InvalidArgumentError(
                "the samples were taken in the workers of a DataLoader: give batches_consumed, or "
                "use torchdata's StatefulDataLoader and its state_dict"
            )
        return self._position.state((*self._iterations.next(), 0, 0), 0)

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
        of = state_dict.get("worker")
        here = None if worker is None else [worker.id, worker.num_workers]
        if of is not None and of != here:
            raise StateError(
                f"the state is that of worker {of[0]} of {of[1]} of a DataLoader, and this is "
                f"{'no worker' if here is None else f'worker {here[0]} of {here[1]}'}: give the "
                "state of the whole StatefulDataLoader to one with as many workers"
            )
        if of is None:
            self._iterations.begin_at(*begin)
            self._current = None
            return
        # As it was: at the end of an epoch, so that the loader's last iteration ends as well.
        epoch, position = state_dict["epoch"], state_dict["position"]
        self._iterations.resume(epoch, position)
        self._restored = (epoch, position, state_dict["delivered"])


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

    def __init__(self, recipe: Recipe, order: Order) -> None:
        self._recipe = recipe
        self._order = order
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
        draws = self._order.draws(numbers, self._epoch, self._recipe.parts.draws)
        payloads = self._recipe.records.read(iter(numbers.tolist()), skip_corrupt=False)
        return [
            self._recipe.sample(payload, number, uniforms)
            for payload, number, uniforms in zip(payloads, numbers.tolist(), draws, strict=True)
            if payload is not None
        ]

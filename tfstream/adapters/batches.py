"""Batches made by a callback that is given local files: one epoch after another, read ahead."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.file_names import path_of
from tfstream.order import Order

if TYPE_CHECKING:
    from tfstream.cache.files import FileCache
    from tfstream.stored import StoredRecords
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

__all__ = ["Batch", "Batches", "Callback", "Plan", "Workers"]

Callback = Callable[[tuple[str, ...], tuple[dict[str, Any], ...]], Any]
Batch = tuple[Any, ...]
Task = TypeVar("Task")
Result = TypeVar("Result")

_CHUNK_BYTES = 8 << 20  # of records that are read at once
_MOST_POINTS = 256  # that are read at once
_CHUNKS_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """How batches are made.

    Attributes:
        batch_size: Samples.
        seed: Of the order.
        shuffle: Another permutation each epoch; else the order of the query's answer.
        drop_last: Leave out an epoch's last batch, where it is smaller.
        is_infinite: One epoch after another, without end.
    """

    batch_size: int
    seed: int
    shuffle: bool
    drop_last: bool
    is_infinite: bool


class Workers:
    """The threads, and perhaps processes, that all splits of a binding share.

    Args:
        callback: What they call.
        count: How many at once.
        threads: Call it in threads of this process; else in processes.
    """

    def __init__(self, callback: Callback, count: int, *, threads: bool) -> None:
        self.count = count
        self.readers = ThreadPoolExecutor(_CHUNKS_AHEAD, "tfstream-read")
        self.callers = ThreadPoolExecutor(count, "tfstream-call")
        self._callback = callback
        self._processes: ProcessPoolExecutor | None = None
        if not threads:
            import multiprocessing

            # Not forked: TensorFlow's threads would be missing in the child, their locks held.
            context = multiprocessing.get_context("spawn")
            self._processes = ProcessPoolExecutor(count, context)

    def call(self, files: tuple[str, ...], metadatas: tuple[dict[str, Any], ...]) -> Any:
        """What the callback makes of a data point."""
        if self._processes is None:
            return self._callback(files, metadatas)
        from concurrent.futures.process import BrokenProcessPool

        try:
            return self._processes.submit(self._callback, files, metadatas).result()
        except BrokenProcessPool as error:
            raise BrokenProcessPool(
                "A process that called the callback ended: killed, perhaps for memory; or the "
                'script lacks `if __name__ == "__main__":` around what it does, which processes '
                "need. use_threads=True does without them."
            ) from error


@dataclasses.dataclass(frozen=True)
class _File:
    """A record on its way to the callback.

    Attributes:
        place: Of the record.
        name: Of its file, in the cache.
        row: What is known of it.
        image: The record, where it was read already.
    """

    place: int
    name: str
    row: dict[str, Any]
    image: AnnotatedImage | None


class Batches:
    """The batches of one split: an iterable with a length, each iteration of it a new epoch.

    A batch is a tuple of arrays, what the callback returned stacked position by
    position. Samples for which it returned None are left out, and the next ones move up, so that
    all batches of an epoch but the last are full. `len` counts the batches of an epoch without
    such samples until a whole epoch has been seen, and what there was in the last epoch then.

    Args:
        records: The data points.
        cache: Where files are kept.
        dataset: What tells this dataset's files from another's.
        team: Calls the callback.
        plan: How batches are made.
    """

    def __init__(
        self,
        records: StoredRecords,
        cache: FileCache,
        dataset: str,
        team: Workers,
        plan: Plan,
    ) -> None:
        self._records = records
        self._cache = cache
        self._dataset = dataset
        self._team = team
        self._plan = plan
        self._order = Order(len(records), seed=plan.seed, shuffle=plan.shuffle)
        self._epochs = itertools.count()
        self._epochs_lock = threading.Lock()
        self._skipped = 0  # in the last epoch that came to its end

    @property
    def samples(self) -> int:
        """Data points in an epoch, with those that the callback skips."""
        return len(self._records)

    @property
    def batch_size(self) -> int:
        """Samples of a full batch."""
        return self._plan.batch_size

    def __len__(self) -> int:
        left = len(self._records) - self._skipped
        return left // self.batch_size if self._plan.drop_last else -(-left // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            count = 0
            for batch in self.epoch():
                count += 1
                yield batch
            if not self._plan.is_infinite:
                return
            if not count:
                raise self._nothing()

    def __repr__(self) -> str:
        end = ", without end" if self._plan.is_infinite else ""
        return f"<{len(self)} batches of {self.batch_size} from {self.samples} samples{end}>"

    def _nothing(self) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"an epoch of {self.samples} samples has no batch of {self.batch_size}: the callback "
            f"skipped {self._skipped} of them"
            + (", and drop_last leaves the rest out" if self._plan.drop_last else "")
        )

    def epoch(self) -> Iterator[Batch]:
        """The batches of the next epoch."""
        with self._epochs_lock:
            epoch = next(self._epochs)
        held: list[tuple[str, Batch]] = []
        skipped = 0
        with contextlib.closing(self._samples(epoch)) as samples:
            for key, sample in samples:
                if sample is None:
                    skipped += 1
                    continue
                held.append((key, _checked(key, sample)))
                if len(held) == self.batch_size:
                    yield _stacked(held)
                    held = []
        if held and not self._plan.drop_last:
            yield _stacked(held)
        self._skipped = skipped

    def _samples(self, epoch: int) -> Generator[tuple[str, Any], None, None]:
        """The key of each data point's first record, and what the callback made of it."""
        chunks = _in_order(self._team.readers, self._read, self._chunks(epoch), _CHUNKS_AHEAD)
        points = itertools.chain.from_iterable(chunks)
        ahead = max(2 * self.batch_size, 2 * self._team.count)
        made = _in_order(self._team.callers, self._call, points, ahead)
        with contextlib.closing(chunks), contextlib.closing(made):
            yield from made

    def _chunks(self, epoch: int) -> Iterator[list[int]]:
        """Which data points come one after the other, in parts that are read at once."""
        fitting = int(_CHUNK_BYTES / max(self._records.mean_bytes, 1.0))
        size = max(1, min(fitting, _MOST_POINTS))
        begin, end = 0, min(size, self.batch_size)  # little, so that there is something soon
        while begin < len(self._records):
            positions = np.arange(begin, min(end, len(self._records)), dtype=np.int64)
            yield self._order.records_at(positions, epoch).tolist()
            begin, end = end, end + size

    def _read(self, points: Sequence[int]) -> list[list[_File]]:
        """Finds out what is known of data points, and reads records that are not in the cache."""
        members = [self._records.members(point) for point in points]
        places = np.concatenate(members)
        rows = self._records.rows(places)
        names = [
            f"{self._dataset}/{os.path.splitext(shard)[0]}/{path_of(row['key'], row['format'])}"
            for shard, row in zip(self._records.shards(places), rows, strict=True)
        ]
        missing = [
            number
            for number, (name, row) in enumerate(zip(names, rows, strict=True))
            if not self._cache.has(name, row["bytes"])
        ]
        read = dict(zip(missing, self._records.images(places[missing]), strict=True))
        files = iter(
            _File(place, name, row, read.get(number))
            for number, (place, name, row) in enumerate(
                zip(places.tolist(), names, rows, strict=True)
            )
        )
        return [list(itertools.islice(files, len(each))) for each in members]

    def _call(self, point: Sequence[_File]) -> tuple[str, Any]:
        """Calls the callback for one data point, its files held meanwhile."""
        with contextlib.ExitStack() as stack:
            held = [
                self._cache.hold(file.name, file.row["bytes"], partial(self._content, file))
                for file in point
            ]
            paths = tuple(stack.enter_context(each) for each in held)
            made = self._team.call(paths, tuple(file.row for file in point))
        return point[0].row["key"], made

    def _content(self, file: _File) -> bytes:
        """The image; read now, if it was in the cache a moment ago."""
        image = file.image
        if image is None:
            (image,) = self._records.images(np.array([file.place], np.int64))
        return image.encoded


def _in_order(
    executor: Executor, function: Callable[[Task], Result], tasks: Iterable[Task], ahead: int
) -> Generator[Result, None, None]:
    """Does `function(task)` for each task, up to `ahead` before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(executor.submit(function, task))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _checked(key: str, sample: Any) -> Batch:
    if isinstance(sample, tuple | list) and len(sample):
        return tuple(sample)
    raise InvalidArgumentError(
        "the deserialization callback must return a tuple of arrays, or None to skip the sample; "
        f"for {key!r} it returned {'an empty ' * isinstance(sample, tuple | list)}"
        f"{type(sample).__name__}"
    )


def _stacked(held: Sequence[tuple[str, Batch]]) -> Batch:
    """Samples as one batch, position by position."""
    first_key, first = held[0]
    for key, sample in held:
        if len(sample) != len(first):
            raise InvalidArgumentError(
                f"the deserialization callback returned {len(first)} arrays for {first_key!r} and "
                f"{len(sample)} for {key!r}: samples of a batch must be alike"
            )
    return tuple(_stack(position, held) for position in range(len(first)))


def _stack(position: int, held: Sequence[tuple[str, Batch]]) -> Any:
    arrays = [np.asarray(sample[position]) for _, sample in held]
    for (key, _), array in zip(held, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise InvalidArgumentError(
                f"what the deserialization callback returned at position {position} has the shape "
                f"{arrays[0].shape} for {held[0][0]!r} and {array.shape} for {key!r}: make them "
                "alike, by resizing or padding"
            )
    return np.stack(arrays)

"""The tf.data source for remote datasets: an epoch's order -> windows of records, fetched ahead.

Not for local files, whose lanes `source.py` reads in parallel, nor for what
happens to a record afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import ops
from tfstream.fetch.ahead import WINDOWS_AHEAD, first_windows
from tfstream.source import Chunk, DataPoints, Reader, samples_of, translating

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfstream.fetch.source import Spec
    from tfstream.foreign import ForeignRecords
    from tfstream.order import Order, Share

__all__ = ["RemoteRecords", "WindowSource", "remote_reader", "windows_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class RemoteRecords:
    """The selected records of a dataset that is not on local disk, or is read elsewhere.

    Attributes:
        spec: The dataset.
        rows: int64 [selected], which of its records; None: all.
        window: Samples that are asked for at once.
        foreign: How the records become ours; None: they are.
    """

    spec: Spec
    rows: npt.NDArray[np.int64] | None
    window: int
    foreign: ForeignRecords | None = None


@dataclasses.dataclass(frozen=True)
class WindowSource:
    """Reads one worker's share of any epoch, a window of consecutive samples at a time.

    A window holds samples of many lanes; the fetcher sorts out which of them lie
    together. Several windows are under way at once.

    Args:
        records: The selected ones.
        order: In which order they come.
        share: Which of the positions this worker takes.
        stream: The number under which the stream is counted.
        draws: Random numbers a sample.
        skip_corrupt: Deliver `sound=False` in place of a corrupt record instead of raising.
        numbered: Tell each record's sample's number, and have windows of one size. Without it,
            an epoch begins with smaller windows, which are there sooner.
        points: How samples are data points of several records; None: a sample is a record.
    """

    records: RemoteRecords
    order: Order
    share: Share
    stream: int
    draws: int
    skip_corrupt: bool
    numbered: bool
    points: DataPoints | None = None

    def epochs(
        self, parse: Callable[[Chunk], Any]
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
        """Prepares the graph of an epoch; see `Source.epochs`.

        Where numbered, rows are (number, row): int64 scalars, counted from the position on.
        """
        records_of = remote_reader(self.records, self.stream, skip_corrupt=self.skip_corrupt)
        points = self.points

        def epoch_of(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
            begin, left = self.share.first(position), self.share.left(position)

            def read(first: tf.Tensor, end: tf.Tensor) -> Any:
                numbers, uniforms, present = samples_of(
                    begin + tf.range(first, end),
                    epoch,
                    order=self.order,
                    share=self.share,
                    points=points,
                    draws=self.draws,
                )
                records, sound = records_of(numbers, tf.stack([epoch, first, end]))
                if points:
                    sound = points.whole(sound)
                rows = parse(Chunk(records, sound, uniforms, present))
                if not self.numbered:
                    return rows
                return tf.repeat(tf.range(first, end), points.members if points else 1), rows

            return windows_of(left, self.records.window, read, ramp=not self.numbered)

        return epoch_of


def remote_reader(records: RemoteRecords, stream: int, *, skip_corrupt: bool) -> Reader:
    """The function that takes records through the process's fetcher, within a graph.

    Args:
        records: The selected ones.
        stream: The number under which they are counted.
        skip_corrupt: Deliver a corrupt record as one that is not sound, instead of raising.
    """
    rows = None if records.rows is None else tf.constant(records.rows, tf.int64)

    def read(numbers: tf.Tensor, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return ops.fetch_records(
            numbers if rows is None else tf.gather(rows, numbers),
            samples,
            spec=records.spec,
            stream=stream,
            skip_corrupt=skip_corrupt,
        )

    return translating(read, records.foreign, skip_corrupt=skip_corrupt)


def windows_of(
    samples: tf.Tensor, window: int, read: Callable[[tf.Tensor, tf.Tensor], Any], *, ramp: bool
) -> tf.data.Dataset:
    """A sequence of samples, read a window at a time and several windows at once.

    Args:
        samples: How many there are, int64 scalar.
        window: Samples a window.
        read: From the first sample of a window and the one after its last, to a structure of
            tensors with one row a sample.
        ramp: Begin with smaller windows, which are there sooner.

    Returns:
        A dataset of the rows.
    """
    begins = first_windows(window) if ramp else [0]

    def begin_of(number: tf.Tensor) -> tf.Tensor:
        last = len(begins) - 1
        growing = tf.gather(tf.constant(begins, tf.int64), tf.minimum(number, last))
        return growing + tf.maximum(number - last, 0) * window

    @tf.autograph.experimental.do_not_convert
    def read_window(number: tf.Tensor) -> Any:
        return read(begin_of(number), tf.minimum(begin_of(number + 1), samples))

    small = tf.reduce_sum(tf.cast(tf.constant(begins, tf.int64) < samples, tf.int64))
    # The last of the small ones has a window's size already.
    large = (samples - begins[-1] + window - 1) // window - 1
    windows = tf.data.Dataset.range(small + tf.maximum(large, 0))
    return windows.map(read_window, num_parallel_calls=WINDOWS_AHEAD, deterministic=True).unbatch()

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
from tfstream.source import Chunk, DataPoints, samples_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.source import Spec
    from tfstream.order import Order, Share

__all__ = ["WindowSource"]


@dataclasses.dataclass(frozen=True)
class WindowSource:
    """Reads one worker's share of any epoch, a window of consecutive samples at a time.

    A window holds samples of many lanes; the fetcher sorts out which of them lie
    together. Several windows are under way at once.

    Args:
        spec: The dataset.
        rows: int64 [selected], the records that are selected; None: all.
        order: In which order they come.
        share: Which of the positions this worker takes.
        stream: The number under which the stream is counted.
        draws: Random numbers a sample.
        skip_corrupt: Deliver `sound=False` in place of a corrupt record instead of raising.
        window: Samples a window.
        ramp: Begin an epoch with smaller windows, which are there sooner.
        points: How samples are data points of several records; None: a sample is a record.
    """

    spec: Spec
    rows: npt.NDArray[Any] | None
    order: Order
    share: Share
    stream: int
    draws: int
    skip_corrupt: bool
    window: int
    ramp: bool
    points: DataPoints | None = None

    def epochs(
        self, parse: Callable[[Chunk], Any]
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
        """Prepares the graph of an epoch; see `Source.epochs`."""
        rows = None if self.rows is None else tf.constant(self.rows, tf.int64)
        points = self.points
        begins = first_windows(self.window) if self.ramp else [0]

        def begin_of(number: tf.Tensor) -> tf.Tensor:
            last = len(begins) - 1
            growing = tf.gather(tf.constant(begins, tf.int64), tf.minimum(number, last))
            return growing + tf.maximum(number - last, 0) * self.window

        def epoch_of(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
            begin, left = self.share.first(position), self.share.left(position)

            @tf.autograph.experimental.do_not_convert
            def read(number: tf.Tensor) -> Any:
                first = begin_of(number)
                end = tf.minimum(begin_of(number + 1), left)
                numbers, uniforms, present = samples_of(
                    begin + tf.range(first, end),
                    epoch,
                    order=self.order,
                    share=self.share,
                    points=points,
                    draws=self.draws,
                )
                if rows is not None:
                    numbers = tf.gather(rows, numbers)
                records, sound = ops.fetch_records(
                    numbers, spec=self.spec, stream=self.stream, skip_corrupt=self.skip_corrupt
                )
                if points:
                    sound = points.whole(sound)
                return parse(Chunk(records, sound, uniforms, present))

            small = tf.reduce_sum(tf.cast(tf.constant(begins, tf.int64) < left, tf.int64))
            # The last of the small ones has a window's size already.
            large = (left - begins[-1] + self.window - 1) // self.window - 1
            windows = tf.data.Dataset.range(small + tf.maximum(large, 0))
            return windows.map(read, num_parallel_calls=WINDOWS_AHEAD, deterministic=True).unbatch()

        return epoch_of

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
from tfstream.source import Chunk

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.source import Spec
    from tfstream.order import Order, Share

__all__ = ["WINDOWS_AHEAD", "WindowSource", "window_records"]

# Windows under way at once: together they are the read-ahead.
WINDOWS_AHEAD = 4
_MOST_RECORDS = 4096


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
    """

    spec: Spec
    rows: npt.NDArray[Any] | None
    order: Order
    share: Share
    stream: int
    draws: int
    skip_corrupt: bool
    window: int

    def epochs(self, parse: Callable[[Chunk], Any]) -> Callable[[tf.Tensor], tf.data.Dataset]:
        """Prepares the graph of an epoch; see `Source.epochs`."""
        rows = None if self.rows is None else tf.constant(self.rows, tf.int64)
        index, count = self.share.world
        samples = self.share.samples

        def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
            @tf.autograph.experimental.do_not_convert
            def read(first: tf.Tensor) -> Any:
                end = tf.minimum(first + self.window, samples)
                numbers, uniforms = ops.epoch_order(
                    index + count * tf.range(first, end),
                    epoch,
                    order=self.order,
                    draws=self.draws,
                )
                if rows is not None:
                    numbers = tf.gather(rows, numbers)
                records, sound = ops.fetch_records(
                    numbers, spec=self.spec, stream=self.stream, skip_corrupt=self.skip_corrupt
                )
                return parse(Chunk(records, sound, uniforms))

            windows = tf.data.Dataset.range(0, samples, self.window)
            return windows.map(read, num_parallel_calls=WINDOWS_AHEAD, deterministic=True).unbatch()

        return epoch_of


def window_records(mean_bytes: float, read_ahead: int) -> int:
    """Samples a window, if all windows under way shall have `read_ahead` bytes together.

    >>> window_records(56_000, 64 << 20)
    299
    """
    fitting = read_ahead / WINDOWS_AHEAD / max(mean_bytes, 1)
    return int(min(max(fitting, 1), _MOST_RECORDS))

"""The tf.data source of a mix: its schedule -> each source's order -> records of all, in turn.

Not for single streams: those are `source.py` and `windows.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import ops
from tfstream.fetch.ahead import WINDOWS_AHEAD
from tfstream.source import Chunk, DataPoints, Reader, chunk_records, local_reader
from tfstream.windows import RemoteRecords, remote_reader, windows_of

if TYPE_CHECKING:
    from tfstream.format.table import RecordTable
    from tfstream.order import Order, Share
    from tfstream.schedule import Mixture

__all__ = ["MixedRecords", "MixedSource"]


@dataclasses.dataclass(frozen=True, eq=False)
class MixedRecords:
    """The selected records of the sources of a mix.

    Attributes:
        mixture: Which of them comes when.
        sources: Of each source.
        points: How each one's samples are data points; None: a sample is a record.
    """

    mixture: Mixture
    sources: tuple[RecordTable | RemoteRecords, ...]
    points: tuple[DataPoints | None, ...]

    @property
    def remote(self) -> int:
        """How many sources are remote."""
        return sum(isinstance(source, RemoteRecords) for source in self.sources)

    @property
    def window(self) -> int:
        """Samples that are read at once: of each remote source as many as alone, in the mean."""
        weights = self.mixture.schedule.weights
        remote = [
            weight / source.window
            for weight, source in zip(weights, self.sources, strict=True)
            if isinstance(source, RemoteRecords)
        ]
        if remote:
            return max(1, int(sum(weights) / sum(remote)))
        chunks = [
            chunk_records(source, WINDOWS_AHEAD) // (points.members if points else 1)
            for source, points in zip(self.sources, self.points, strict=True)
            if not isinstance(source, RemoteRecords)
        ]
        return max(1, min(chunks))


@dataclasses.dataclass(frozen=True)
class MixedSource:
    """Reads one worker's share of any epoch of a mix, a window of consecutive samples at a time.

    Args:
        records: Of the sources.
        share: Which of the positions this worker takes.
        stream: The number under which the mix is counted.
        draws: Random numbers a sample.
        skip_corrupt: Deliver `sound=False` in place of a corrupt record instead of raising.
    """

    records: MixedRecords
    share: Share
    stream: int
    draws: int
    skip_corrupt: bool

    def epochs(
        self, parse: Callable[[Chunk], Any]
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
        """Prepares the graph of an epoch; see `Source.epochs`."""
        readers = [self._reader(source) for source in self.records.sources]

        def epoch_of(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
            begin, left = self.share.first(position), self.share.left(position)

            def read(first: tf.Tensor, end: tf.Tensor) -> Any:
                window = tf.stack([epoch, first, end])
                return parse(self._read(readers, begin + tf.range(first, end), window))

            return windows_of(left, self.records.window, read, ramp=self.records.remote > 0)

        return epoch_of

    def _reader(self, source: RecordTable | RemoteRecords) -> Reader:
        make: Any = remote_reader if isinstance(source, RemoteRecords) else local_reader
        read: Reader = make(source, self.stream, skip_corrupt=self.skip_corrupt)
        return read

    def _read(self, readers: list[Reader], samples: tf.Tensor, window: tf.Tensor) -> Chunk:
        """The records of some of this worker's samples, int64 [n], in their order."""
        epoch = window[0]
        index, count = self.share.world
        mixture = self.records.mixture
        positions = index + count * samples
        there = positions < mixture.records
        sources, numbers = mixture.schedule.places(tf.minimum(positions, mixture.records - 1))
        places, parts = [], []
        for each, (read, points) in enumerate(zip(readers, self.records.points, strict=True)):
            at = tf.where(tf.equal(sources, each))[:, 0]
            order, taken = mixture.orders[each], tf.gather(numbers, at)
            rows, uniforms = _in_epochs(
                taken % order.records,
                epoch * mixture.epochs_each[each] + taken // order.records,
                order=order,
                draws=self.draws,
            )
            present = tf.gather(there, at)
            if points:
                rows, uniforms, members = points.expand(rows, uniforms)
                present = tf.repeat(present, points.members) & members
                steps = tf.range(points.members, dtype=tf.int64)
                at = tf.reshape(at[:, None] * points.members + steps, [-1])
            payloads, sound = read(rows, window)
            if points:
                sound = points.whole(sound)
            places.append(at)
            parts.append((payloads, sound, uniforms, present, tf.fill(tf.shape(at), each)))
        back = tf.math.invert_permutation(tf.concat(places, 0))
        payloads, sound, uniforms, present, of = (
            tf.gather(tf.concat(part, 0), back) for part in zip(*parts, strict=True)
        )
        missing = self.share.pad_remainder or any(self.records.points)
        return Chunk(payloads, sound, uniforms, present if missing else None, of)


def _in_epochs(
    positions: tf.Tensor, epochs: tf.Tensor, *, order: Order, draws: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Which records stand at positions of several epochs, and their random numbers.

    Args:
        positions: int64 [n], each in its epoch.
        epochs: int64 [n], ascending.
        order: The arithmetic.
        draws: Random numbers a sample.

    Returns:
        int64 [n], float32 [n, draws].
    """
    # One epoch after the other; but for tiny sources, there is only one.
    distinct = tf.unique(epochs)[0]

    @tf.autograph.experimental.do_not_convert
    def step(done: tf.Tensor, numbers: tf.Tensor, uniforms: tf.Tensor) -> tuple[tf.Tensor, ...]:
        epoch = distinct[done]
        ours = tf.boolean_mask(positions, tf.equal(epochs, epoch))
        more, drawn = ops.epoch_order(ours, epoch, order=order, draws=draws)
        return done + 1, tf.concat([numbers, more], 0), tf.concat([uniforms, drawn], 0)

    _, numbers, uniforms = tf.while_loop(
        lambda done, *_: done < tf.size(distinct),
        step,
        (tf.constant(0), tf.zeros([0], tf.int64), tf.zeros([0, draws])),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None]),
            tf.TensorShape([None, draws]),
        ),
    )
    return numbers, uniforms

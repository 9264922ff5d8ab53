"""The custom tf.data source: an epoch's order -> interleaved lanes -> records, parsed in chunks.

Not for what happens to a record afterwards: that is `stream.py` and the map
stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from tfstream import ops
from tfstream.order import Order, Share

if TYPE_CHECKING:
    from tfstream.format.table import RecordTable

__all__ = ["Chunk", "Source"]

# Records read by one call of the kernel. Alone, a reader reads larger chunks;
# interleaved with others, smaller ones, for all of them are in memory at once.
_CHUNK_ALONE = 32
_CHUNK_INTERLEAVED = 8


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A few records, in the order of the epoch.

    Attributes:
        records: string [n], the payloads: serialized Examples.
        sound: bool [n]; False where a corrupt record was skipped: its payload is empty.
        uniforms: float32 [n, draws], each sample's own random numbers in [0, 1).
    """

    records: tf.Tensor
    sound: tf.Tensor
    uniforms: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Source:
    """Reads one worker's share of any epoch.

    Args:
        table: Where the selected records lie.
        order: In which order they come.
        share: Which of the positions this worker takes.
        stream: The number under which the stream is counted.
        draws: Random numbers a sample.
        skip_corrupt: Deliver `sound=False` in place of a corrupt record instead
            of raising.
    """

    table: RecordTable
    order: Order
    share: Share
    stream: int
    draws: int
    skip_corrupt: bool

    def epochs(
        self, parse: Callable[[Chunk], dict[str, tf.Tensor]]
    ) -> Callable[[tf.Tensor], tf.data.Dataset]:
        """Prepares the graph of an epoch.

        Args:
            parse: Turns a chunk into a dict of tensors with one row a record.

        Returns:
            A function from an epoch (int64 scalar tensor) to a dataset of single
            samples, each a dict of what `parse` gave.
        """
        files = tf.constant(self.table.files, tf.string)
        shards = tf.constant(self.table.shards)
        offsets = tf.constant(self.table.offsets)
        lengths = tf.constant(self.table.lengths)
        index, count = self.share.world
        samples = self.share.samples
        readers = self.share.readers(self.order.lanes)
        chunk = _CHUNK_ALONE if readers == 1 else _CHUNK_INTERLEAVED

        def read(first: tf.Tensor, end: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
            """Reads this worker's samples first, first + readers ... below end."""
            positions = index + count * tf.range(first, end, readers)
            numbers, uniforms = ops.epoch_order(
                positions, epoch, order=self.order, draws=self.draws
            )
            records, sound = ops.read_records(
                files,
                tf.gather(shards, numbers),
                tf.gather(offsets, numbers),
                tf.gather(lengths, numbers),
                stream=self.stream,
                skip_corrupt=self.skip_corrupt,
            )
            return parse(Chunk(records, sound, uniforms))

        def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
            def lane(reader: tf.Tensor) -> tf.data.Dataset:
                step = chunk * readers
                starts = tf.data.Dataset.range(reader, samples, step)
                parts = starts.map(
                    lambda first: read(first, tf.minimum(first + step, samples), epoch)
                )
                return parts.prefetch(1).unbatch()

            if readers == 1:
                return lane(tf.constant(0, tf.int64))
            return tf.data.Dataset.range(readers).interleave(
                lane, cycle_length=readers, block_length=1
            )

        return epoch_of

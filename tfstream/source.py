"""The custom tf.data source: an epoch's order -> interleaved lanes -> records, parsed in chunks.

Not for what happens to a record afterwards: that is `stream.py` and the map
stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import ops
from tfstream.format.table import ALIGNMENT
from tfstream.order import Order, Share

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfstream.foreign import ForeignRecords
    from tfstream.format.numbered import NumberedKeys
    from tfstream.format.table import RecordTable

__all__ = [
    "Chunk",
    "DataPoints",
    "Reader",
    "Source",
    "chunk_records",
    "local_reader",
    "samples_of",
    "translating",
]

# From the numbers of some selected records, int64 [n], and which samples want them, int64 [3]
# (epoch, the first of them, the one after the last), to their payloads, string [n], and whether
# they are sound, bool [n].
Reader = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# What one call of the kernel reads: many records save calls and wake-ups; but each of the
# interleaved readers has two chunks in memory.
_CHUNK_RECORDS = 32
_BYTES_IN_FLIGHT = 32 << 20  # 32 MiB, over all readers


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A few records, in the order of the epoch.

    Attributes:
        records: string [n], the payloads: serialized Examples.
        sound: bool [n]; False where a corrupt record was skipped: its payload is empty.
        uniforms: float32 [n, draws], each sample's own random numbers in [0, 1).
        present: bool [n]; False where the record stands in for one that is missing: a member of
            a data point, or a sample past the end of the epoch. None: nothing is ever missing.
        source: int64 [n], which source of a mix each is of. None: there is but one.
    """

    records: tf.Tensor
    sound: tf.Tensor
    uniforms: tf.Tensor
    present: tf.Tensor | None = None
    source: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class DataPoints:
    """How samples consist of several records each.

    Args:
        members: Records a sample; those of sample p are p * members and the following.
        present: bool [samples * members]; False: the record is a stand-in for a missing member.
    """

    members: int
    present: npt.NDArray[np.bool_]

    def expand(
        self, numbers: tf.Tensor, uniforms: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The records of some samples.

        Args:
            numbers: int64 [n], of the samples.
            uniforms: float32 [n, draws], the samples' random numbers.

        Returns:
            int64 [n * members], the records' numbers; float32 [n * members, draws], where all
            members of a sample have the same; bool [n * members], whether they are present.
        """
        steps = tf.range(self.members, dtype=tf.int64)
        numbers = tf.reshape(numbers[:, None] * self.members + steps, [-1])
        present = tf.gather(tf.constant(self.present), numbers)
        return numbers, tf.repeat(uniforms, self.members, axis=0), present

    def whole(self, sound: tf.Tensor) -> tf.Tensor:
        """Whether all members of a record's sample are sound: bool [n * members]."""
        rows = tf.reduce_all(tf.reshape(sound, [-1, self.members]), axis=1)
        return tf.repeat(rows, self.members)


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
        points: How samples are data points of several records; None: a sample is a record.
    """

    table: RecordTable
    order: Order
    share: Share
    stream: int
    draws: int
    skip_corrupt: bool
    points: DataPoints | None = None

    def epochs(
        self, parse: Callable[[Chunk], Any]
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
        """Prepares the graph of an epoch.

        Args:
            parse: Turns a chunk into a structure of tensors with one row a record.

        Returns:
            A function from an epoch and a position in it, where to begin (int64 scalar tensors),
            to a dataset of single records, each a row of what `parse` gave.
        """
        records_of = local_reader(self.table, self.stream, skip_corrupt=self.skip_corrupt)
        readers = self.share.readers(self.order.lanes)
        points = self.points
        chunk = max(1, chunk_records(self.table, readers) // (points.members if points else 1))

        @tf.autograph.experimental.do_not_convert
        def read(first: tf.Tensor, end: tf.Tensor, epoch: tf.Tensor) -> Any:
            """Reads this worker's samples first, first + readers ... below end."""
            numbers, uniforms, present = samples_of(
                tf.range(first, end, readers),
                epoch,
                order=self.order,
                share=self.share,
                points=points,
                draws=self.draws,
            )
            records, sound = records_of(numbers, tf.stack([epoch, first, end]))
            if points:
                sound = points.whole(sound)
            return parse(Chunk(records, sound, uniforms, present))

        def epoch_of(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
            begin = self.share.first(position)
            end = begin + self.share.left(position)

            @tf.autograph.experimental.do_not_convert
            def lane(reader: tf.Tensor) -> tf.data.Dataset:
                step = chunk * readers

                @tf.autograph.experimental.do_not_convert
                def part(first: tf.Tensor) -> Any:
                    return read(first, tf.minimum(first + step, end), epoch)

                parts = tf.data.Dataset.range(begin + reader, end, step).map(part)
                return parts.prefetch(1).unbatch()

            if readers == 1:
                return lane(tf.constant(0, tf.int64))
            return tf.data.Dataset.range(readers).interleave(
                lane, cycle_length=readers, block_length=points.members if points else 1
            )

        return epoch_of


def local_reader(table: RecordTable, stream: int, *, skip_corrupt: bool) -> Reader:
    """The function that reads records of local files, within a graph.

    Args:
        table: Where the selected records lie.
        stream: The number under which they are counted.
        skip_corrupt: Deliver a corrupt record as one that is not sound, instead of raising.
    """
    files = tf.constant(table.files, tf.string)
    shards, offsets = _tensor(table.shards), _tensor(table.offsets)
    lengths = _tensor(table.lengths)

    def read(numbers: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return ops.read_records(
            files,
            tf.gather(shards, numbers),
            tf.gather(offsets, numbers),
            tf.gather(lengths, numbers),
            stream=stream,
            skip_corrupt=skip_corrupt,
        )

    return translating(read, table.foreign, skip_corrupt=skip_corrupt)


def translating(read: Reader, foreign: ForeignRecords | None, *, skip_corrupt: bool) -> Reader:
    """A reader whose records are ours, whoever wrote them.

    Args:
        read: Gives the records as they are stored.
        foreign: How they become ours; None: they are.
        skip_corrupt: Deliver a record that cannot be understood as one that is not sound, instead
            of raising.
    """
    if foreign is None:
        return read
    keys, rows = foreign.keys, foreign.rows
    selected = None if rows is None else tf.constant(rows, tf.int64)

    def ours(numbers: tf.Tensor, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        records, sound = read(numbers, samples)
        own = numbers if selected is None else tf.gather(selected, numbers)
        made = tf.fill(tf.shape(numbers), "") if keys is None else _keys_of(keys, own)
        return ops.translate_records(
            records, sound, made, translator=foreign.translator, skip_corrupt=skip_corrupt
        )

    return ours


def _keys_of(keys: NumberedKeys, rows: tf.Tensor) -> tf.Tensor:
    """The keys of records by their numbers, string [n]: what `NumberedKeys.key` gives."""
    starts = tf.constant(keys.starts, tf.int64)
    shards = tf.searchsorted(starts, rows, side="right", out_type=tf.int64) - 1
    numbers = rows - tf.gather(starts, shards)
    if len(keys.numbers):
        moved = tf.gather(tf.constant(keys.moved, tf.int64), shards)
        place = tf.where(moved >= 0, moved + numbers, 0)
        numbers = tf.where(
            moved >= 0, tf.gather(tf.constant(keys.numbers, tf.int64), place), numbers
        )
    files = tf.gather(tf.constant(keys.files, tf.string), shards)
    return tf.strings.join([files, tf.as_string(numbers)], ":")


def samples_of(
    samples: tf.Tensor,
    epoch: tf.Tensor,
    *,
    order: Order,
    share: Share,
    points: DataPoints | None,
    draws: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """The records that some samples of a worker consist of.

    Args:
        samples: int64 [n], the worker's first, second ... of the epoch.
        epoch: int64 scalar.
        order: Of the epoch.
        share: Which positions are the worker's.
        points: How samples are data points; None: a sample is a record.
        draws: Random numbers a sample.

    Returns:
        int64 [records], their numbers among the selected ones; float32 [records, draws]; bool
        [records], whether they are there and no padding: None, where all always are.
    """
    index, count = share.world
    positions = index + count * samples
    present = None
    if share.pad_remainder:
        present = positions < share.records
        positions = tf.where(present, positions, 0)
    numbers, uniforms = ops.epoch_order(positions, epoch, order=order, draws=draws)
    if points:
        sample_is_there = present
        numbers, uniforms, present = points.expand(numbers, uniforms)
        if sample_is_there is not None:
            present &= tf.repeat(sample_is_there, points.members)
    return numbers, uniforms, present


def chunk_records(table: RecordTable, readers: int) -> int:
    """How many records each of the readers reads at a time: fewer where they are large."""
    mean = max(1, int(table.lengths.mean())) if len(table) else 1
    return max(2, min(_CHUNK_RECORDS, _BYTES_IN_FLIGHT // (2 * readers * mean)))


def _tensor(array: npt.NDArray[Any]) -> tf.Tensor:
    """The array as a tensor that shares its memory, where that can be.

    `tf.constant` would hold the table of ten million records three times.
    """
    if tf.executing_eagerly() and array.size and array.ctypes.data % ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)

"""StreamDataset: source -> map -> batch -> prefetch, as one tf.data.Dataset."""

from __future__ import annotations

import dataclasses
import os
import secrets
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import tensorflow as tf

from tfstream import logline, ops, pixels
from tfstream import samples as samples_lib
from tfstream import service as service_lib
from tfstream.elements import StreamElements
from tfstream.errors import InvalidArgumentError
from tfstream.fetch.ahead import WINDOWS_AHEAD
from tfstream.mixture import MixedRecords, MixedSource
from tfstream.order import Order
from tfstream.position import Position
from tfstream.source import DataPoints, Source
from tfstream.stream_options import options_of, served_options, sharding_of
from tfstream.windows import RemoteRecords, WindowSource

if TYPE_CHECKING:
    from tfstream.format.label_map import LabelMap
    from tfstream.format.table import RecordTable

__all__ = [
    "Recipe",
    "StreamDataset",
    "batcher",
    "build",
    "parallel_calls",
    "source_of",
]

# Of a service: enough for a worker of many cores. How many run at once, its threads decide.
_SERVED_CALLS = 64

INFINITE: int = tf.data.INFINITE_CARDINALITY


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """What a stream is made of.

    Args:
        records: Where the selected records lie.
        labels: The dataset's label map.
        elements: What an element holds.
        position: The order of each epoch, what this worker takes of it, and where it begins.
        points: How samples are data points of several records; None: a sample is a record.
        formats: The image formats that occur in the selection.
        rotated: Whether an image of the selection must be rotated for display.
        largest: Height and width of the largest image, in pixels.
        transform: Called in the graph on each sample, before batching.
        on_corrupt: "raise", or "skip" the record.
        log_every: Seconds between two log lines; None: none.
        service: The address of a `tf.data` service whose workers make the elements; None: this
            process makes them.
    """

    records: RecordTable | RemoteRecords | MixedRecords
    labels: LabelMap
    elements: StreamElements
    position: Position
    points: DataPoints | None
    formats: frozenset[str]
    rotated: bool
    largest: tuple[int, int]
    transform: Callable[..., Any] | None
    on_corrupt: Literal["raise", "skip"]
    log_every: float | None
    service: str | None

    def __post_init__(self) -> None:
        epochs, share = self.position.epochs, self.position.share
        if epochs is not None and epochs < 1:
            raise InvalidArgumentError(
                f"epochs must be positive, or None for no end (got {epochs})"
            )
        if self.on_corrupt not in ("raise", "skip"):
            raise InvalidArgumentError(
                f'on_corrupt must be "raise" or "skip" (got {self.on_corrupt!r})'
            )
        if share.steps == 0 and (epochs is None or share.records > 0):
            raise InvalidArgumentError(
                f"an epoch of {share.records} records has not one batch for worker "
                f"{share.world[0]} of {share.world[1]} (batch_size {share.batch_size}, "
                f"drop_remainder {share.drop_remainder}): ask for smaller batches or fewer workers"
            )


class StreamDataset(tf.data.Dataset):
    """A `tf.data.Dataset` of samples or batches, made by `PackedDataset.stream` and `tfstream.mix`.

    Each time it is iterated it gives the next epoch's order: the i-th iteration
    is epoch i (epochs i * epochs to (i + 1) * epochs - 1 where `epochs` is set).
    Its graph serializes, and can be built inside a TF1 graph.

    Attributes:
        steps_per_epoch: Batches that one epoch has (samples, without batches); -1: it is a mix
            that does not end.
        block_size: Consecutive elements that stay together in the shuffle; None: it is a mix.
        recipe: What it is made of.
    """

    def __init__(self, inner: tf.data.Dataset, *, stream: int, recipe: Recipe) -> None:
        self._inner = inner
        self._stream = stream
        self._position = position = recipe.position
        self.recipe = recipe
        self.steps_per_epoch = INFINITE if position.endless else position.share.steps
        self.block_size = position.order.block_size
        super().__init__(inner._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._inner]

    @property
    def element_spec(self) -> Any:
        """The shapes and dtypes of an element."""
        return self._inner.element_spec

    def state(self, *, batches_consumed: int | None = None) -> dict[str, Any]:
        """Where the stream is: what `restore`, or `PackedDataset.stream(state=...)`, goes on from.

        All workers of a stream are at the same position, and any number of workers can go on there.

        Args:
            batches_consumed: By this worker since the stream was made or restored, all epochs
                together (samples, where there are no batches). None: all that was delivered: right
                where you iterate the stream itself and use each batch at once; batches that
                somebody prefetched behind it count as consumed.

        Returns:
            A dict that JSON can hold, below 1 KB: `format`, `dataset` (its commit), `version`,
            `selection` (a hash), `records`, `seed`, `shuffle`, `lanes`, `block_size`, `epoch` and
            `position` (samples of that epoch, over all workers). Of a mix: `format`, `sources`
            (what is said above of each, by its name), `weights`, `seed`, `stop`, `epochs` (of each
            source), `epoch`, `position`.

        Raises:
            InvalidArgumentError: It cannot be known how many batches were delivered: there are
                none.
        """
        begun = ops.progress(self._stream) or (*self._position.begin, 0, 0)
        return self._position.state(begun, batches_consumed)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Has the next iteration begin where a state was taken; those after it follow.

        Only arithmetic: nothing is read, whatever the position. An iteration that is under way
        is not touched.

        Args:
            state: What `state` gave, of a stream over the same records of the same version in the
                same order; `world`, `batch_size`, images and labels may be others.

        Raises:
            StateError: It belongs to another stream; the message shows what differs.
        """
        ops.restore(self._stream, *self._position.begin_of(state))

    def stats(self) -> dict[str, float]:
        """What the stream has read so far, in this process: of a `tf.data` service's, nothing.

        Returns:
            `samples`: records read. `seconds`: from the first of them to the newest;
            `samples_per_second`: the one by the other. `bytes_read`: of records, from disk or
            memory. `requests`: reads of files, each for one or more neighbouring records.
            `corrupt`: records that did not match their checksums. `starved_seconds`: in which
            whoever iterates the stream waited for a batch.
            Of remote datasets: `bytes_fetched` over the network; `fetches`: requests for them;
            `retries` and `hedges` among those; `hedges_won`; `stall_seconds`: without a byte;
            `wait_seconds`: summed over windows of records that had to be waited for;
            `cache_hits` and `cache_misses`: records found in the page cache, or not;
            `repaired`: records fetched again because they were damaged; `uncached`: pieces that
            the cache could not keep.
        """
        return ops.counters(self._stream)


def _tag(number: tf.Tensor, row: Any, skip_corrupt: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """What a worker of a service tells of a sample: its number, and whether it is sound."""
    return number, row["sound"] if skip_corrupt else tf.constant(True)


def build(recipe: Recipe) -> StreamDataset:
    """Puts a stream together."""
    elements, points = recipe.elements, recipe.points
    position, epochs = recipe.position, recipe.position.epochs
    share, service, transform = position.share, recipe.service, recipe.transform
    if transform is not None:  # the user's own code may have `if` and `for` on tensors
        autograph = tf.__internal__.autograph
        transform = autograph.tf_convert(transform, autograph.control_status_ctx())
    if elements.spec:
        pixels.check_formats(recipe.formats)  # here, where no autograph wraps the error
    skip_corrupt = recipe.on_corrupt == "skip"
    stream = secrets.randbits(62)
    source, waiting = source_of(recipe, stream)
    # A worker sends what it makes of a corrupt record as well: only so can they all be counted.
    blank = None
    if service and skip_corrupt:
        blank = "jpeg" if "jpeg" in recipe.formats else "png"
    parse = samples_lib.parser(elements, recipe.labels, skip_corrupt=skip_corrupt, blank=blank)
    finish = samples_lib.finisher(
        elements,
        recipe.labels,
        formats=recipe.formats,
        rotated=recipe.rotated,
        largest=recipe.largest,
    )
    # Work on single samples costs a call each: what needs none is done a chunk at a time.
    singly = bool(
        elements.spec or elements.objects or skip_corrupt or points or share.pad_remainder
    )
    samples = source.epochs(parse if singly else lambda chunk: finish(parse(chunk)))

    calls = _SERVED_CALLS if service else parallel_calls()
    together = batcher(elements)

    # What follows is graph code already: nothing for AutoGraph to rewrite.
    @tf.autograph.experimental.do_not_convert
    def epoch_of(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
        ds = samples(epoch, position)
        if service:
            ds = ds.map(lambda number, row: (_tag(number, row, skip_corrupt), row))
        elif skip_corrupt:
            ds = ds.filter(lambda row: row["sound"])
        if singly:
            ds = ds.map(each(finish), num_parallel_calls=calls, deterministic=True)
        if points:
            ds = together(ds, points.members, drop_remainder=True)
            if service:
                ds = ds.map(lambda tag, sample: ((tag[0][0], tag[1][0]), sample))
        if transform is not None:
            ds = ds.map(each(transform), num_parallel_calls=calls, deterministic=True)
        if share.batch_size is not None:
            ds = together(ds, share.batch_size, drop_remainder=share.drop_remainder)
        return ds.map(placed) if service else ds

    def each(function: Callable[..., Any]) -> Callable[..., Any]:
        """What a function does with a sample, where that has a tag."""
        if not service:
            return function

        @tf.autograph.experimental.do_not_convert
        def on_sample(tag: Any, sample: Any) -> tuple[Any, Any]:
            return tag, function(*sample if isinstance(sample, tuple) else (sample,))

        return on_sample

    @tf.autograph.experimental.do_not_convert
    def placed(tag: Any, batch: Any) -> tuple[tf.Tensor, Any]:
        number, sound = tag
        if share.batch_size is not None:
            number = number[0] // share.batch_size
        return number, (sound, batch) if skip_corrupt else batch

    @tf.autograph.experimental.do_not_convert
    def without_unsound(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
        """What was made of corrupt records is left out here, where batches are cut anew."""
        ds = make(epoch, position)
        if share.batch_size is not None:
            ds = ds.unbatch()
        ds = ds.filter(lambda sound, sample: sound).map(lambda sound, sample: sample)
        if share.batch_size is not None:
            ds = together(ds, share.batch_size, drop_remainder=share.drop_remainder)
        return ds

    make = epoch_of
    if service:
        make = service_lib.distribute(
            epoch_of,
            service=service,
            share=share,
            options=served_options(),
        )
    epoch_in_order = without_unsound if service and skip_corrupt else make

    @tf.autograph.experimental.do_not_convert
    def begin(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first_epoch, first_position = position.begin
        return ops.begin_iteration(stream=stream, epoch=first_epoch, position=first_position)

    @tf.autograph.experimental.do_not_convert
    def epochs_of(
        iteration: tf.Tensor, first_epoch: tf.Tensor, first_position: tf.Tensor
    ) -> tf.data.Dataset:
        """(epoch, where it begins); one more, for nothing, where the first is not whole."""
        if epochs is None:
            first, end = first_epoch + iteration, tf.constant(tf.int64.max, tf.int64)
            whole = tf.constant(True)
        else:
            number = first_epoch // epochs + iteration
            first = tf.where(tf.equal(iteration, 0), first_epoch, number * epochs)
            end = (number + 1) * epochs
            # Not by `==`, which within a TF1 graph compares the Python objects.
            whole = tf.equal(first_position, 0) & tf.equal(first, end - epochs)

        @tf.autograph.experimental.do_not_convert
        def place(epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            begun = tf.cast(tf.equal(epoch, first), tf.int64)
            return epoch, first_position * begun, tf.equal(epoch, end)

        stop = tf.where(iteration < 0, first, end + tf.cast(~whole, tf.int64))
        return tf.data.Dataset.range(first, stop).map(place)

    @tf.autograph.experimental.do_not_convert
    def samples_or_end(epoch: tf.Tensor, place: tf.Tensor, past: tf.Tensor) -> tf.data.Dataset:
        ended = ops.end_iteration(past, stream=stream)
        return epoch_in_order(epoch, tf.where(ended, tf.constant(share.records, tf.int64), place))

    ds = tf.data.Dataset.from_tensors(0).map(begin)
    ds = ds.flat_map(epochs_of).flat_map(samples_or_end)
    if epochs is None:
        ds = ds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    elif not skip_corrupt:
        # The length that all iterations have but one that begins within an epoch: see
        # native/begin_iteration.cc.
        ds = ds.repeat().take(share.steps * epochs)
    options = options_of(waiting=waiting)
    options.experimental_distribute.auto_shard_policy = sharding_of(share)
    ds = ds.with_options(options).prefetch(2)
    # Of single samples, counting each would cost too much.
    ds = _watched(ds, stream, timed=share.batch_size is not None)
    built = StreamDataset(ds, stream=stream, recipe=recipe)
    if recipe.log_every is not None:
        alive = weakref.ref(built)
        logline.start(lambda: (ds := alive()) and ds.stats(), recipe.log_every)
    return built


def parallel_calls() -> int:
    """Samples that are made at once: more than cores, so that none waits while batches are made."""
    return max(16, 2 * (os.cpu_count() or 1))


def batcher(elements: StreamElements) -> Callable[..., tf.data.Dataset]:
    """What makes batches of such elements: `tf.data.Dataset.batch`, or the like of it."""
    return tf.data.Dataset.ragged_batch if elements.boxes == "ragged" else tf.data.Dataset.batch


def source_of(recipe: Recipe, stream: int) -> tuple[Source | WindowSource | MixedSource, int]:
    """Where the records of a stream come from, and how many calls may wait for them at once."""
    records, position, points = recipe.records, recipe.position, recipe.points
    share, draws = position.share, recipe.elements.draws
    skip = recipe.on_corrupt == "skip"
    if isinstance(records, MixedRecords):
        mixed = MixedSource(records, share, stream, draws, skip)
        return mixed, WINDOWS_AHEAD * records.remote
    assert isinstance(position.order, Order)
    if not isinstance(records, RemoteRecords):
        return Source(records, position.order, share, stream, draws, skip, points), 0
    if not recipe.service:
        window = WindowSource(records, position.order, share, stream, draws, skip, False, points)
        return window, WINDOWS_AHEAD
    size = samples_lib.pixel_bytes(recipe.elements) * (points.members if points else 1)
    whole = dataclasses.replace(
        records, window=service_lib.served_window(share, records.window, size)
    )  # windows of whole batches
    return WindowSource(whole, position.order, share, stream, draws, skip, True, points), 0


def _watched(ds: tf.data.Dataset, stream: int, *, timed: bool) -> tf.data.Dataset:
    """The same elements; each iterator of them begins anew, whatever became of the one before.

    One that was given up between the end of its epoch and the next beginning has that be an end
    (see native/begin_iteration.cc), which it never took.

    Args:
        ds: The elements.
        stream: Their stream's number.
        timed: Count how long whoever iterates the dataset waits for each.
    """

    @tf.autograph.experimental.do_not_convert
    def before(_: tf.Tensor) -> tf.Tensor:
        return ops.count_waiting(stream=stream) if timed else tf.constant(0, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def first(number: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([ops.end_iteration(tf.constant(False), stream=stream)]):
            return before(number)

    @tf.autograph.experimental.do_not_convert
    def after(since: tf.Tensor, element: Any) -> Any:
        if not timed:
            return element
        with tf.control_dependencies([ops.count_waiting(since, stream=stream)]):
            return tf.nest.map_structure(tf.identity, element, expand_composites=True)

    # A zip asks its parts one after the other: for the time, and then for the element.
    times = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).repeat()
    clock = tf.data.Dataset.range(1).map(first).concatenate(times.map(before) if timed else times)
    return tf.data.Dataset.zip((clock, ds)).map(after)

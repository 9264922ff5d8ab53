"""What comes in any order, and may stop coming, put back into its order.

A graph of `tf.data` alone: it serializes, and needs no Python when it runs.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["KEPT_BYTES", "PATIENCE_SECONDS", "in_order", "kept_elements", "sent"]

# So long the element whose turn it is may be awaited while there are others; anew, and twice as
# long, where that was in vain.
PATIENCE_SECONDS = 5
_MOST_PATIENCE_SECONDS = 320
# Of elements that came before their turn, together. What does not fit is dropped, and asked for
# again in its turn.
KEPT_BYTES = 1 << 30
_FEWEST_KEPT, _MOST_KEPT = 16, 1024
# What a sample has where the graph does not know it: an encoded picture.
_UNKNOWN_BYTES = 100_000

# In place of an element's place, and how often it comes.
_TICK = -1
_TICK_SECONDS = 1


def sent(elements: tf.data.Dataset, token: tf.Tensor) -> tf.data.Dataset:
    """Elements, and after the last of them a sign of life every second, without end.

    What of a service's worker is done: so that its client is not left waiting for another one,
    that died, without ever hearing of it.

    Args:
        elements: (place, element), the place an int64 scalar.
        token: float64 scalar, by which who asked for these very elements knows them again.

    Returns:
        (token, place, the element's tensors); the place of a sign of life is negative.
    """
    import tensorflow as tf

    parts = tf.nest.flatten(elements.element_spec[1], expand_composites=True)

    @tf.autograph.experimental.do_not_convert
    def flat(place: tf.Tensor, element: Any) -> tuple[tf.Tensor, tf.Tensor, tuple[Any, ...]]:
        return token, place, tuple(tf.nest.flatten(element, expand_composites=True))

    @tf.autograph.experimental.do_not_convert
    def sign(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tuple[Any, ...]]:
        shapes = [[size or 0 for size in part.shape] for part in parts]
        nothing = (tf.zeros(n, part.dtype) for n, part in zip(shapes, parts, strict=True))
        return token, tf.constant(_TICK, tf.int64), tuple(nothing)

    numbers = tf.data.Dataset.range(tf.int64.max)
    clock = tf.data.experimental.from_variant(
        tf.raw_ops.SleepDataset(
            input_dataset=tf.data.experimental.to_variant(numbers),
            sleep_microseconds=tf.constant(_TICK_SECONDS * 1_000_000, tf.int64),
            output_types=[tf.int64],
            output_shapes=[tf.TensorShape([])],
        ),
        numbers.element_spec,
    )
    return elements.map(flat).concatenate(clock.map(sign))


def kept_elements(spec: Any, samples: int) -> int:
    """How many elements that came before their turn are kept.

    Args:
        spec: Of an element.
        samples: In an element; its outermost dimension, where there is one.
    """
    import tensorflow as tf

    size = 0
    for part in tf.nest.flatten(spec, expand_composites=True):
        known = isinstance(part, tf.TensorSpec) and part.dtype.size and part.shape.rank is not None
        inner = part.shape[1:] if known and part.shape.rank else None
        if known and part.shape.is_fully_defined():
            size += part.dtype.size * part.shape.num_elements()
        elif inner is not None and inner.is_fully_defined():
            size += samples * part.dtype.size * inner.num_elements()
        else:
            size += samples * _UNKNOWN_BYTES
    return max(_FEWEST_KEPT, min(_MOST_KEPT, KEPT_BYTES // max(1, size)))


def in_order(
    source: Callable[[tf.Tensor, tf.Tensor], tuple[tf.data.Dataset, Any]],
    count: tf.Tensor,
    *,
    samples: int,
    whence: str,
) -> tf.data.Dataset:
    """The elements of sources that may give them in any order, not all, or nothing any more.

    Each comes once, in its turn. Where the next one does not come, the source is given up, and
    another one asked for what is missing from there on.

    Args:
        source: A number of elements, int64 scalar, and a token to those after them, as `sent`, in
            any order, their places counted from the first of them: 0, 1 ...; and an element's spec.
        count: How many elements there are, int64 scalar.
        samples: In each of them; see `kept_elements`.
        whence: Where they come from, for the message about giving up.
    """
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def remembered(_: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.AnonymousMutableHashTable(key_dtype=tf.int64, value_dtype=tf.int64)

    # A table of this iteration alone, which goes with it: no variable, no state of the process.
    @tf.autograph.experimental.do_not_convert
    def sources(table: tf.Tensor) -> tf.data.Dataset:
        memory = _Memory(table)

        @tf.autograph.experimental.do_not_convert
        def missing(_: tf.Tensor) -> tf.Tensor:
            return memory.given()[0] < count

        @tf.autograph.experimental.do_not_convert
        def given_by_one(_: tf.Tensor) -> tf.data.Dataset:
            given, patience = memory.given()
            token = tf.timestamp()  # there is no other like it
            arrivals, spec = source(given, token)
            known = arrivals.map(functools.partial(_known, token, whence))
            return _given_by_one(known, spec, memory, given, patience, samples, whence)

        attempts = tf.data.Dataset.range(tf.int64.max).take_while(missing)
        return attempts.flat_map(given_by_one).take(count)

    return tf.data.Dataset.from_tensors(0).map(remembered).flat_map(sources)


class _Memory:
    """How many elements were given, and for how long the next is awaited."""

    def __init__(self, table: tf.Tensor) -> None:
        self._table = table

    def given(self) -> tuple[tf.Tensor, tf.Tensor]:
        import tensorflow as tf

        found = tf.raw_ops.LookupTableFindV2(
            table_handle=self._table, keys=self._keys(), default_value=tf.constant(0, tf.int64)
        )
        return found[0], tf.maximum(found[1], PATIENCE_SECONDS)

    def note(self, given: tf.Tensor, patience: tf.Tensor | int) -> tf.Operation:
        import tensorflow as tf

        values = tf.stack([given, tf.cast(patience, tf.int64)])
        return tf.raw_ops.LookupTableInsertV2(
            table_handle=self._table, keys=self._keys(), values=values
        )

    @staticmethod
    def _keys() -> tf.Tensor:
        import tensorflow as tf

        return tf.constant([0, 1], tf.int64)


def _known(
    token: tf.Tensor, whence: str, theirs: tf.Tensor, place: tf.Tensor, flat: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """What came, as one tensor, if it is what was asked for.

    A dispatcher that was started anew counts its tasks from the beginning, and workers that still
    have one of that number go on with theirs.
    """
    import tensorflow as tf

    message = (
        f"the workers of {whence} make batches for a dispatcher that is gone: start them anew, "
        "too, or let dispatchers keep what they know (`tfstream dispatcher --work-dir`)"
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(theirs, token), [message])]):
        return place, tf.raw_ops.OptionalFromValue(components=flat)


def _given_by_one(
    arrivals: tf.data.Dataset,
    spec: Any,
    memory: _Memory,
    given: tf.Tensor,
    patience: tf.Tensor,
    samples: int,
    whence: str,
) -> tf.data.Dataset:
    """The elements of one source that come in their turn, until they do not."""
    import tensorflow as tf

    slots = kept_elements(spec, samples)
    parts = tf.nest.flatten(spec, expand_composites=True)

    @tf.autograph.experimental.do_not_convert
    def put(kept: tf.Tensor, slot: tf.Tensor, parcel: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.TensorListSetItem(
            input_handle=kept, index=tf.cast(slot, tf.int32), item=parcel
        )

    @tf.autograph.experimental.do_not_convert
    def step(state: Any, arrival: Any) -> Any:
        kept, there, due, dropped, since, gave = state
        place, parcel = arrival
        is_element = place >= 0
        fits = is_element & (place >= due) & (place - due < slots)
        slot = tf.maximum(place, 0) % slots
        # What does not fit goes into a slot of its own, where nobody looks for it.
        kept = put(kept, tf.where(fits, slot, slots), parcel)
        there |= tf.equal(tf.range(slots, dtype=tf.int64), slot) & fits
        dropped = tf.where(is_element & (place - due >= slots), tf.minimum(dropped, place), dropped)
        turn = tf.cast(tf.roll(there, -(due % slots), 0), tf.int64)
        run = tf.reduce_sum(tf.math.cumprod(turn))
        # What is given must not be kept: the slots' memory is not ours any more.
        left = tf.while_loop(
            lambda i, _: i < due + run,
            lambda i, kept: (i + 1, put(kept, i % slots, tf.raw_ops.OptionalNone())),
            (due, kept),
        )[1]
        # Whoever takes the elements may take his time: that between them does not count.
        now = tf.timestamp()
        since = tf.where(gave, now, since)
        over = due >= dropped
        late = (now - since >= tf.cast(patience, tf.float64)) & tf.equal(run, 0) & ~over
        behind = (tf.range(slots, dtype=tf.int64) - due) % slots
        out = (kept, due, run, over | late, late)
        return (left, there & (behind >= run), due + run, dropped, since, run > 0), out

    @tf.autograph.experimental.do_not_convert
    def goes_on(
        kept: tf.Tensor,
        due: tf.Tensor,
        run: tf.Tensor,
        over: tf.Tensor,
        late: tf.Tensor,
    ) -> tf.Tensor:
        def say() -> tf.Tensor:
            told = tf.print(
                f"tfstream: {whence}: no batch in its turn for",
                patience,
                "s (a worker died?): asking again for batch",
                given + due,
                "and those after it",
                output_stream=sys.stderr,
            )
            with tf.control_dependencies(
                [told, memory.note(given + due, tf.minimum(2 * patience, _MOST_PATIENCE_SECONDS))]
            ):
                return tf.constant(False)

        return tf.cond(late, say, lambda: ~over)

    @tf.autograph.experimental.do_not_convert
    def give(
        kept: tf.Tensor,
        due: tf.Tensor,
        run: tf.Tensor,
        over: tf.Tensor,
        late: tf.Tensor,
    ) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def unwrap(place: tf.Tensor) -> Any:
            parcel = tf.raw_ops.TensorListGetItem(
                input_handle=kept,
                index=tf.cast(place % slots, tf.int32),
                element_shape=tf.constant([], tf.int32),
                element_dtype=tf.variant,
            )
            with tf.control_dependencies([memory.note(given + place + 1, PATIENCE_SECONDS)]):
                flat = tf.raw_ops.OptionalGetValue(
                    optional=parcel,
                    output_types=[part.dtype for part in parts],
                    output_shapes=[part.shape for part in parts],
                )
            return tf.nest.pack_sequence_as(spec, flat, expand_composites=True)

        return tf.data.Dataset.range(due, due + run).map(unwrap)

    kept = tf.raw_ops.TensorListReserve(
        element_shape=tf.constant([], tf.int32), num_elements=slots + 1, element_dtype=tf.variant
    )
    never = tf.constant(tf.int64.max, tf.int64)
    state = (
        kept,
        tf.fill([slots], False),
        tf.constant(0, tf.int64),
        never,
        tf.constant(0.0, tf.float64),
        tf.constant(True),
    )
    return arrivals.scan(state, step).take_while(goes_on).flat_map(give)

"""A stream taken apart: each of its stages as a tf.data pipeline that has only that to do.

What a stage takes in lies in memory, made by the stages before it; of what it
gives, one number is kept, so that handing it on costs the same for all of them.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import pixels, samples, stream, stream_options
from tfstream.errors import InvalidArgumentError
from tfstream.source import Chunk

if TYPE_CHECKING:
    from tfstream.stream import Recipe

__all__ = ["Pipeline", "held", "pipelines"]

_CHUNK = 32  # records that are parsed at once, as a local source has it
_TOGETHER = 256  # numbers that are handed on at once
_BYTES = 64 << 20  # 64 MiB of finished samples, that are held in memory
_MOST = 256  # of them


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Something to run.

    Attributes:
        name: A stage; "finish" is decoding and augmenting together; "whole" is the stream itself,
            and "memory" what it would be if parsed records lay in memory.
        dataset: Without end.
        items: How many samples an element is of.
    """

    name: str
    dataset: tf.data.Dataset
    items: int


def pipelines(recipe: Recipe) -> list[Pipeline]:
    """The stages of a stream, the stream, and its ceiling.

    Args:
        recipe: Of a stream of batches that this process makes, of one dataset.

    Raises:
        InvalidArgumentError: The stream is made by a service, is a mix, or has data points, a
            transform or no batches.
    """
    _check(recipe)
    elements = recipe.elements
    size = int(recipe.position.share.batch_size or 1)
    epoch = tf.constant(0, tf.int64)
    parse = samples.parser(elements, recipe.labels, skip_corrupt=False, blank=None)
    finish = samples.finisher(
        elements,
        recipe.labels,
        formats=recipe.formats,
        rotated=recipe.rotated,
        largest=recipe.largest,
    )
    calls = stream.parallel_calls()

    def read(parse: Callable[[Chunk], Any], count: int | None = None) -> tf.data.Dataset:
        """What a source gives of records: all of an epoch, again and again; or the first ones."""
        source, _ = stream.source_of(recipe, secrets.randbits(62))
        once = source.epochs(parse)(epoch, epoch)
        return once.repeat() if count is None else once.take(count)

    chunks = read(_fields, held(recipe)).batch(_CHUNK).cache()
    rows = chunks.map(_parsed(parse)).unbatch().cache()
    done = rows.map(finish, num_parallel_calls=calls, deterministic=True)
    together = stream.batcher(elements)

    stages = {
        "read": read(lambda chunk: tf.strings.length(chunk.records)),
        "parse": chunks.repeat().map(_parsed(parse)).unbatch().map(_number),
        "finish": rows.repeat().map(_numbered(finish), num_parallel_calls=calls),
    }
    if elements.spec:
        stages["decode"] = rows.repeat().map(_numbered(_decode(recipe)), num_parallel_calls=calls)
    found = [Pipeline(name, ds.batch(_TOGETHER), _TOGETHER) for name, ds in stages.items()]
    ready = done.cache().repeat()
    memory = rows.repeat().map(finish, num_parallel_calls=calls, deterministic=True)
    found += [
        Pipeline("batch", together(ready, size, drop_remainder=True), size),
        Pipeline("memory", together(memory, size, drop_remainder=True).prefetch(2), size),
    ]
    _, waiting = stream.source_of(recipe, secrets.randbits(62))
    options = stream_options.options_of(waiting=waiting)
    found = [dataclasses.replace(one, dataset=one.dataset.with_options(options)) for one in found]
    return [*found, Pipeline("whole", _whole(recipe), size)]


def _check(recipe: Recipe) -> None:
    from tfstream.mixture import MixedRecords

    unfit = {
        "is made by the workers of a service": recipe.service is not None,
        "is a mix": isinstance(recipe.records, MixedRecords),
        "has data points of several records": recipe.points is not None,
        "has a transform": recipe.transform is not None,
        "has no batches": recipe.position.share.batch_size is None,
    }
    for what, found in unfit.items():
        if found:
            raise InvalidArgumentError(
                f"the stream {what}, and only a plain stream of batches is taken apart: make one "
                "of the same dataset without that"
            )


def _whole(recipe: Recipe) -> tf.data.Dataset:
    """The stream itself, epoch after epoch."""
    position = dataclasses.replace(recipe.position, epochs=None)
    return stream.build(dataclasses.replace(recipe, position=position, log_every=None))


def held(recipe: Recipe) -> int:
    """How many records, and samples made of them, are held in memory."""
    most = min(_MOST, _BYTES // max(1, samples.pixel_bytes(recipe.elements)))
    return max(1, min(most, recipe.position.share.records))


def _fields(chunk: Chunk) -> dict[str, tf.Tensor]:
    """What there is of a chunk; rows of nothing are not: TensorFlow's batches of them crash."""
    named = {field.name: getattr(chunk, field.name) for field in dataclasses.fields(chunk)}
    return {
        name: value
        for name, value in named.items()
        if value is not None and value.shape.as_list()[1:] != [0]
    }


def _parsed(parse: Callable[[Chunk], Any]) -> Callable[[dict[str, tf.Tensor]], Any]:
    @tf.autograph.experimental.do_not_convert
    def of_fields(fields: dict[str, tf.Tensor]) -> Any:
        none = tf.zeros([tf.size(fields["sound"]), 0])
        return parse(Chunk(**{"uniforms": none, **fields}))

    return of_fields


def _decode(recipe: Recipe) -> Callable[[dict[str, Any]], tf.Tensor]:
    """The function that does of a sample nothing but the decoding."""
    spec = recipe.elements.spec
    if spec is None:
        raise ValueError("nothing is decoded")

    def decode(row: dict[str, Any]) -> tf.Tensor:
        picture = pixels.Picture(
            row["encoded"],
            row["height"],
            row["width"],
            row["orientation"] if recipe.rotated else tf.constant(1),
            recipe.formats,
            recipe.rotated,
            recipe.largest,
        )
        return pixels.decode_block(spec, picture, row["view"]).image

    return decode


def _numbered(function: Callable[[Any], Any]) -> Callable[[Any], tf.Tensor]:
    @tf.autograph.experimental.do_not_convert
    def of_row(row: Any) -> tf.Tensor:
        return _number(function(row))

    return of_row


@tf.autograph.experimental.do_not_convert
def _number(*values: Any) -> tf.Tensor:
    """One number that all of the values are needed for: else a graph leaves work out."""
    parts = list(_numbers(tf.nest.flatten(values, expand_composites=True)))
    return tf.add_n(parts)


def _numbers(tensors: list[tf.Tensor]) -> Iterator[tf.Tensor]:
    for tensor in tensors:
        if tensor.dtype == tf.string:
            # The length of the first: what is in it need not be looked at.
            first = tf.reshape(tensor, [-1])[:1]
            yield tf.reduce_sum(tf.cast(tf.strings.length(first), tf.int32))
        else:
            yield tf.reduce_sum(tf.cast(tf.reshape(tensor, [-1])[:1], tf.int32))

"""Keypoints follow what is done to their picture, in graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tfstream.keypoint_names import partners

if TYPE_CHECKING:
    import tensorflow as tf

    from tfstream.images import View

__all__ = ["Points", "follow", "of_objects"]


class Points(NamedTuple):
    """The keypoints of one picture's objects, padded at their ends.

    Attributes:
        x: float32 [points], as fractions of the picture as displayed; padded with NaN.
        y: float32 [points].
        visibility: int64 [points], 0 to 2; padded with -1, as where nothing is said.
        names: string [points], empty where nothing is said.
        counts: int64 [objects], how many each object has; padded with 0. Without any, all
            objects have as many.
    """

    x: tf.Tensor
    y: tf.Tensor
    visibility: tf.Tensor
    names: tf.Tensor
    counts: tf.Tensor


def of_objects(
    points: Points, wanted: tuple[str, ...] | int, *, objects: tf.Tensor, known: tf.Tensor
) -> tf.Tensor:
    """The keypoints of each object, in one order.

    Args:
        points: Of the picture.
        wanted: Names of the points, or how many an object has. Points without a name count as
            those at the same place.
        objects: int scalar, how many objects there are, with padding.
        known: int scalar, how many without.

    Returns:
        float32 [objects, wanted, 3]: y, x and visibility; zeros where the object has no such
        point. `tf.errors.InvalidArgumentError` is raised where features contradict each other.
    """
    import tensorflow as tf

    count = wanted if isinstance(wanted, int) else len(wanted)
    total = tf.math.count_nonzero(~tf.math.is_nan(points.x), dtype=tf.int32)
    counts = tf.cast(points.counts, tf.int32)
    alike = tf.fill([known], total // tf.maximum(known, 1))
    counts = tf.cond(tf.reduce_any(tf.not_equal(counts, 0)), lambda: counts, lambda: alike)
    told = tf.reduce_sum(counts)
    ys = tf.math.count_nonzero(~tf.math.is_nan(points.y), dtype=tf.int32)
    consistent = tf.debugging.Assert(
        tf.equal(told, total)
        & tf.equal(total, ys)
        & tf.reduce_all(counts >= 0)
        & tf.reduce_all(tf.equal(counts[known:], 0)),
        ["tfstream: the features of the record's keypoints contradict each other"],
    )
    with tf.control_dependencies([] if consistent is None else [consistent]):
        total, counts, x, y = (tf.identity(t) for t in (total, counts, points.x, points.y))
    nothing = tf.zeros([objects, count, 3])

    def placed() -> tf.Tensor:
        owner = tf.repeat(tf.range(tf.size(counts)), counts)
        slot = tf.range(total) - tf.gather(tf.cumsum(counts, exclusive=True), owner)
        if not isinstance(wanted, int):
            # The names may be fewer than the points, where all have none.
            names = points.names[:total]
            names = tf.pad(names, [[0, total - tf.size(names)]])
            # Each name is wanted once at most.
            same = tf.cast(tf.equal(names[:, None], tf.constant(wanted)), tf.int32)
            named = tf.reduce_sum(same * (tf.range(count) - count), axis=1) + count
            slot = tf.where(tf.equal(names, ""), slot, named)
        seen = points.visibility[:total]
        seen = tf.pad(seen, [[0, total - tf.size(seen)]], constant_values=-1)
        seen = tf.cast(tf.where(seen < 0, tf.constant(2, tf.int64), seen), tf.float32)
        values = tf.stack([y[:total], x[:total], seen], axis=-1)
        values = tf.where(seen[:, None] > 0, values, 0.0)
        there = slot < count
        places = tf.stack([owner[there], slot[there]], axis=-1)
        return tf.tensor_scatter_nd_update(nothing, places, values[there])

    return tf.ensure_shape(tf.cond(total > 0, placed, lambda: nothing), [None, count, 3])


def follow(
    points: tf.Tensor,
    wanted: tuple[str, ...] | int,
    view: View,
    *,
    flip: bool,
    height: tf.Tensor,
    width: tf.Tensor,
) -> tf.Tensor:
    """Where a picture's keypoints lie in the image that is made of it.

    Args:
        points: float32 [n, k, 3], y and x as fractions of the picture as displayed, and visibility.
        wanted: Their names, or how many they are.
        view: What the image shows.
        flip: Whether it may be mirrored; needs names.
        height: int scalar, of the picture as displayed, in pixels.
        width: int scalar.

    Returns:
        float32 [n, k, 3]: as fractions of the image; zeros for points outside. In a mirrored
        image, left points and right ones have changed places.
    """
    import tensorflow as tf

    sides = tf.cast(tf.stack([height, width]), tf.float32)
    places = (points[..., :2] * sides - view.window[:2]) / view.window[2:]
    if flip and not isinstance(wanted, int):
        mirrored = tf.stack([places[..., 0], 1 - places[..., 1]], axis=-1)
        places = tf.where(view.flip, mirrored, places)
    seen = points[..., 2:]
    inside = tf.reduce_all((places >= 0) & (places <= 1), -1, keepdims=True) & (seen > 0)
    out = tf.where(inside, tf.concat([places, seen], -1), 0.0)
    if flip and not isinstance(wanted, int):
        out = tf.where(
            view.flip, tf.stack([out[:, place] for place in partners(wanted)], axis=1), out
        )
    return out

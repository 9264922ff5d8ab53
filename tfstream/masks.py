"""Masks follow what is done to their picture, in graph: stored ones, and those of polygons.

A pixel of an image belongs to an object where its centre does: of stored masks that is the
nearest pixel, of polygons what the outline encloses. An object with both has its stored mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

    from tfstream.images import View

__all__ = ["Shapes", "instances", "label_map", "void"]

_HEADER = 24  # bytes of a PNG, at whose end its width and height are


class Shapes(NamedTuple):
    """The masks and polygons of one picture's objects, padded at their ends.

    Attributes:
        pngs: string [objects], empty for objects without; of no length where no object has one.
        x: float32 [corners], all polygons' corners, as fractions of the picture as displayed;
            padded with NaN.
        y: float32 [corners].
        corners: int64 [polygons], how many corners each has; padded with 0.
        owners: int64 [polygons], whose each is; padded.
        height: int scalar, of the picture as displayed, in pixels.
        width: int scalar.
    """

    pngs: tf.Tensor
    x: tf.Tensor
    y: tf.Tensor
    corners: tf.Tensor
    owners: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor


def instances(
    shapes: Shapes, chosen: tf.Tensor, view: View, size: tuple[int, int], *, objects: tf.Tensor
) -> tf.Tensor:
    """The masks of some objects in the image that is made of their picture.

    Args:
        shapes: Of the picture's objects.
        chosen: int64 [n], the objects.
        view: What the image shows.
        size: (height, width) of the image, in pixels.
        objects: int scalar, how many the picture has.

    Returns:
        uint8 [n, *size]: 1 where the object is. Objects without any shape have none there.
        `tf.errors.InvalidArgumentError` is raised where features contradict each other.
    """
    import tensorflow as tf

    enclosed = _enclosed(shapes, chosen, view, size, objects)

    def with_stored() -> tf.Tensor:
        pngs = tf.gather(shapes.pngs, chosen)
        some = tf.strings.length(pngs) > 0
        return tf.where(some[:, None, None], _stored(shapes, pngs, view, size), enclosed)

    any_stored = tf.reduce_any(tf.strings.length(shapes.pngs) > 0)
    masks = tf.cond(any_stored, with_stored, lambda: enclosed)
    return tf.ensure_shape(masks, [None, *size])


def void(shapes: Shapes, png: tf.Tensor, view: View, size: tuple[int, int]) -> tf.Tensor:
    """Where nobody says what the image shows.

    Args:
        shapes: Of the picture.
        png: string scalar, the mask of such places in the picture; empty: there are none.
        view: What the image shows.
        size: (height, width) of the image, in pixels.

    Returns:
        bool [*size].
    """
    import tensorflow as tf

    return tf.cond(
        tf.equal(png, ""),
        lambda: tf.zeros(size, tf.bool),
        lambda: _stored(shapes, png[None], view, size)[0] > 0,
    )


def label_map(
    masks: tf.Tensor,
    labels: tf.Tensor,
    boxes: tf.Tensor,
    view: View,
    *,
    unknown: tf.Tensor,
    background: int | None,
    height: tf.Tensor,
    width: tf.Tensor,
) -> tf.Tensor:
    """One map of what is where, of the masks of all objects.

    Of objects that overlap, the one with the smaller box lies on top, as in `label="index"` the
    largest box counts.

    Args:
        masks: uint8 [n, h, w], of the image.
        labels: int64 [n], the objects' classes.
        boxes: float32 [n, 4], their boxes in the picture.
        view: What the image shows.
        unknown: bool [h, w], see `void`; what belongs to an object all the same, does.
        background: The class of what belongs to no object; None: there is none.
        height: int scalar, of the picture as displayed, in pixels.
        width: int scalar.

    Returns:
        int32 [h, w]: -1 outside the picture, where it is not known, and where there is no class.
    """
    import tensorflow as tf

    size = masks.shape[1:]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # -0.0 + 0.0: a stable sort of -areas, largest first.
    ranked = tf.argsort(-areas, stable=True)
    ranks = tf.scatter_nd(ranked[:, None], tf.range(1, tf.size(ranked) + 1), tf.shape(ranked))
    painted = tf.where(masks > 0, tf.cast(ranks, tf.int16)[:, None, None], tf.constant(0, tf.int16))
    top = tf.reduce_max(painted, axis=0, keepdims=False)
    top = tf.cast(tf.maximum(top, 0), tf.int32)  # of no object at all the maximum is the least
    nothing = tf.constant([-1 if background is None else background], tf.int32)
    classes = tf.concat([nothing, tf.gather(tf.cast(labels, tf.int32), ranked)], 0)
    _, in_rows = _nearest(view.window[0], view.window[2], size[0], height)
    _, in_columns = _nearest(view.window[1], view.window[3], size[1], width)
    in_columns = tf.where(view.flip, in_columns[::-1], in_columns)
    inside = in_rows[:, None] & in_columns[None] & ~(unknown & tf.equal(top, 0))
    return tf.where(inside, tf.gather(classes, top), tf.constant(-1, tf.int32))


def _nearest(
    begin: tf.Tensor, extent: tf.Tensor, size: int, limit: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The picture's row at the centre of each of the image's rows; or columns.

    Returns:
        int32 [size], within the picture, and whether it is one of the picture's, bool [size].
    """
    import tensorflow as tf

    begin, extent = tf.cast(begin, tf.float64), tf.cast(extent, tf.float64)
    centres = (tf.range(size, dtype=tf.float64) + 0.5) * (extent / size) + begin
    places, limit = tf.cast(tf.floor(centres), tf.int32), tf.cast(limit, tf.int32)
    return tf.clip_by_value(places, 0, limit - 1), (places >= 0) & (places < limit)


def _stored(shapes: Shapes, pngs: tf.Tensor, view: View, size: tuple[int, int]) -> tf.Tensor:
    """uint8 [n, *size]: stored masks; empty where there is none."""
    import tensorflow as tf

    rows, in_rows = _nearest(view.window[0], view.window[2], size[0], shapes.height)
    columns, in_columns = _nearest(view.window[1], view.window[3], size[1], shapes.width)
    columns = tf.where(view.flip, columns[::-1], columns)
    in_columns = tf.where(view.flip, in_columns[::-1], in_columns)
    inside = tf.cast(in_rows[:, None] & in_columns[None], tf.uint8)
    sides = tf.stack([tf.cast(shapes.width, tf.int32), tf.cast(shapes.height, tf.int32)])

    def decoded(png: tf.Tensor) -> tf.Tensor:
        # By the header, before memory is taken for what it promises.
        header = tf.strings.substr(png, _HEADER - 8, 8)
        told = tf.io.decode_raw(header, tf.int32, little_endian=False)
        same = tf.debugging.assert_equal(
            told, sides, "tfstream: a mask in the record has not the width and height of the image"
        )
        with tf.control_dependencies([] if same is None else [same]):
            mask = tf.io.decode_png(png, channels=1)[..., 0]
        drawn = tf.gather(tf.gather(mask, rows), columns, axis=1)
        return tf.cast(drawn > 0, tf.uint8) * inside

    def one(png: tf.Tensor) -> tf.Tensor:
        there = tf.strings.length(png) >= _HEADER
        return tf.cond(there, lambda: decoded(png), lambda: tf.zeros(size, tf.uint8))

    return tf.map_fn(one, pngs, fn_output_signature=tf.TensorSpec(size, tf.uint8))


def _enclosed(
    shapes: Shapes, chosen: tf.Tensor, view: View, size: tuple[int, int], objects: tf.Tensor
) -> tf.Tensor:
    """uint8 [n, *size]: what the objects' polygons enclose.

    Each edge leaves its direction at the first pixel behind it, in each row whose centre it
    crosses; summed up along a row, that is how often a polygon winds around a pixel. All
    polygons of an object are taken as turning the same way, so that they add up.
    """
    import tensorflow as tf

    real = tf.not_equal(shapes.corners, 0)
    counts, owners = shapes.corners[real], shapes.owners[real]
    corners = tf.reduce_sum(counts)
    consistent = tf.debugging.Assert(
        tf.equal(corners, tf.math.count_nonzero(~tf.math.is_nan(shapes.x)))
        & tf.equal(corners, tf.math.count_nonzero(~tf.math.is_nan(shapes.y)))
        & tf.reduce_all(counts > 0)
        & tf.reduce_all((owners >= 0) & (owners < tf.cast(objects, tf.int64))),
        ["tfstream: the features of the record's polygons contradict each other"],
    )
    with tf.control_dependencies([] if consistent is None else [consistent]):
        corners, counts, owners, x, y = (
            tf.identity(t) for t in (corners, counts, owners, shapes.x, shapes.y)
        )
    ends = tf.cumsum(counts)
    polygon = tf.repeat(tf.range(tf.size(counts)), counts)
    following = tf.range(corners, dtype=tf.int64) + 1
    last = tf.equal(following, tf.gather(ends, polygon))
    following = tf.where(last, tf.gather(ends - counts, polygon), following)
    x, y = _in_image(shapes._replace(x=x[:corners], y=y[:corners]), view, size)
    x_next, y_next = tf.gather(x, following), tf.gather(y, following)
    areas = tf.math.unsorted_segment_sum(x * y_next - x_next * y, polygon, tf.size(counts))

    low, high = tf.minimum(y, y_next), tf.maximum(y, y_next)
    begin, end = (
        tf.cast(tf.clip_by_value(tf.math.ceil(side - 0.5), 0.0, size[0]), tf.int32)
        for side in (low, high)
    )
    edge = tf.repeat(tf.range(tf.size(begin)), end - begin)
    before = tf.cumsum(end - begin, exclusive=True)
    row = tf.range(tf.size(edge)) - tf.gather(before, edge) + tf.gather(begin, edge)
    slope = tf.math.divide_no_nan(x_next - x, y_next - y)
    crossing = tf.cast(row, tf.float64) + 0.5 - tf.gather(y, edge)
    crossing = tf.gather(x, edge) + crossing * tf.gather(slope, edge)
    column = tf.cast(tf.clip_by_value(tf.math.ceil(crossing - 0.5), 0.0, size[1]), tf.int32)
    turn = tf.sign(y_next - y) * tf.sign(tf.gather(areas, polygon))

    # Objects that nobody asked for are drawn into one behind the others.
    n = tf.size(chosen)
    places = tf.tensor_scatter_nd_update(
        tf.fill([objects], n), tf.cast(chosen, tf.int32)[:, None], tf.range(n)
    )
    owner = tf.gather(tf.gather(places, owners), tf.gather(polygon, edge))
    winding = tf.scatter_nd(
        tf.stack([owner, row, column], axis=-1),
        tf.cast(tf.gather(turn, edge), tf.int8),
        [n + 1, size[0], size[1] + 1],
    )
    winding = tf.cumsum(winding, axis=2)[:n, :, : size[1]]
    return tf.cast(tf.not_equal(winding, 0), tf.uint8)


def _in_image(shapes: Shapes, view: View, size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Corners in pixels of the image, float64; far outside they are cut off."""
    import tensorflow as tf

    window = tf.cast(view.window, tf.float64)

    def placed(values: tf.Tensor, side: tf.Tensor, axis: int) -> tf.Tensor:
        values = tf.cast(values, tf.float64) * tf.cast(side, tf.float64)
        out = (values - window[axis]) / window[axis + 2] * size[axis]
        return tf.clip_by_value(out, -1e6, 1e6)

    x, y = placed(shapes.x, shapes.width, 1), placed(shapes.y, shapes.height, 0)
    return tf.where(view.flip, size[1] - x, x), y

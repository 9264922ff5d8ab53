"""Labels as a model wants them, in graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["encode"]


def encode(
    mode: Literal["index", "one_hot", "multi_hot"],
    *,
    main: tf.Tensor | None,
    objects: tf.Tensor | None,
    classes: int,
    background: int | None,
) -> tf.Tensor:
    """Encodes the labels of one sample or of many.

    Args:
        mode: "index": of the main object. "one_hot": the same, as a vector. "multi_hot":
            a vector with a one for each class that has an object; in an image without
            objects, for the background.
        main: int64 [...], the main object's class, or the background's; -1: none. Not
            needed for "multi_hot".
        objects: int64 [..., n], the class of each object, -1 where there is none. Needed
            for "multi_hot" alone.
        classes: How many there are, with the background.
        background: The background's index, where it is a class.

    Returns:
        int64 [...] for "index"; otherwise float32 [..., classes]. An image without any
        class has only zeros.
    """
    import tensorflow as tf

    if mode == "index":
        return main
    if mode == "one_hot":
        return tf.one_hot(main, classes)
    if objects is None:
        raise InvalidArgumentError(f"label={mode!r} is made of the objects' labels (got None)")
    # Not one_hot and a maximum over the objects: that would make [..., n, classes].
    leading = tf.shape(objects)[:-1]
    flat = tf.reshape(objects, [tf.reduce_prod(leading), tf.shape(objects)[-1]])
    if background is not None:
        empty = tf.reduce_all(flat < 0, axis=-1, keepdims=True)
        filler = tf.where(empty, tf.cast(background, flat.dtype), tf.cast(-1, flat.dtype))
        flat = tf.concat([flat, filler], axis=-1)
    present = tf.where(flat >= 0)
    places = tf.stack([present[:, 0], tf.cast(tf.gather_nd(flat, present), tf.int64)], axis=-1)
    hot = tf.tensor_scatter_nd_update(
        tf.zeros([tf.shape(flat)[0], classes]), places, tf.ones(tf.shape(places)[:1])
    )
    out = tf.reshape(hot, tf.concat([leading, [classes]], 0))
    return tf.ensure_shape(out, [*objects.shape[:-1], classes])

"""Boxes follow what is done to their picture, in graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from tfstream.images import ImageSpec, View

__all__ = ["follow", "pad"]


def follow(
    boxes: tf.Tensor, view: View, spec: ImageSpec, *, height: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where a picture's boxes lie in the image that is made of it.

    Args:
        boxes: float32 [..., n, 4], ymin xmin ymax xmax as fractions of the picture as
            displayed.
        view: What the image shows; leading axes [...].
        spec: How the image is made.
        height: int [...], of the picture as displayed, in pixels.
        width: int [...].

    Returns:
        Boxes as fractions of the image, cut at its edges, float32 [..., n, 4], and whether
        anything is left of each, bool [..., n].
    """
    import tensorflow as tf

    sides = tf.stack([height, width, height, width], axis=-1)
    place = tf.gather(view.window, [0, 1, 0, 1], axis=-1)
    extent = tf.gather(view.window, [2, 3, 2, 3], axis=-1)
    sides, place, extent = (
        tf.cast(t, tf.float32)[..., tf.newaxis, :] for t in (sides, place, extent)
    )
    out = tf.clip_by_value((boxes * sides - place) / extent, 0.0, 1.0)
    if spec.flip:
        mirrored = tf.stack([out[..., 0], 1 - out[..., 3], out[..., 2], 1 - out[..., 1]], axis=-1)
        out = tf.where(view.flip[..., tf.newaxis, tf.newaxis], mirrored, out)
    keep = (out[..., 2] > out[..., 0]) & (out[..., 3] > out[..., 1])
    return out, keep


def pad(values: tf.Tensor, *, count: int, filler: int = 0) -> tf.Tensor:
    """Makes the number of boxes, or of what belongs to each, the same for every image.

    Args:
        values: [n, ...], n at most `count`.
        count: How many there shall be.
        filler: What is put behind them.

    Returns:
        [count, ...].
    """
    import tensorflow as tf

    missing = [[0, count - tf.shape(values)[0]], *[[0, 0]] * (values.shape.rank - 1)]
    padded = tf.pad(values, missing, constant_values=filler)
    return tf.ensure_shape(padded, [count, *values.shape[1:]])

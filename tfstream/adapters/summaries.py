"""Summaries as TensorBoard reads them; `tf.summary.scalar` works where TensorBoard is installed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import tensorflow as tf

__all__ = ["write_images", "write_scalar"]


def write_scalar(tag: str, value: float, step: int) -> None:
    """Writes a number to the default writer."""
    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(tag, tf.constant(value, tf.float32), step, metadata)


def write_images(tag: str, pictures: Sequence[bytes], step: int) -> None:
    """Writes pictures to the default writer.

    Args:
        tag: Their name.
        pictures: PNG files, all of one size; none: nothing is written.
        step: When.
    """
    if not pictures:
        return
    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_BLOB_SEQUENCE")
    metadata.plugin_data.plugin_name = "images"
    # The width and height of a PNG stand behind its signature and the header's name.
    width, height = struct.unpack(">II", pictures[0][16:24])
    sizes = [str(width).encode(), str(height).encode()]
    tf.summary.write(tag, tf.constant([*sizes, *pictures]), step, metadata)

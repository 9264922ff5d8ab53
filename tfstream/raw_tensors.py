"""The tensors of records, in graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from tfstream.format.tensors import TensorSpec

__all__ = ["decode"]

# Those that TensorFlow does not decode: it takes the bits of another type for them.
_AS = {"uint32": "int32", "uint64": "int64"}


def decode(spec: TensorSpec, data: tf.Tensor, *, skip_corrupt: bool = False) -> tf.Tensor:
    """Makes tensors of the bytes that records hold.

    Args:
        spec: What they are.
        data: string [n].
        skip_corrupt: Whether some are empty, of records that are left out later: zeros then.

    Returns:
        [n, *spec.shape], spec.dtype. A record with more or fewer bytes raises
        `tf.errors.InvalidArgumentError` when it is its turn.
    """
    if skip_corrupt:
        data = tf.where(tf.equal(data, ""), tf.constant(b"\0" * spec.size), data)
    flat = tf.io.decode_raw(data, _AS.get(spec.dtype, spec.dtype))
    flat = tf.ensure_shape(flat, [None, math.prod(spec.shape)])
    if spec.dtype in _AS:
        flat = tf.bitcast(flat, spec.dtype)
    return tf.reshape(flat, [-1, *spec.shape])

"""StreamPosition: where a stream is, as a part of TensorFlow's own checkpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

# What `tf.compat.v1.train.Saver` asks of anything but variables has no public name; it has kept
# its place since TensorFlow 2.0.
from tensorflow.python.training.saving import saveable_object

from tfstream.errors import InvalidArgumentError, StateError

if TYPE_CHECKING:
    from tfstream.stream import StreamDataset

__all__ = ["StreamPosition"]


class StreamPosition(tf.train.experimental.PythonState):
    """Where a stream is, for `tf.train.Checkpoint` and `tf.compat.v1.train.Saver`.

    A checkpoint that tracks it holds the stream's state as of when it is written. When it is
    restored, so is the stream: what is iterated next, the stream or what was made of it, begins
    there, on any number of workers. So make it first, then restore, and then iterate (in a session,
    run the initializer).

    Made in a TF1 graph, it is among what a `Saver` without a list of variables saves, under
    `name`; its ops work in the process that made them.

    Args:
        dataset: The stream.
        prefetched: Whether batches are fetched behind the stream before they are used, by a
            `prefetch` of yours or by a distribution strategy: then those count that `advance` was
            told of. Otherwise all count that the stream delivered.
        name: In a TF1 graph.

    Raises:
        InvalidArgumentError: The dataset is not a stream.

    >>> import os, tempfile
    >>> class Numbers:  # as a stream does
    ...     at = 0
    ...     def state(self, *, batches_consumed=None):
    ...         return {"position": self.at}
    ...     def restore(self, state):
    ...         self.at = state["position"]
    >>> stream = Numbers()
    >>> checkpoint = tf.train.Checkpoint(position=StreamPosition(stream))
    >>> stream.at = 3
    >>> path = checkpoint.save(os.path.join(tempfile.mkdtemp(), "checkpoint"))
    >>> stream.at = 9
    >>> status = checkpoint.restore(path)
    >>> stream.at
    3
    """

    def __init__(
        self, dataset: StreamDataset, *, prefetched: bool = False, name: str = "stream_position"
    ) -> None:
        if not callable(getattr(dataset, "restore", None)):
            raise InvalidArgumentError(
                "a StreamPosition needs the StreamDataset that stream() gave, before any map() or "
                f"batch() of your own (got {type(dataset).__name__})"
            )
        self._dataset = dataset
        self._consumed = 0 if prefetched else None
        if not tf.compat.v1.executing_eagerly_outside_functions():
            name = tf.compat.v1.get_default_graph().unique_name(name)
            tf.compat.v1.add_to_collection(
                tf.compat.v1.GraphKeys.SAVEABLE_OBJECTS, _Saveable(self, name)
            )

    def advance(self, batches: int = 1) -> None:
        """Counts batches as used, where they are prefetched.

        Args:
            batches: This worker's, since it was last told.

        Raises:
            InvalidArgumentError: They are not: the stream counts them by itself.
        """
        if self._consumed is None:
            raise InvalidArgumentError(
                "the stream counts by itself what it delivers: make the StreamPosition with "
                "prefetched=True to count what you use"
            )
        self._consumed += batches

    def serialize(self) -> str:
        """The stream's state, as JSON; TensorFlow calls it when it writes a checkpoint."""
        return json.dumps(self._dataset.state(batches_consumed=self._consumed))

    def deserialize(self, string_value: bytes | str) -> None:
        """Sets the stream back; TensorFlow calls it when it restores a checkpoint.

        Raises:
            StateError: It is the state of another stream; the message shows what differs.
        """
        try:
            state = json.loads(string_value)
        except ValueError as error:
            raise StateError(f"{string_value!r:.200} is not the state of a stream") from error
        self._dataset.restore(state)
        if self._consumed is not None:
            self._consumed = 0


class _Saveable(saveable_object.SaveableObject):
    """The same for a Saver, whose graph calls it whenever it saves and restores."""

    def __init__(self, position: StreamPosition, name: str) -> None:
        def state() -> np.bytes_:
            return np.bytes_(position.serialize().encode())

        self._position = position
        with tf.device("/cpu:0"):
            # Stateful, or the first state would be kept as a constant.
            now = tf.numpy_function(state, [], tf.string, stateful=True, name=f"{name}_state")
        now.set_shape([])
        super().__init__(now, [saveable_object.SaveSpec(now, "", name)], name)

    def restore(self, restored_tensors: list[tf.Tensor], restored_shapes: Any) -> tf.Operation:
        """The op that sets the stream back."""
        with tf.device("/cpu:0"):
            return tf.numpy_function(self._position.deserialize, restored_tensors, [])

"""ReinitializableIterator: one iterator that serves training and validation in turn."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# The public names hold neither an iterator without a dataset nor the flat types
# of a structure; these two have kept their place since TensorFlow 2.4.
from tensorflow.python.data.ops import iterator_ops
from tensorflow.python.data.util import structure

from tfstream.errors import InvalidArgumentError

__all__ = ["ReinitializableIterator"]


class ReinitializableIterator:
    """An iterator made of types and shapes, pointed at one dataset after another.

    The graph that reads from it is built once and serves them all. In eager mode
    and inside `tf.function`, `initialize` takes effect at once; in a TF1 graph it
    returns the op that a session runs.

    Args:
        element_spec: The structure of `tf.TypeSpec` of the elements, as
            `dataset.element_spec` gives it. Take it from a dataset whose last batch
            may be smaller than the others, if any of them is of that kind.

    >>> import tensorflow as tf
    >>> train, valid = tf.data.Dataset.range(3), tf.data.Dataset.range(10, 12)
    >>> it = ReinitializableIterator(train.element_spec)
    >>> it.initialize(train)
    >>> [int(x) for x in it]
    [0, 1, 2]
    >>> it.initialize(valid)
    >>> [int(x) for x in it]
    [10, 11]
    """

    def __init__(self, element_spec: Any) -> None:
        self._spec = element_spec
        self._eager = tf.compat.v1.executing_eagerly_outside_functions()
        if self._eager:
            resource = tf.raw_ops.AnonymousIteratorV3(
                output_types=structure.get_flat_tensor_types(element_spec),
                output_shapes=structure.get_flat_tensor_shapes(element_spec),
            )
            self._iterator = iterator_ops.OwnedIterator(
                components=(resource,), element_spec=element_spec
            )
        else:
            legacy = [
                tf.nest.map_structure(lambda spec, m=method: getattr(spec, m)(), element_spec)
                for method in (
                    "_to_legacy_output_types",
                    "_to_legacy_output_shapes",
                    "_to_legacy_output_classes",
                )
            ]
            self._iterator = tf.compat.v1.data.Iterator.from_structure(
                legacy[0], legacy[1], output_classes=legacy[2]
            )
        self._dataset: tf.data.Dataset | None = None

    @property
    def element_spec(self) -> Any:
        """The structure of `tf.TypeSpec` of the elements."""
        return self._spec

    def initialize(self, dataset: tf.data.Dataset) -> tf.Operation | None:
        """Points the iterator at the beginning of a dataset.

        Args:
            dataset: Of elements that fit `element_spec`.

        Returns:
            In a TF1 graph, the op to run; otherwise None.

        Raises:
            InvalidArgumentError: The dataset's elements are of another structure.
        """
        try:
            tf.nest.assert_same_structure(self._spec, dataset.element_spec)
            pairs = zip(
                tf.nest.flatten(self._spec), tf.nest.flatten(dataset.element_spec), strict=True
            )
            fits = all(mine.is_compatible_with(theirs) for mine, theirs in pairs)
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise InvalidArgumentError(
                f"the dataset's elements are {dataset.element_spec}, but the iterator was made "
                f"for {self._spec}: make both streams with the same image, label, boxes and "
                "elements arguments"
            )
        if not self._eager:
            return self._iterator.make_initializer(dataset)
        self._dataset = dataset  # a dataset with Python in it must outlive its iterator
        tf.raw_ops.MakeIterator(
            dataset=tf.data.experimental.to_variant(dataset),
            iterator=self._iterator._iterator_resource,
        )
        return None

    def get_next(self) -> Any:
        """The next element; in a TF1 graph, the tensors that hold it in each run.

        Raises:
            tf.errors.OutOfRangeError: The dataset has no more.
            tf.errors.FailedPreconditionError: `initialize` was not called before.
        """
        return self._iterator.get_next()

    def __iter__(self) -> ReinitializableIterator:
        return self

    def __next__(self) -> Any:
        try:
            return self.get_next()
        except tf.errors.OutOfRangeError:
            raise StopIteration from None

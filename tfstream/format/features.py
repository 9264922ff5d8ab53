"""The features of a `tf.train.Example` as plain values, without TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import message
from google.protobuf.unknown_fields import UnknownFieldSet

from tfstream.errors import CorruptRecordError
from tfstream.v1 import example_pb2

__all__ = ["Features", "put_bytes", "put_floats", "put_ints"]

_FEATURE_LISTS = 2  # of a SequenceExample; its context is where an Example has its features


class Features:
    """The features of a record, read as they are asked for.

    Args:
        payload: A serialised `tf.train.Example`.
        place: Where it was read, for messages; empty: not known.

    Raises:
        CorruptRecordError: The bytes are no Example.
    """

    def __init__(self, payload: bytes, place: str = "") -> None:
        parsed = example_pb2.Example()
        try:
            parsed.ParseFromString(payload)
        except message.DecodeError as error:
            where = f" in {place}" if place else ""
            raise CorruptRecordError(
                f"the record{where} ({len(payload)} bytes) is not a tf.train.Example"
            ) from error
        self._parsed = parsed
        self._features = parsed.features.feature

    @property
    def names(self) -> Iterable[str]:
        """Of all features."""
        return self.kinds.keys()

    @functools.cached_property
    def kinds(self) -> dict[str, str | None]:
        """The type of each feature: "bytes_list", "float_list", "int64_list"; None: not said."""
        features = self._features  # asked name by name: its `items` are made in Python
        return {name: features[name].WhichOneof("kind") for name in features}

    @property
    def is_sequence(self) -> bool:
        """Whether it is a `tf.train.SequenceExample`: the features are those of its context."""
        unknown = UnknownFieldSet(self._parsed)
        return any(unknown[at].field_number == _FEATURE_LISTS for at in range(len(unknown)))

    def copy(self, name: str, to: example_pb2.Example, named: str) -> None:
        """Puts a feature into another record, where it is in this one."""
        if name in self._features:
            to.features.feature[named].CopyFrom(self._features[name])

    def values(self, name: str) -> Sequence[Any]:
        """All values of a feature; none where it is not there."""
        feature = self._features.get(name)  # by [] it would be added
        kind = None if feature is None else feature.WhichOneof("kind")
        # A list of Python's: whoever goes through the message's own asks it for each value.
        return () if kind is None else list(getattr(feature, kind).value[:])

    def first(self, name: str, default: Any) -> Any:
        """The only value of a feature."""
        feature = self._features.get(name)
        kind = None if feature is None else feature.WhichOneof("kind")
        values = () if kind is None else getattr(feature, kind).value
        return values[0] if values else default

    def text(self, name: str) -> str:
        """The only value of a text feature.

        Raises:
            TypeError: It is no text.
        """
        value = self.first(name, b"")
        if not isinstance(value, bytes):
            raise TypeError(f"{name} holds a number where text belongs")
        return value.decode()


# An empty list is marked as present: a reader then knows its type.


def put_bytes(feature: example_pb2.Feature, values: Iterable[bytes]) -> None:
    """Sets a feature of byte strings."""
    feature.bytes_list.SetInParent()
    feature.bytes_list.value.extend(values)


def put_ints(feature: example_pb2.Feature, values: Iterable[int]) -> None:
    """Sets a feature of whole numbers."""
    feature.int64_list.SetInParent()
    feature.int64_list.value.extend(values)


def put_floats(feature: example_pb2.Feature, values: Iterable[float]) -> None:
    """Sets a feature of floats."""
    feature.float_list.SetInParent()
    feature.float_list.value.extend(values)

"""What records hold in place of an image, and beside one: numbers of one type in a shape."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.format.features import Features, put_bytes, put_ints
from tfstream.v1 import annotated_image_pb2, manifest_pb2

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "DTYPES",
    "FEATURES",
    "FIELDS",
    "FORMAT",
    "IMAGES",
    "TARGET_FEATURES",
    "Contents",
    "TensorSpec",
    "decode",
    "encode",
    "fault",
    "numbers",
    "tensor_of",
]

# In a record: the numbers, little-endian, the last axis varying fastest; numpy's name of their
# type; the length of each axis.
FEATURES = ("tensor/data", "tensor/dtype", "tensor/shape")
# Likewise, of what is to be predicted.
TARGET_FEATURES = ("target/data", "target/dtype", "target/shape")
FIELDS = {"tensor": FEATURES, "target": TARGET_FEATURES}

# What `format` says of a record with a tensor in the place of its image.
FORMAT = "tensor"

# Those that TensorFlow, numpy and PyTorch have in common.
DTYPES = (
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
)


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """What tensors have in common.

    >>> spec = TensorSpec("float32", (2, 3))
    >>> str(spec), spec.size
    ('float32 [2, 3]', 24)

    Attributes:
        dtype: numpy's name, one of `DTYPES`.
        shape: Length of each axis; empty: a single number.
        names: What the places along the last axis are; empty: not known.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, tensor: annotated_image_pb2.Tensor) -> TensorSpec:
        """That of one tensor."""
        return cls(tensor.dtype, tuple(tensor.shape))

    @classmethod
    def from_proto(cls, proto: manifest_pb2.TensorSpec) -> TensorSpec:
        """That which a manifest holds."""
        return cls(proto.dtype, tuple(proto.shape), tuple(proto.names))

    def to_proto(self) -> manifest_pb2.TensorSpec:
        """As a manifest holds it."""
        return manifest_pb2.TensorSpec(dtype=self.dtype, shape=self.shape, names=self.names)

    @property
    def size(self) -> int:
        """Of a tensor's numbers."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def array(self, data: bytes) -> npt.NDArray[Any]:
        """A tensor's numbers as an array, which cannot be written to: its memory is `data`'s.

        Raises:
            ValueError: There are more or fewer bytes.
        """
        if len(data) != self.size:
            raise ValueError(f"a tensor of {self} has {self.size} bytes, not {len(data)}")
        little = np.dtype(self.dtype).newbyteorder("<")
        return np.frombuffer(data, little).reshape(self.shape).astype(self.dtype, copy=False)

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Contents:
    """What all records of a dataset hold.

    Attributes:
        tensor: In place of an image; None: they hold images.
        target: What is to be predicted, where it is numbers; None: it is a class, or nothing.
    """

    tensor: TensorSpec | None = None
    target: TensorSpec | None = None

    @classmethod
    def of(cls, image: annotated_image_pb2.AnnotatedImage) -> Contents:
        """Those of one record."""
        tensor = TensorSpec.of(image.tensor) if image.HasField("tensor") else None
        target = TensorSpec.of(image.target) if image.HasField("target") else None
        return cls(tensor, target)

    @classmethod
    def from_proto(cls, schema: manifest_pb2.Schema) -> Contents:
        """Those which a manifest's schema tells of."""
        tensor = TensorSpec.from_proto(schema.tensor) if schema.HasField("tensor") else None
        target = TensorSpec.from_proto(schema.target) if schema.HasField("target") else None
        return cls(tensor, target)

    def put_into(self, schema: manifest_pb2.Schema) -> None:
        """Has a manifest's schema tell of them."""
        if self.tensor is not None:
            schema.tensor.CopyFrom(self.tensor.to_proto())
        if self.target is not None:
            schema.target.CopyFrom(self.target.to_proto())

    def named(self, tensor: Sequence[str], target: Sequence[str]) -> Contents:
        """The same, with names for the places along the last axes."""
        return Contents(_named(self.tensor, tensor), _named(self.target, target))

    def __str__(self) -> str:
        what = "an image" if self.tensor is None else f"a tensor, {self.tensor}"
        return what if self.target is None else f"{what} and a target, {self.target}"


IMAGES = Contents()


def fault(spec: TensorSpec) -> str | None:
    """Why there can be no such tensor; None: there can."""
    if spec.dtype not in DTYPES:
        return f"its type is {spec.dtype!r:.60}: it must be one of {', '.join(DTYPES)}"
    if 0 in spec.shape:
        return f"it holds no number: its shape is {list(spec.shape)}"
    if spec.names and (not spec.shape or len(spec.names) != spec.shape[-1]):
        return f"its shape is {list(spec.shape)}, with {len(spec.names)} names for the last axis"
    return None


def encode(feature: Any, image: annotated_image_pb2.AnnotatedImage) -> None:
    """Puts a record's tensor and target, where it has them, among its features."""
    for field, names in FIELDS.items():
        if image.HasField(field):
            tensor = getattr(image, field)
            data, dtype, shape = names
            put_bytes(feature[data], [tensor.data])
            put_bytes(feature[dtype], [tensor.dtype.encode()])
            put_ints(feature[shape], tensor.shape)


def decode(features: Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    """Takes tensor and target from among the features, where they are there.

    Raises:
        ValueError: Type, shape and numbers contradict each other.
    """
    for field, (data, dtype, shape) in FIELDS.items():
        if features.values(data):
            tensor = getattr(image, field)
            tensor.data = features.first(data, b"")
            tensor.dtype = features.text(dtype)
            tensor.shape.extend(features.values(shape))
            numbers(tensor)
    if image.HasField("tensor"):
        image.format = FORMAT
        image.orientation = 1


def tensor_of(values: npt.ArrayLike) -> annotated_image_pb2.Tensor:
    """An array as a record holds it.

    >>> tensor = tensor_of(np.array([1.0, 2.0], np.float32))
    >>> tensor.dtype, list(tensor.shape), len(tensor.data)
    ('float32', [2], 8)

    Raises:
        InvalidArgumentError: Its type is none of `DTYPES`, or it is empty.
    """
    array = np.asarray(values)
    spec = TensorSpec(array.dtype.name, array.shape)
    if why := fault(spec):
        raise InvalidArgumentError(f"an array cannot be a tensor of a record: {why}")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return annotated_image_pb2.Tensor(
        dtype=spec.dtype, shape=spec.shape, data=little.tobytes(order="C")
    )


def numbers(tensor: annotated_image_pb2.Tensor) -> npt.NDArray[Any]:
    """The array that `tensor_of` was given, as one of its own.

    Raises:
        ValueError: There can be no such tensor, or its bytes are more or fewer.
    """
    spec = TensorSpec.of(tensor)
    if why := fault(spec):
        raise ValueError(why)
    return spec.array(tensor.data).copy()


def _named(spec: TensorSpec | None, names: Sequence[str]) -> TensorSpec | None:
    if spec is None or not names:
        return spec
    return dataclasses.replace(spec, names=tuple(names))

"""Rows with named fields, as other libraries' datasets have them, as images or tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfstream.errors import AnnotationError
from tfstream.format import example
from tfstream.format.tensors import tensor_of
from tfstream.v1 import annotated_image_pb2

__all__ = ["CATEGORIES", "KEYS", "LABELS", "TARGETS", "Fields", "pick", "record_of"]

# What fields are called, in the order of preference.
KEYS = ("key", "id", "image_id", "image/filename", "file_name")
LABELS = ("label", "class", "category", "labels", "fine_label")
TARGETS = ("target", "y")
CATEGORIES = ("category", "categories", "label", "labels", "category_id")

Box = Callable[[Sequence[float]], annotated_image_pb2.Box]


@dataclass(frozen=True)
class Fields:
    """Which of a row's fields is what; None: none is.

    Attributes:
        image: Encoded bytes.
        tensors: One that holds an array, or several that hold a number each.
        label: A class.
        names: Of the classes, where `label` has their numbers.
        target: Numbers to be predicted.
        objects: Fields of lists, a value an object: those of `boxes` and `categories`.
        boxes: Four numbers each, of which `box` makes a box.
        categories: Their classes.
        category_names: As `names`.
        box: What four numbers of a box mean.
        metadata: Texts, numbers and truth values.
        key: What tells the row from others; None: its number.
    """

    image: str | None = None
    tensors: tuple[str, ...] = ()
    label: str | None = None
    names: tuple[str, ...] | None = None
    target: str | None = None
    objects: str | None = None
    boxes: str = ""
    categories: str = ""
    category_names: tuple[str, ...] | None = None
    box: Box | None = None
    metadata: tuple[str, ...] = ()
    key: str | None = None


def pick(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the wanted names that there is."""
    return next((name for name in wanted if name in names), None)


def record_of(
    row: Mapping[str, Any], fields: Fields, *, split: str, number: int, path: str | None = None
) -> annotated_image_pb2.AnnotatedImage:
    """What the packer takes for a row.

    Args:
        row: By field.
        fields: What these are.
        split: Of the row.
        number: Of the row in it.
        path: Where the image is, if the row does not hold it.

    Raises:
        AnnotationError: A value is not what its field should hold.
    """
    key = f"{split}/{number}" if fields.key is None else _text(row[fields.key])
    image = annotated_image_pb2.AnnotatedImage(
        key=key, split=split, annotation_path=f"row {number} of {split}"
    )
    try:
        if fields.image is not None:
            encoded = row[fields.image]
            if not encoded and not path:
                raise ValueError(f"its {fields.image} is empty")
            image.encoded = encoded or b""
            image.image_path = "" if encoded else path or ""
        else:
            values = [row[name] for name in fields.tensors]
            image.tensor.CopyFrom(_tensor(values[0] if len(values) == 1 else values))
        if fields.label is not None and row[fields.label] is not None:
            label = _class(row[fields.label], fields.names)
            if label is not None:
                image.objects.add(label=label)
        if fields.target is not None:
            image.target.CopyFrom(_tensor(row[fields.target]))
        if fields.objects is not None:
            _add_objects(image, row[fields.objects], fields)
        plain = {name: _plain(row[name]) for name in fields.metadata}
        told = {name: value for name, value in plain.items() if value is not None}
        example.put_metadata(image, told)
    except (TypeError, ValueError, LookupError) as error:
        raise AnnotationError(f"row {number} of {split}, {key!r}: {error}") from error
    return image


def _add_objects(
    image: annotated_image_pb2.AnnotatedImage, objects: Mapping[str, Any], fields: Fields
) -> None:
    boxes, categories = objects[fields.boxes], objects[fields.categories]
    if len(boxes) != len(categories):
        raise ValueError(f"it has {len(boxes)} boxes and {len(categories)} classes")
    for box, category in zip(boxes, categories, strict=True):
        label = _class(category, fields.category_names)
        if label is None or fields.box is None:
            raise ValueError("a box has no class")
        item = image.objects.add(label=label)
        item.box.CopyFrom(fields.box([float(edge) for edge in box]))


def _class(value: Any, names: tuple[str, ...] | None) -> str | None:
    """The name of a class; None for the -1 of what has none."""
    if names is None:
        return _text(value)
    number = int(value)
    if number == -1:
        return None
    if not 0 <= number < len(names):
        raise ValueError(f"its class is {number}, and there are {len(names)}")
    return names[number]


def _tensor(values: Any) -> annotated_image_pb2.Tensor:
    array = np.asarray(values)
    if array.dtype.kind == "f" or (array.dtype == np.int64 and not isinstance(values, np.ndarray)):
        array = array.astype(np.float32)  # numbers of Python have no other type
    return tensor_of(array)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value

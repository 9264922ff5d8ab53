"""How long a record is, told without making it: a packer plans its shards before it writes any."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from tfstream.format import example, tensors
from tfstream.format.label_map import LabelMap
from tfstream.v1 import annotated_image_pb2

__all__ = ["encoded_size", "index_slack"]


def encoded_size(image: annotated_image_pb2.AnnotatedImage, image_bytes: int) -> int:
    """Bytes of `example.encode`, if the label map has a background class and 128 classes at most.

    Args:
        image: All but `encoded`, or the tensor's data.
        image_bytes: Of what will be in the one or the other.
    """
    if image.HasField("tensor"):
        return _measured(image, tensors.FEATURES[0], len(image.tensor.data), image_bytes)
    shaped = any(item.polygons or item.keypoints or item.mask for item in image.objects)
    if shaped or image.void:
        return _measured(image, example.ENCODED, 0, image_bytes)
    names = [len(item.label.encode()) for item in image.objects]
    total = _same_for_all(len(names))
    total += _bytes(example.ENCODED, (image_bytes,))
    total += _bytes(example.FORMAT, (len(image.format),))
    total += _bytes(example.KEY, (len(image.key.encode()),))
    total += _bytes(example.FILENAME, (len(example.filename(image).encode()),))
    total += _int(example.HEIGHT, image.height)
    total += _int(example.WIDTH, image.width)
    total += _bytes(example.OBJECT_TEXT, names)
    main = example.main_object(image)
    if main is not None:
        total += _bytes(example.LABEL_TEXT, (names[main],))
    if image.metadata:
        total += _bytes(example.METADATA, (len(example.metadata_text(image)),))
    return _field(total)


def index_slack(objects: int) -> int:
    """By how many bytes a record can be longer where the label map has up to 2 million classes.

    Args:
        objects: That the image has.
    """
    # Two more bytes an index, in the objects' list and the image's; the lengths around them.
    return 2 * (objects + 1) + 10


# Example{1: Features{1: entry{1: name, 2: Feature{kind: List{1: values}}}}}: each of the braces is
# a field with a length before it.


def _varint(value: int) -> int:
    """Bytes of a number."""
    return 1 if value < 128 else -(-value.bit_length() // 7)


def _field(size: int) -> int:
    """Bytes of a field of so many bytes."""
    return 1 + _varint(size) + size


@functools.lru_cache(maxsize=1 << 14)  # most of what images have is as long in others
def _feature(name: str, values: int) -> int:
    """Bytes of a feature whose list takes so many."""
    return _field(_field(len(name)) + _field(_field(values)))


def _bytes(name: str, lengths: Sequence[int]) -> int:
    return _feature(name, sum(map(_field, lengths)))


def _int(name: str, value: int) -> int:
    return _feature(name, _field(_varint(value)))


@functools.cache
def _same_for_all(objects: int) -> int:
    """Bytes of the features that depend on nothing but the number of objects."""
    image = annotated_image_pb2.AnnotatedImage(width=1, height=1)
    for _ in range(objects):
        image.objects.add()
    total = len(example.encode(image, _Zero(names=())))
    others = _bytes(example.OBJECT_TEXT, [0] * objects)
    others += sum(_bytes(each, (0,)) for each in (example.ENCODED, example.FORMAT, example.KEY))
    others += _bytes(example.FILENAME, (len(example.filename(image)),))
    others += _int(example.HEIGHT, 1) + _int(example.WIDTH, 1)
    if objects:
        others += _bytes(example.LABEL_TEXT, (0,))
    return _inside(total) - others


def _measured(
    image: annotated_image_pb2.AnnotatedImage, feature: str, held: int, stored: int
) -> int:
    """By encoding all that is there, and counting the bytes of one feature as what they will be."""
    total = _inside(len(example.encode(image, _Zero(names=()))))
    return _field(total - _bytes(feature, (held,)) + _bytes(feature, (stored,)))


def _inside(size: int) -> int:
    """What `_field` made so long."""
    return next(inside for inside in range(size - 2, -1, -1) if _field(inside) == size)


class _Zero(LabelMap):
    """Gives every label the index 0."""

    def index(self, name: str) -> int:
        """Zero."""
        return 0

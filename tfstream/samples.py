"""From stored records to the elements of a stream, in graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import boxes as boxes_lib
from tfstream import images, raw_tensors
from tfstream import labels as labels_lib
from tfstream.format import example, tensors
from tfstream.format.tensors import TensorSpec

if TYPE_CHECKING:
    from tfstream.elements import StreamElements
    from tfstream.format.label_map import LabelMap
    from tfstream.source import Chunk

__all__ = ["finisher", "parser", "pixel_bytes"]

# Of tuples, in their order.
_PARTS = ("image", "tensor", "label", "boxes", "target", "weight", "source")


def parser(
    elements: StreamElements, labels: LabelMap, *, skip_corrupt: bool, blank: str | None
) -> Callable[[Chunk], dict[str, tf.Tensor]]:
    """The function that turns a chunk of serialized Examples into rows of what a sample needs.

    Args:
        elements: What a sample holds.
        labels: The dataset's label map.
        skip_corrupt: Whether records may be empty.
        blank: The format of the picture, a black dot, that such a record then has; None: none.
    """

    def scalar(dtype: tf.DType) -> tf.io.FixedLenFeature:
        # A skipped record's payload is empty, and must parse as well.
        default: Any = "" if dtype == tf.string else 1
        return tf.io.FixedLenFeature([], dtype, default if skip_corrupt else None)

    def sequence(dtype: tf.DType, pad: float) -> tf.io.FixedLenSequenceFeature:
        return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True, default_value=pad)

    pictured = elements.image is not None and "tensor" not in elements.tensors
    features: dict[str, Any] = {}
    if elements.form == "dict":
        features[example.KEY] = scalar(tf.string)
    if pictured:
        features[example.ENCODED] = scalar(tf.string)
    for name in elements.tensors:
        features[tensors.FIELDS[name][0]] = scalar(tf.string)
    if elements.spec or elements.boxes:
        for name in (example.HEIGHT, example.WIDTH, example.ORIENTATION):
            features[name] = scalar(tf.int64)
    if elements.label in ("index", "one_hot"):
        features[example.LABEL] = tf.io.FixedLenFeature([], tf.int64, -1)
        features[example.LABEL_TEXT] = tf.io.FixedLenFeature([], tf.string, "")
    if elements.label == "multi_hot" or elements.boxes:
        features[example.OBJECT_LABEL] = sequence(tf.int64, -1)
    if elements.boxes:
        for name in example.BOX:
            features[name] = sequence(tf.float32, 0.0)

    def parse(chunk: Chunk) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(chunk.records, features) if features else {}
        if blank and elements.spec:
            _put_blanks(parsed, chunk.sound, blank)
        row: dict[str, Any] = {"sound": chunk.sound} if skip_corrupt else {}
        if chunk.present is not None:
            row["present"] = chunk.present
        if elements.sources:
            row["source"] = chunk.source
        if example.KEY in features:
            row["key"] = parsed[example.KEY]
        if pictured:
            row["encoded"] = parsed[example.ENCODED]
        for name, spec in elements.tensors.items():
            data = parsed[tensors.FIELDS[name][0]]
            row[name] = raw_tensors.decode(spec, data, skip_corrupt=skip_corrupt)
        if elements.spec or elements.boxes:
            height, width = (tf.cast(parsed[n], tf.int32) for n in (example.HEIGHT, example.WIDTH))
            row["height"], row["width"] = height, width
            row["orientation"] = tf.cast(parsed[example.ORIENTATION], tf.int32)
            if elements.spec:
                row["view"] = images.plan(elements.spec, height, width, chunk.uniforms)
        if elements.label:
            main = parsed.get(example.LABEL)
            if main is not None and labels.background is not None:
                # A record holds what the background's index was before labels were added.
                background = tf.constant(labels.background, tf.int64)
                main = tf.where(parsed[example.LABEL_TEXT] == "", background, main)
            row["label"] = labels_lib.encode(
                elements.label,
                main=main,
                objects=parsed.get(example.OBJECT_LABEL),
                classes=labels.classes,
                background=labels.background,
            )
        if elements.boxes:
            row["boxes"] = tf.stack([parsed[name] for name in example.BOX], axis=-1)
            row["box_labels"] = parsed[example.OBJECT_LABEL]
        return row

    return parse


def _put_blanks(parsed: dict[str, tf.Tensor], sound: tf.Tensor, form: str) -> None:
    """Gives unsound records a picture that can be decoded: a black dot."""
    dot = tf.zeros([1, 1, 3], tf.uint8)
    dot = tf.io.encode_jpeg(dot) if form == "jpeg" else tf.io.encode_png(dot)
    parsed[example.ENCODED] = tf.where(sound, parsed[example.ENCODED], dot)
    for name in (example.HEIGHT, example.WIDTH, example.ORIENTATION):
        parsed[name] = tf.where(sound, parsed[name], tf.constant(1, tf.int64))


def finisher(
    elements: StreamElements, *, formats: frozenset[str], rotated: bool, largest: tuple[int, int]
) -> Callable[[dict[str, Any]], Any]:
    """The function that makes an element of one parsed sample."""

    @tf.autograph.experimental.do_not_convert
    def finish(row: dict[str, Any]) -> Any:
        out: dict[str, Any] = {"key": row["key"]} if elements.form == "dict" else {}
        if elements.spec:
            out["image"] = images.render(
                elements.spec,
                row["encoded"],
                row["view"],
                height=row["height"],
                width=row["width"],
                orientation=row["orientation"],
                formats=formats,
                rotated=rotated,
                largest=largest,
            )
        elif "encoded" in row:
            out["image"] = row["encoded"]
        for name in elements.tensors:
            out[name] = row[name]
        if elements.label:
            out["label"] = row["label"]
        if elements.boxes:
            known = row["box_labels"] >= 0
            if "present" in row:
                known &= row["present"]
            boxes, box_labels = row["boxes"][known], row["box_labels"][known]
            if elements.spec:
                boxes, keep = boxes_lib.follow(
                    boxes, row["view"], elements.spec, height=row["height"], width=row["width"]
                )
                boxes, box_labels = boxes[keep], box_labels[keep]
            if elements.boxes != "ragged":
                boxes, box_labels = boxes_lib.pad(boxes, box_labels, count=elements.boxes)
            out["boxes"], out["box_labels"] = boxes, box_labels
        if elements.sources:
            out["source"] = tf.gather(tf.constant(elements.sources), row["source"])
        if "present" in row:
            _blank(out, row["present"], elements)
        if elements.form == "dict":
            return out
        if elements.weight:
            out["weight"] = tf.cast(row["present"], tf.float32)
        values = tuple(out[n] for n in _PARTS if n in out)
        return values if len(values) > 1 else values[0]

    return finish


def _blank(out: dict[str, Any], present: tf.Tensor, elements: StreamElements) -> None:
    """Empties the parts of what is not there: of a data point's member, or of padding."""
    for name in ("key", "image", "tensor", "label", "target", "source"):
        if name in out:
            value = out[name]
            nothing = tf.zeros_like(value)
            if name == "label" and elements.label == "index":
                nothing = tf.constant(-1, value.dtype)
            out[name] = tf.where(present, value, nothing)
    if elements.form == "dict":
        out["present"] = present


def pixel_bytes(elements: StreamElements) -> int:
    """Of the picture or tensor that a sample has; 0 where that cannot be said."""
    if isinstance(elements.image, TensorSpec):
        return elements.image.size
    if elements.spec is None:
        return 0
    height, width = elements.spec.size
    return height * width * 3 * tf.as_dtype(elements.spec.dtype).size

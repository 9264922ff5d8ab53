"""From stored records to the elements of a stream, in graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import boxes as boxes_lib
from tfstream import images, raw_tensors
from tfstream import keypoints as keypoints_lib
from tfstream import labels as labels_lib
from tfstream import masks as masks_lib
from tfstream.elements import PARTS, SEED_BITS
from tfstream.format import example, shapes, tensors
from tfstream.format.tensors import TensorSpec

if TYPE_CHECKING:
    from tfstream.elements import StreamElements
    from tfstream.format.label_map import LabelMap
    from tfstream.images import ImageSpec
    from tfstream.source import Chunk

__all__ = ["finisher", "parser", "pixel_bytes"]

_USUAL_OBJECTS = 8  # in a picture
# Of tuples, in their order.
_PARTS = (*PARTS, "weight", "source")

# Features of an example, their types, and what they are padded with: the fields of
# `masks.Shapes` and `keypoints.Points`, in their order.
_SHAPES = (
    (shapes.MASK, tf.string, ""),
    (shapes.POLYGON_X, tf.float32, float("nan")),
    (shapes.POLYGON_Y, tf.float32, float("nan")),
    (shapes.POLYGON_POINTS, tf.int64, 0),
    (shapes.POLYGON_OBJECT, tf.int64, -1),
)
_POINTS = (
    (shapes.KEYPOINT_X, tf.float32, float("nan")),
    (shapes.KEYPOINT_Y, tf.float32, float("nan")),
    (shapes.KEYPOINT_VISIBILITY, tf.int64, -1),
    (shapes.KEYPOINT_NAME, tf.string, ""),
    (shapes.KEYPOINT_COUNT, tf.int64, 0),
)


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

    def sequence(dtype: tf.DType, pad: float | str) -> tf.io.FixedLenSequenceFeature:
        return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True, default_value=pad)

    pictured = elements.image is not None and "tensor" not in elements.tensors
    features: dict[str, Any] = {}
    if elements.form == "dict":
        features[example.KEY] = scalar(tf.string)
    if pictured:
        features[example.ENCODED] = scalar(tf.string)
    for name in elements.tensors:
        features[tensors.FIELDS[name][0]] = scalar(tf.string)
    if elements.spec or elements.objects:
        for name in (example.HEIGHT, example.WIDTH, example.ORIENTATION):
            features[name] = scalar(tf.int64)
    if elements.label in ("index", "one_hot"):
        features[example.LABEL] = tf.io.FixedLenFeature([], tf.int64, -1)
        features[example.LABEL_TEXT] = tf.io.FixedLenFeature([], tf.string, "")
    if elements.label == "multi_hot" or elements.objects:
        features[example.OBJECT_LABEL] = sequence(tf.int64, -1)
    if elements.objects:
        for name in example.BOX:
            features[name] = sequence(tf.float32, 0.0)
    if elements.masks:
        features |= {name: sequence(dtype, pad) for name, dtype, pad in _SHAPES}
    if elements.masks == "semantic":
        features[shapes.VOID] = tf.io.FixedLenFeature([], tf.string, "")
    if elements.keypoints:
        features |= {name: sequence(dtype, pad) for name, dtype, pad in _POINTS}

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
            row["seed"] = tf.cast(chunk.uniforms[:, -2:] * 2.0**SEED_BITS, tf.int32)
        if pictured:
            row["encoded"] = parsed[example.ENCODED]
        for name, spec in elements.tensors.items():
            data = parsed[tensors.FIELDS[name][0]]
            row[name] = raw_tensors.decode(spec, data, skip_corrupt=skip_corrupt)
        if elements.spec or elements.objects:
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
        if elements.objects:
            row["boxes"] = tf.stack([_some(parsed[name], 0.0) for name in example.BOX], axis=-1)
            row["box_labels"] = _some(parsed[example.OBJECT_LABEL], -1)
        if elements.masks:
            row["shapes"] = tuple(_some(parsed[name], pad) for name, _, pad in _SHAPES)
        if elements.masks == "semantic":
            row["void"] = parsed[shapes.VOID]
        if elements.keypoints:
            row["points"] = tuple(_some(parsed[name], pad) for name, _, pad in _POINTS)
        return row

    return parse


def _some(values: tf.Tensor, filler: float | str) -> tf.Tensor:
    """Rows with one value of padding more: TensorFlow crashes where it parts rows of none."""
    return tf.pad(values, [[0, 0], [0, 1]], constant_values=filler)


def _put_blanks(parsed: dict[str, tf.Tensor], sound: tf.Tensor, form: str) -> None:
    """Gives unsound records a picture that can be decoded: a black dot."""
    dot = tf.zeros([1, 1, 3], tf.uint8)
    dot = tf.io.encode_jpeg(dot) if form == "jpeg" else tf.io.encode_png(dot)
    parsed[example.ENCODED] = tf.where(sound, parsed[example.ENCODED], dot)
    for name in (example.HEIGHT, example.WIDTH, example.ORIENTATION):
        parsed[name] = tf.where(sound, parsed[name], tf.constant(1, tf.int64))


def finisher(
    elements: StreamElements,
    labels: LabelMap,
    *,
    formats: frozenset[str],
    rotated: bool,
    largest: tuple[int, int],
) -> Callable[[dict[str, Any]], Any]:
    """The function that makes an element of one parsed sample."""

    @tf.autograph.experimental.do_not_convert
    def finish(row: dict[str, Any]) -> Any:
        own = ("key", "seed") if elements.form == "dict" else ()
        out: dict[str, Any] = {name: row[name] for name in own}
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
        if elements.objects:
            out |= _objects(row, elements, labels.background)
        if elements.sources:
            out["source"] = tf.gather(tf.constant(elements.sources), row["source"])
        if "present" in row:
            _blank(out, row["present"], elements)
        if elements.form == "dict":
            return out
        if elements.weight and not elements.masks:  # label maps say by themselves what is padding
            out["weight"] = tf.cast(row["present"], tf.float32)
        values = tuple(out[n] for n in _PARTS if n in out)
        return values if len(values) > 1 else values[0]

    return finish


def _objects(
    row: dict[str, Any], elements: StreamElements, background: int | None
) -> dict[str, tf.Tensor]:
    """The parts of an element that objects have, of one parsed sample."""
    spec: ImageSpec | None = elements.spec
    view: Any = row.get("view")  # where there is a spec
    sides = {"height": row["height"], "width": row["width"]}
    boxes, keep = row["boxes"], row["box_labels"] >= 0
    known = tf.math.count_nonzero(keep, dtype=tf.int32)
    if "present" in row:
        keep &= row["present"]
    if spec:
        boxes, left = boxes_lib.follow(boxes, view, spec, **sides)
        keep &= left
    chosen = tf.where(keep)[:, 0]
    cut = chosen[: elements.boxes] if isinstance(elements.boxes, int) else chosen
    out = {}
    if elements.boxes:
        out["boxes"], out["box_labels"] = tf.gather(boxes, cut), tf.gather(row["box_labels"], cut)
    objects = tf.size(row["box_labels"])
    if elements.masks and spec:
        shapes_of = masks_lib.Shapes(*row["shapes"], **sides)
        some = cut if elements.masks == "instance" else chosen
        masks = masks_lib.instances(shapes_of, some, view, spec.size, objects=objects)
        if elements.masks == "semantic":
            masks = masks_lib.label_map(
                masks,
                tf.gather(row["box_labels"], some),
                tf.gather(row["boxes"], some),
                view,
                unknown=masks_lib.void(shapes_of, row["void"], view, spec.size),
                background=background,
                **sides,
            )
        out["masks"] = masks
    if elements.keypoints:
        wanted = elements.keypoints
        points = keypoints_lib.Points(*row["points"])
        points = keypoints_lib.of_objects(points, wanted, objects=objects, known=known)
        points = tf.gather(points, cut)
        if spec:
            points = keypoints_lib.follow(points, wanted, view, flip=spec.flip, **sides)
        out["keypoints"] = points
    if isinstance(elements.boxes, int):
        for name, value in out.items():
            if name != "masks" or elements.masks == "instance":
                filler = -1 if name == "box_labels" else 0
                out[name] = boxes_lib.pad(value, count=elements.boxes, filler=filler)
    return out


def _blank(out: dict[str, Any], present: tf.Tensor, elements: StreamElements) -> None:
    """Empties the parts of what is not there: of a data point's member, or of padding."""
    absent = {"label": elements.label == "index", "masks": elements.masks == "semantic"}
    for name in ("key", "image", "tensor", "label", "masks", "target", "source"):
        if name in out:
            value = out[name]
            nothing = tf.zeros_like(value)
            if absent.get(name):
                nothing = tf.constant(-1, value.dtype)
            out[name] = tf.where(present, value, nothing)
    if elements.form == "dict":
        out["present"] = present


def pixel_bytes(elements: StreamElements) -> int:
    """Of the picture, masks or tensor that a sample has; 0 where that cannot be said."""
    if isinstance(elements.image, TensorSpec):
        return elements.image.size
    if elements.spec is None:
        return 0
    height, width = elements.spec.size
    each = 3 * tf.as_dtype(elements.spec.dtype).size
    if elements.masks == "semantic":
        each += 4
    elif elements.masks:
        each += elements.boxes if isinstance(elements.boxes, int) else _USUAL_OBJECTS
    return height * width * each

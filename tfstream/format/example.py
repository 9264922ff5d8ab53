"""Records: an AnnotatedImage as a `tf.train.Example`, and back, without TensorFlow.

The features bear the TF Object Detection API's names, so that other readers of
TFRecord files understand them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from tfstream import errors
from tfstream.format import shapes, tensors
from tfstream.format.features import Features, put_bytes, put_floats, put_ints
from tfstream.format.label_map import LabelMap
from tfstream.v1 import annotated_image_pb2, example_pb2

__all__ = [
    "BOX",
    "CROWD",
    "DIFFICULT",
    "ENCODED",
    "FILENAME",
    "FORMAT",
    "HEIGHT",
    "KEY",
    "LABEL",
    "LABEL_TEXT",
    "METADATA",
    "OBJECT_LABEL",
    "OBJECT_TEXT",
    "OCCLUDED",
    "ORIENTATION",
    "TRUNCATED",
    "WIDTH",
    "decode",
    "encode",
    "filename",
    "largest_box",
    "main_object",
    "metadata",
    "metadata_text",
    "put_metadata",
]

ENCODED = "image/encoded"
FORMAT = "image/format"
# As displayed: with the orientation applied.
HEIGHT = "image/height"
WIDTH = "image/width"
# EXIF's, 1 to 8.
ORIENTATION = "image/orientation"
KEY = "image/source_id"
# Base name of the image file, with its extension.
FILENAME = "image/filename"
# Of the main object; absent without one (LABEL: unless the map has a background).
LABEL = "image/class/label"
LABEL_TEXT = "image/class/text"
# The free metadata, a JSON object; absent without any.
METADATA = "image/metadata"

# One value an object; present, and empty, without objects.
OBJECT_LABEL = "image/object/class/label"
OBJECT_TEXT = "image/object/class/text"
# ymin, xmin, ymax, xmax in 0..1.
BOX = (
    "image/object/bbox/ymin",
    "image/object/bbox/xmin",
    "image/object/bbox/ymax",
    "image/object/bbox/xmax",
)
DIFFICULT = "image/object/difficult"
TRUNCATED = "image/object/truncated"
OCCLUDED = "image/object/occluded"
CROWD = "image/object/is_crowd"

_FLAGS = (
    (DIFFICULT, "difficult"),
    (TRUNCATED, "truncated"),
    (OCCLUDED, "occluded"),
    (CROWD, "crowd"),
)

# Areas are compared in steps of 1/64 pixel, so that boxes equal in the
# annotation are equal in the record too, where they are rounded to float32.
_STEPS = 64


def main_object(image: annotated_image_pb2.AnnotatedImage) -> int | None:
    """The object that gives an image its class: the one with the largest box.

    Of several equal ones it is the first. An object without a box counts as
    one that fills the image.

    Returns:
        Its place in `image.objects`; None without objects.
    """
    best, best_area = None, -1.0
    for place, item in enumerate(image.objects):
        area = _area(item, image)
        if area > best_area:
            best, best_area = place, area
    return best


def largest_box(boxes: Iterable[Sequence[float]], height: int, width: int) -> int | None:
    """The place of the box that gives an image its class, as `main_object` finds it.

    Args:
        boxes: Each ymin, xmin, ymax, xmax in 0..1.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    >>> largest_box([(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 1.0, 0.75)], 20, 20)
    1
    """
    best, best_area = None, -1.0
    for place, (ymin, xmin, ymax, xmax) in enumerate(boxes):
        area = _steps((ymax - ymin) * height) * _steps((xmax - xmin) * width)
        if area > best_area:
            best, best_area = place, area
    return best


def _area(item: annotated_image_pb2.Object, image: annotated_image_pb2.AnnotatedImage) -> float:
    known = image.width > 0 and image.height > 0
    if not item.HasField("box"):
        return float(image.width * image.height * _STEPS**2) if known else float("inf")
    box = item.box
    height, width = box.ymax - box.ymin, box.xmax - box.xmin
    if not box.normalized:
        return _steps(height) * _steps(width)
    if not known:
        return height * width
    return _steps(height * image.height) * _steps(width * image.width)


def _steps(pixels: float) -> float:
    return float(round(pixels * _STEPS)) if pixels > 0 else 0.0


def encode(image: annotated_image_pb2.AnnotatedImage, labels: LabelMap) -> bytes:
    """Serialises an image and its annotation as a `tf.train.Example`.

    Boxes, polygons and keypoints in pixels are divided by the displayed width and height.
    Equal images give equal bytes.

    Args:
        image: With `encoded`, `format`, `width`, `height` and `orientation` set; or with `tensor`.
        labels: Gives the objects' labels their indices.

    Raises:
        UnknownLabelError: An object's label is not in the map.
        AnnotationError: A box is in pixels, and the image's size is not known.
    """
    example = example_pb2.Example()
    feature = example.features.feature
    put_bytes(feature[KEY], [image.key.encode()])
    pictured = not image.HasField("tensor")
    if pictured:
        put_bytes(feature[ENCODED], [image.encoded])
        put_bytes(feature[FORMAT], [image.format.encode()])
        put_ints(feature[HEIGHT], [image.height])
        put_ints(feature[WIDTH], [image.width])
        put_ints(feature[ORIENTATION], [image.orientation or 1])
    if pictured or image.image_path:
        put_bytes(feature[FILENAME], [filename(image).encode()])
    tensors.encode(feature, image)

    main = main_object(image)
    if main is not None:
        label = image.objects[main].label
        put_ints(feature[LABEL], [labels.index(label)])
        put_bytes(feature[LABEL_TEXT], [label.encode()])
    elif labels.background is not None:
        put_ints(feature[LABEL], [labels.background])

    objects = image.objects
    if pictured or objects:
        put_ints(feature[OBJECT_LABEL], [labels.index(item.label) for item in objects])
        put_bytes(feature[OBJECT_TEXT], [item.label.encode() for item in objects])
    if pictured:
        boxes = [_fractions(item, image) for item in objects]
        for side, name in enumerate(BOX):
            put_floats(feature[name], [box[side] for box in boxes])
        for name, field in _FLAGS:
            put_ints(feature[name], [int(getattr(item, field)) for item in objects])
        shapes.encode(feature, image)
    if image.metadata:
        put_bytes(feature[METADATA], [metadata_text(image)])
    return example.SerializeToString(deterministic=True)


def metadata(
    image: annotated_image_pb2.AnnotatedImage,
) -> dict[str, str | int | float | bool | None]:
    """The image's free metadata as plain values; None where a value is not set."""
    plain = {}
    for name, value in image.metadata.items():
        kind = value.WhichOneof("kind")
        plain[name] = None if kind is None else getattr(value, kind)
    return plain


def metadata_text(image: annotated_image_pb2.AnnotatedImage) -> bytes:
    """The image's free metadata as a record holds it: a JSON object."""
    return json.dumps(metadata(image), sort_keys=True, ensure_ascii=False).encode()


def filename(image: annotated_image_pb2.AnnotatedImage) -> str:
    """The base name of the image's file; one made of its key and format where there is no path."""
    if image.image_path:
        return image.image_path.rstrip("/").rpartition("/")[2]
    return f"{PurePosixPath(image.key).name}.{image.format or 'bin'}"


def _fractions(
    item: annotated_image_pb2.Object, image: annotated_image_pb2.AnnotatedImage
) -> tuple[float, float, float, float]:
    """(ymin, xmin, ymax, xmax) in 0..1; the whole image where there is no box."""
    if not item.HasField("box"):
        return 0.0, 0.0, 1.0, 1.0
    height, width = shapes.scale(item, image)
    box = item.box
    return box.ymin / height, box.xmin / width, box.ymax / height, box.xmax / width


def decode(payload: bytes) -> annotated_image_pb2.AnnotatedImage:
    """Reads a serialised `tf.train.Example`, of tfstream or with the same names.

    Features that are not there leave their fields empty.

    Args:
        payload: The record.

    Returns:
        The image: boxes, polygons and keypoints are fractions (`normalized`), `image_path` is
        the image file's base name, `split` is empty.

    Raises:
        CorruptRecordError: The bytes are no Example, or its features contradict
            each other.
    """
    features = Features(payload)
    try:
        image = annotated_image_pb2.AnnotatedImage(
            key=features.text(KEY),
            image_path=features.text(FILENAME),
            encoded=features.first(ENCODED, b""),
            format=features.text(FORMAT),
            width=features.first(WIDTH, 0),
            height=features.first(HEIGHT, 0),
            orientation=features.first(ORIENTATION, 0),
        )
        tensors.decode(features, image)
        _decode_objects(features, image)
        shapes.decode(features, image)
        _decode_metadata(features, image)
    except (ValueError, TypeError, RecursionError) as error:
        raise errors.CorruptRecordError(
            f"The record's features cannot be read: {error}."
        ) from error
    return image


def _decode_objects(features: Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    texts = features.values(OBJECT_TEXT)
    sides = {name: features.values(name) for name in BOX}
    flags = {field: features.values(name) for name, field in _FLAGS}
    lists = [(OBJECT_TEXT, texts), *sides.items(), *((n, flags[f]) for n, f in _FLAGS)]
    count = max(len(values) for _, values in lists)
    for name, values in lists:
        if values and len(values) != count:
            raise ValueError(f"{name} has {len(values)} values for {count} objects")
    boxed = [len(values) for values in sides.values()]
    if min(boxed) != max(boxed):
        raise ValueError(f"the sides of the boxes have {boxed} values")
    for place in range(count):
        item = image.objects.add(label=texts[place].decode() if texts else "")
        for field, values in flags.items():
            if values and values[place]:
                setattr(item, field, True)
        if boxed[0]:
            ymin, xmin, ymax, xmax = (values[place] for values in sides.values())
            item.box.CopyFrom(
                annotated_image_pb2.Box(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax, normalized=True)
            )


def _decode_metadata(features: Features, image: annotated_image_pb2.AnnotatedImage) -> None:
    text = features.first(METADATA, None)
    if text is None:
        return
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise TypeError(f"{METADATA} holds a {type(plain).__name__} where an object belongs")
    put_metadata(image, plain)


def put_metadata(
    image: annotated_image_pb2.AnnotatedImage,
    plain: Mapping[str, str | int | float | bool | None],
) -> None:
    """Adds plain values to an image's free metadata; those of the same names are replaced.

    Raises:
        TypeError: A value is of another type.
    """
    for name, value in plain.items():
        field = image.metadata[name]
        if isinstance(value, bool):
            field.bool_value = value
        elif isinstance(value, int):
            field.int_value = value
        elif isinstance(value, float):
            field.float_value = value
        elif isinstance(value, str):
            field.string_value = value
        elif value is not None:
            raise TypeError(f"{METADATA} holds a {type(value).__name__} under {name!r}")

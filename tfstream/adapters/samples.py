"""Samples as numpy arrays, made of stored records one at a time, without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.adapters import decoding, pictures, shapes, views
from tfstream.adapters.found import Found
from tfstream.elements import SEED_BITS
from tfstream.errors import CorruptRecordError
from tfstream.format import example, tensors
from tfstream.images import Raw

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from tfstream.elements import ArrayElements
    from tfstream.format.features import Features
    from tfstream.format.label_map import LabelMap

__all__ = ["blank", "make"]


def make(
    parts: ArrayElements,
    labels: LabelMap,
    payload: bytes,
    draws: npt.NDArray[np.float32],
    *,
    place: Callable[[], str],
) -> dict[str, Any]:
    """Makes a sample of a record.

    Args:
        parts: What it holds.
        labels: The dataset's label map.
        payload: A serialized `tf.train.Example`.
        draws: float32 [parts.draws], the sample's random numbers.
        place: Tells where the record was read, for messages.

    Returns:
        `key` str, in dicts `seed` int32 [2], and what is asked for: `image`, or `tensor`; `label`
        (int, or float32 [classes]), `target`, `boxes` float32 [n, 4], `box_labels` int64 [n],
        `masks` and `keypoints` as streams have them.

    Raises:
        CorruptRecordError: The record is no Example, its image cannot be decoded, or its features
            contradict each other.
    """
    found = Found(payload, place)
    out: dict[str, Any] = {"key": found.key}
    if parts.form == "dict":
        out["seed"] = (draws[-2:] * 2.0**SEED_BITS).astype(np.int32)
    spec = parts.spec
    height, width = found.height, found.width
    window = views.plan(spec, height, width, draws) if spec else None
    for name, expected in parts.tensors.items():
        try:
            out[name] = expected.array(found.features.first(tensors.FIELDS[name][0], b""))
        except ValueError as error:
            raise CorruptRecordError(
                f"the {name} of record {out['key']!r} in {place()} cannot be used: {error}"
            ) from error
    if parts.image is not None and "tensor" not in out:
        encoded, orientation = found.encoded, found.orientation
        try:
            if spec and window:
                out["image"] = pictures.render(
                    spec,
                    encoded,
                    window,
                    height=height,
                    width=width,
                    orientation=orientation,
                    planes=parts.planes,
                    stated=found.jpeg_size,
                )
            elif isinstance(parts.image, Raw):
                out["image"] = bytes(encoded)
            elif parts.image == "tensor" and orientation == 1:
                out["image"] = _planes(parts, decoding.pixels(encoded, height, width)[0])
            else:
                picture, _ = decoding.decode(encoded, orientation)
                if parts.image == "pil":
                    picture.load()  # here, where the record is known
                    out["image"] = picture
                else:
                    out["image"] = _planes(parts, np.array(picture))
        except Exception as error:  # Pillow raises many kinds for damaged images
            raise CorruptRecordError(
                f"the image of record {out['key']!r} in {place()} cannot be decoded: {error}"
            ) from error
    if parts.label:
        out["label"] = _label(parts.label, labels, found)
    if parts.objects:
        if window is None:
            window = views.Window(0, 0, height, width, False)
        try:
            out |= _objects(parts, labels, found.features, window, height, width)
        except Exception as error:  # here as well
            raise CorruptRecordError(
                f"the objects of record {out['key']!r} in {place()} cannot be read: {error}"
            ) from error
    return out


def _planes(parts: ArrayElements, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.moveaxis(pixels, -1, 0) if parts.planes else pixels


def _objects(
    parts: ArrayElements,
    labels: LabelMap,
    record: Features,
    window: views.Window,
    height: int,
    width: int,
) -> dict[str, Any]:
    """The parts of a sample that objects have."""
    classes = np.array(record.values(example.OBJECT_LABEL), np.int64)
    sides = [np.array(record.values(name), np.float32) for name in example.BOX]
    if any(len(side) != len(classes) for side in sides):
        raise ValueError(
            f"it has {len(classes)} labels for boxes with {[len(side) for side in sides]} sides"
        )
    stored = boxes = np.stack(sides, axis=-1)
    chosen = np.arange(len(classes))
    if parts.spec:
        boxes, keep = views.follow(stored, window, height, width)
        chosen = chosen[keep]
    known = {"objects": len(classes), "height": height, "width": width}
    size = parts.spec.size if parts.spec else (height, width)
    cut = chosen[: parts.boxes] if isinstance(parts.boxes, int) else chosen
    out: dict[str, Any] = {}
    if parts.boxes:
        out["boxes"], out["box_labels"] = boxes[cut], classes[cut]
    if parts.masks == "instance":
        out["masks"] = shapes.instances(record, cut, window, size, **known)
    if parts.keypoints:
        shown = window if parts.spec else None
        out["keypoints"] = shapes.keypoints(record, cut, parts.keypoints, shown, **known)
    if isinstance(parts.boxes, int):
        for name, value in out.items():
            padding = [(0, parts.boxes - len(value)), *[(0, 0)] * (value.ndim - 1)]
            out[name] = np.pad(value, padding, constant_values=-1 if name == "box_labels" else 0)
    if parts.masks == "semantic":
        out["masks"] = shapes.label_map(
            record,
            shapes.instances(record, chosen, window, size, **known),
            classes[chosen],
            stored[chosen],
            window,
            background=labels.background,
            height=height,
            width=width,
        )
    return out


def blank(parts: ArrayElements, sample: dict[str, Any]) -> dict[str, Any]:
    """What stands in the place of a missing member of a data point: as streams have it."""
    out: dict[str, Any] = {"key": ""}
    if "seed" in sample:
        out["seed"] = sample["seed"]
    image = sample.get("image")
    if isinstance(image, bytes):
        out["image"] = b""
    elif isinstance(image, np.ndarray):
        out["image"] = np.zeros_like(image)
    elif image is not None:
        import PIL.Image

        out["image"] = PIL.Image.new("RGB", image.size)
    for name in parts.tensors:
        out[name] = np.zeros_like(sample[name])
    if parts.label:
        out["label"] = -1 if parts.label == "index" else np.zeros_like(sample["label"])
    if parts.boxes:
        count = 0 if parts.boxes == "ragged" else parts.boxes
        out["boxes"] = np.zeros((count, 4), np.float32)
        out["box_labels"] = np.full(count, -1, np.int64)
        for name in ("masks", "keypoints"):
            if name in sample:
                out[name] = np.zeros((count, *sample[name].shape[1:]), sample[name].dtype)
    if parts.masks == "semantic":
        out["masks"] = np.full_like(sample["masks"], -1)
    return out


def _label(kind: str, labels: LabelMap, found: Found) -> int | npt.NDArray[np.float32]:
    """The label as `tfstream.labels.encode` makes it."""
    if kind == "multi_hot":
        chosen = [n for n in found.features.values(example.OBJECT_LABEL) if n >= 0]
        if not chosen and labels.background is not None:
            chosen = [labels.background]
    else:
        main = found.label
        if labels.background is not None and not found.labelled:
            # A record holds what the background's index was before labels were added.
            main = labels.background
        if kind == "index":
            return main
        chosen = [main] if main >= 0 else []
    hot = np.zeros(labels.classes, np.float32)
    hot[chosen] = 1
    return hot

"""A record as a user takes it by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.adapters import decoding
from tfstream.errors import AnnotationError, CorruptRecordError
from tfstream.format import example, tensors

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

__all__ = ["unpack"]


def unpack(image: AnnotatedImage, *, place: str) -> dict[str, Any]:
    """The dict that `PackedDataset.__getitem__` describes, but for the metadata.

    Args:
        image: The record, decoded.
        place: Where it was read, for messages.

    Raises:
        CorruptRecordError: The image cannot be decoded.
    """
    if image.HasField("tensor"):
        return _unpack_tensor(image)
    try:
        pixels = _pixels(image)
    except Exception as error:  # Pillow raises many kinds for damaged images
        raise CorruptRecordError(
            f"the image of record {image.key!r} in {place} cannot be decoded: {error}"
        ) from error
    boxes = [(o.box.ymin, o.box.xmin, o.box.ymax, o.box.xmax) for o in image.objects]
    main = example.main_object(image)
    target = {"target": tensors.numbers(image.target)} if image.HasField("target") else {}
    void = {"void": _masks(image, [image.void], place)[0]} if image.void else {}
    return {
        "key": image.key,
        "image": pixels,
        **target,
        **void,
        "label": None if main is None else image.objects[main].label,
        "objects": {
            "label": [o.label for o in image.objects],
            "box": np.array(boxes, np.float32).reshape(-1, 4),
            "difficult": np.array([o.difficult for o in image.objects], bool),
            "truncated": np.array([o.truncated for o in image.objects], bool),
            "occluded": np.array([o.occluded for o in image.objects], bool),
            "crowd": np.array([o.crowd for o in image.objects], bool),
            "mask": _masks(image, [o.mask for o in image.objects], place),
            "polygons": [
                [np.array([p.y, p.x], np.float32).T for p in o.polygons] for o in image.objects
            ],
            "keypoints": [
                np.array([(p.y, p.x, p.visibility) for p in o.keypoints], np.float32).reshape(-1, 3)
                for o in image.objects
            ],
            "keypoint_names": [[p.name for p in o.keypoints] for o in image.objects],
        },
    }


def _pixels(image: AnnotatedImage) -> npt.NDArray[np.uint8]:
    """The image as it is displayed."""
    # Others' records count as upright, whatever their images say.
    if image.orientation in (0, 1):
        return decoding.pixels(image.encoded, image.height, image.width)[0]
    return np.asarray(decoding.decode(image.encoded, image.orientation)[0])


def _masks(
    image: AnnotatedImage, stored: Iterable[bytes], place: str
) -> list[npt.NDArray[np.bool_] | None]:
    """The pixels of masks as they are stored; None where there is none."""
    from tfstream.annotations import masks

    size = image.width, image.height
    try:
        return [masks.decode(mask, size) if mask else None for mask in stored]
    except AnnotationError as error:
        raise CorruptRecordError(
            f"the shapes of record {image.key!r} in {place} cannot be read: {error}"
        ) from error


def _unpack_tensor(image: AnnotatedImage) -> dict[str, Any]:
    main = example.main_object(image)
    return {
        "key": image.key,
        "tensor": tensors.numbers(image.tensor),
        "label": None if main is None else image.objects[main].label,
        "target": tensors.numbers(image.target) if image.HasField("target") else None,
    }

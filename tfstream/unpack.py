"""A record as a user takes it by hand."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError
from tfstream.format import example, tensors

if TYPE_CHECKING:
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
    import PIL.Image
    import PIL.ImageOps

    try:
        with PIL.Image.open(io.BytesIO(image.encoded)) as stored:
            # Others' records count as upright, whatever their images say.
            turned = PIL.ImageOps.exif_transpose(stored) if image.orientation != 1 else stored
            upright = turned.convert("RGB")
    except Exception as error:  # Pillow raises many kinds for damaged images
        raise CorruptRecordError(
            f"the image of record {image.key!r} in {place} cannot be decoded: {error}"
        ) from error
    boxes = [(o.box.ymin, o.box.xmin, o.box.ymax, o.box.xmax) for o in image.objects]
    main = example.main_object(image)
    target = {"target": tensors.numbers(image.target)} if image.HasField("target") else {}
    return {
        "key": image.key,
        "image": np.asarray(upright),
        **target,
        "label": None if main is None else image.objects[main].label,
        "objects": {
            "label": [o.label for o in image.objects],
            "box": np.array(boxes, np.float32).reshape(-1, 4),
            "difficult": np.array([o.difficult for o in image.objects], bool),
            "truncated": np.array([o.truncated for o in image.objects], bool),
            "occluded": np.array([o.occluded for o in image.objects], bool),
            "crowd": np.array([o.crowd for o in image.objects], bool),
        },
    }


def _unpack_tensor(image: AnnotatedImage) -> dict[str, Any]:
    main = example.main_object(image)
    return {
        "key": image.key,
        "tensor": tensors.numbers(image.tensor),
        "label": None if main is None else image.objects[main].label,
        "target": tensors.numbers(image.target) if image.HasField("target") else None,
    }

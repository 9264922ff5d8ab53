"""A batch as a model would get it: the stream's own crops and flips, and the boxes that follow."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import TYPE_CHECKING, Any, Literal

from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfstream.dataset import PackedDataset

__all__ = ["Look", "batch"]

_MOST_IMAGES = 64
_MOST_SIDE = 1024  # pixels
_QUALITY = 90


@dataclasses.dataclass(frozen=True)
class Look:
    """How a batch is made, and which one.

    Attributes:
        image: How images are made.
        batch_size: 1 to 64.
        seed: Of the order and the augmentation.
        shuffle: False: in the dataset's order.
        epoch: From 0.
        step: Which batch of the epoch, from 0; one past the end is the last one.
    """

    image: ImageSpec
    batch_size: int = 16
    seed: int = 0
    shuffle: bool = True
    epoch: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= _MOST_IMAGES:
            raise InvalidArgumentError(
                f"batch_size must be 1 to {_MOST_IMAGES} here (got {self.batch_size})"
            )
        if max(self.image.size) > _MOST_SIDE:
            raise InvalidArgumentError(
                f"size must be up to {_MOST_SIDE} pixels here (got {self.image.size})"
            )
        if self.epoch < 0 or self.step < 0:
            raise InvalidArgumentError(
                f"epoch and step are 0 or more (got {self.epoch}, {self.step})"
            )


def batch(records: PackedDataset, look: Look) -> dict[str, Any]:
    """Makes a batch.

    Args:
        records: Of which.
        look: How, and which one.

    Returns:
        `steps` (batches an epoch), `step`, `code` (the Python that streams the same), and
        `images`, of each its `key`, `source` (a data: URL) and `objects` (`label`, `class`, `box`).

    Raises:
        InvalidArgumentError: There is no record.
    """
    if not len(records):
        raise InvalidArgumentError("the query selects no record: there is no batch of it")
    order: Literal["dict"] = "dict"
    batches = records.to_numpy_iterator(
        batch_size=look.batch_size,
        image=dataclasses.replace(look.image, dtype="uint8", normalize=None),
        label=None,
        boxes="ragged",
        elements=order,
        shuffle=look.shuffle,
        seed=look.seed,
        on_corrupt="skip",
        prefetch=0,
    )
    step = min(look.step, max(len(batches) - 1, 0))
    state = batches.state()
    batches.restore({**state, "epoch": look.epoch, "position": step * look.batch_size})
    made = next(iter(batches), None)
    labels = records.labels.names
    images = []
    if made is not None:
        for key, pixels, boxes, classes in zip(
            made["key"].tolist(), made["image"], made["boxes"], made["box_labels"], strict=True
        ):
            objects = [
                {
                    "class": number,
                    "label": labels[number] if 0 <= number < len(labels) else "",
                    "flags": [],
                    "box": [round(float(side), 5) for side in box],
                }
                for number, box in zip(classes.tolist(), boxes, strict=True)
            ]
            images.append({"key": key, "source": _url(pixels), "objects": objects})
    return {"steps": len(batches), "step": step, "code": _code(look), "images": images}


def _url(pixels: npt.NDArray[np.uint8]) -> str:
    import PIL.Image

    data = io.BytesIO()
    PIL.Image.fromarray(pixels).save(data, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _code(look: Look) -> str:
    """What makes such a stream in Python."""
    spec = look.image
    given = [
        f"{field.name}={getattr(spec, field.name)!r}"
        for field in dataclasses.fields(spec)
        if field.default is dataclasses.MISSING or getattr(spec, field.name) != field.default
    ]
    image = f"tfstream.ImageSpec({', '.join(given)})"
    order = f"seed={look.seed}" if look.shuffle else f"shuffle=False, seed={look.seed}"
    return f'data.stream(batch_size={look.batch_size}, image={image}, boxes="ragged", {order})'

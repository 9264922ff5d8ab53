"""A batch as a model would get it: the stream's crops and flips, and the objects that follow."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfstream.errors import CorruptRecordError, InvalidArgumentError
from tfstream.images import ImageSpec
from tfstream.keypoint_names import partners
from tfstream.view.shapes import runs

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.adapters.arrays import NumpyBatches
    from tfstream.dataset import PackedDataset

__all__ = ["Look", "batch"]

Points = tuple[str, ...] | int | None  # what `keypoints` of streams is

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
        `images`, of each its `key`, `source` (a data: URL) and `objects`: `label`, `class`, `box`,
        and what there is of `mask` and `keypoints`, as `shapes.annotation` has them.

    Raises:
        InvalidArgumentError: There is no record.
    """
    if not len(records):
        raise InvalidArgumentError("the query selects no record: there is no batch of it")
    plain = _batches(records, look)
    step = min(look.step, max(len(plain) - 1, 0))
    begin = step * look.batch_size
    positions = np.arange(begin, min(begin + look.batch_size, len(records)))
    places = plain.position.order.records_at(positions, look.epoch)
    outlined, points = _shapes(records, places, flip=look.image.flip)
    batches = _batches(records, look, masks="instance" if outlined else None, keypoints=points)
    batches.restore({**batches.state(), "epoch": look.epoch, "position": begin})
    made = next(iter(batches), None)
    images = [] if made is None else _images(made, records.labels.names, points)
    code = _code(look, outlined=outlined, points=points)
    return {"steps": len(batches), "step": step, "code": code, "images": images}


def _batches(
    records: PackedDataset,
    look: Look,
    *,
    masks: Literal["instance"] | None = None,
    keypoints: Points = None,
) -> NumpyBatches:
    return records.to_numpy_iterator(
        batch_size=look.batch_size,
        image=dataclasses.replace(look.image, dtype="uint8", normalize=None),
        label=None,
        boxes="ragged",
        masks=masks,
        keypoints=keypoints,
        elements="dict",
        shuffle=look.shuffle,
        seed=look.seed,
        on_corrupt="skip",
        prefetch=0,
    )


def _shapes(
    records: PackedDataset, places: npt.NDArray[np.int64], *, flip: bool
) -> tuple[bool, Points]:
    """What some records have: masks or outlines; and keypoints, as streams are asked for them.

    Returns:
        Of keypoints None also where it is not known which change places in a mirrored image.
    """
    outlined = False
    names: dict[str, None] = {}
    most = 0
    for place in places:
        with contextlib.suppress(CorruptRecordError):  # which the batch leaves out
            for image in records.stored.images(np.array([place])):
                for item in image.objects:
                    outlined |= bool(item.mask or item.polygons)
                    names |= dict.fromkeys(point.name for point in item.keypoints if point.name)
                    most = max(most, len(item.keypoints))
    if not names:
        return outlined, most if most and not flip else None
    if flip:
        try:
            partners(tuple(names))
        except InvalidArgumentError:
            return outlined, None
    return outlined, tuple(names)


def _images(made: dict[str, Any], labels: tuple[str, ...], points: Points) -> list[dict[str, Any]]:
    """A batch's images, and what to draw over them."""
    names = points if isinstance(points, tuple) else ("",) * (points or 0)
    images = []
    for number, key in enumerate(made["key"].tolist()):
        objects = []
        for place, label in enumerate(made["box_labels"][number].tolist()):
            item: dict[str, Any] = {
                "class": label,
                "label": labels[label] if 0 <= label < len(labels) else "",
                "flags": [],
                "box": [round(float(side), 5) for side in made["boxes"][number][place]],
            }
            if "masks" in made and (mask := made["masks"][number][place]).any():
                height, width = mask.shape
                item["mask"] = {"width": width, "height": height, "runs": runs(mask.ravel() > 0)}
            if names:
                item["keypoints"] = [
                    [round(float(x), 5), round(float(y), 5), int(visibility), name]
                    for (y, x, visibility), name in zip(
                        made["keypoints"][number][place], names, strict=True
                    )
                ]
            objects.append(item)
        images.append({"key": key, "source": _url(made["image"][number]), "objects": objects})
    return images


def _url(pixels: npt.NDArray[np.uint8]) -> str:
    import PIL.Image

    data = io.BytesIO()
    PIL.Image.fromarray(pixels).save(data, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _code(look: Look, *, outlined: bool, points: Points) -> str:
    """What makes such a stream in Python."""
    spec = look.image
    given = [
        f"{field.name}={getattr(spec, field.name)!r}"
        for field in dataclasses.fields(spec)
        if field.default is dataclasses.MISSING or getattr(spec, field.name) != field.default
    ]
    image = f"tfstream.ImageSpec({', '.join(given)})"
    order = f"seed={look.seed}" if look.shuffle else f"shuffle=False, seed={look.seed}"
    objects = 'boxes="ragged"'
    if outlined:
        objects += ', masks="instance"'
    if points is not None:
        objects += f", keypoints={points!r}"
    return f"data.stream(batch_size={look.batch_size}, image={image}, {objects}, {order})"

"""Datasets of TensorFlow Datasets, by their builders: an example an image, or a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from tfstream.annotations import fields
from tfstream.annotations.fields import Fields
from tfstream.annotations.messages import Messages
from tfstream.errors import DatasetNotFoundError, InvalidArgumentError
from tfstream.v1 import annotated_image_pb2

__all__ = ["Tfds", "is_tfds"]


def is_tfds(source: object) -> bool:
    """Whether something is a builder of a dataset."""
    return any(
        each.__module__.partition(".")[0] == "tensorflow_datasets"
        and each.__name__ == "DatasetBuilder"
        for each in type(source).__mro__
    )


class Tfds(Messages):
    """Takes what an example is from the features' types and names; all splits, in file order.

    The first feature of type Image is the image, as it is stored; without one, the first
    Tensor that has axes is the tensor. A ClassLabel is the class; `target` or `y` the target;
    `objects`, with a BBox and a ClassLabel, the objects. The key is the field `id` or `image_id`,
    or the split and the number of the example. Other numbers and texts are metadata.
    """

    name = "tfds"
    layout = "a builder of TensorFlow Datasets"
    boxes: Literal["corners", "sizes", "other"] = "other"

    def __init__(self, source: Any = None) -> None:
        """Keeps the builder."""
        super().__init__(() if source is None else _images(source))
        self._builder = source

    @property
    def images(self) -> bool:
        """Whether there are images."""
        return self._builder is not None and _fields_of(self._builder).image is not None


def _images(builder: Any) -> Iterator[annotated_image_pb2.AnnotatedImage]:
    import tensorflow_datasets as tfds

    known = _fields_of(builder)
    decoders = None if known.image is None else {known.image: tfds.decode.SkipDecoding()}
    read = tfds.ReadConfig(interleave_cycle_length=1)  # file order, the same in each run
    if not builder.info.splits:
        raise DatasetNotFoundError(
            f"{builder.info.full_name} has not been prepared in {builder.data_dir}: call its "
            "download_and_prepare() first."
        )
    for split in builder.info.splits:
        rows = builder.as_dataset(
            split=split, decoders=decoders, shuffle_files=False, read_config=read
        )
        for number, row in enumerate(tfds.as_numpy(rows)):
            yield fields.record_of(row, known, split=str(split), number=number)


def _fields_of(builder: Any) -> Fields:
    """What the features of a dataset are.

    Raises:
        InvalidArgumentError: There is nothing that could be an image or a tensor.
    """
    features = builder.info.features
    if not hasattr(features, "keys"):
        raise InvalidArgumentError(
            f"{builder.info.full_name} has no named features: {features!r:.80}"
        )
    kinds = {name: type(features[name]).__name__ for name in features}
    image = next((name for name, kind in kinds.items() if kind == "Image"), None)
    label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    target = fields.pick(list(kinds), fields.TARGETS) if label is None else None
    key = fields.pick(list(kinds), fields.KEYS)
    own = [name for name in kinds if name not in (label, target, key)]
    arrays = [name for name in own if kinds[name] == "Tensor" and features[name].shape]
    tensors = () if image is not None else tuple(arrays[:1])
    if image is None and not tensors:
        raise InvalidArgumentError(
            f"{builder.info.full_name} has the features {', '.join(kinds)}: an Image is needed, or "
            "a Tensor"
        )
    boxes = categories = ""
    inner: Any = getattr(features["objects"], "feature", None) if "objects" in kinds else None
    if image is not None and hasattr(inner, "keys"):
        named = {name: type(inner[name]).__name__ for name in inner}
        boxes = next((name for name, kind in named.items() if kind.startswith("BBox")), "")
        categories = next((name for name, kind in named.items() if kind == "ClassLabel"), "")
    known = bool(boxes and categories)
    return Fields(
        image=image,
        tensors=tensors,
        label=None if known else label,
        names=tuple(features[label].names) if label else None,
        target=target,
        objects="objects" if known else None,
        boxes=boxes,
        categories=categories,
        category_names=tuple(inner[categories].names) if known else None,
        box=_fractions,
        metadata=tuple(
            name for name in own if kinds[name] in ("Text", "Scalar") and name not in tensors
        ),
        key=key,
    )


def _fractions(edges: Sequence[float]) -> annotated_image_pb2.Box:
    ymin, xmin, ymax, xmax = edges
    return annotated_image_pb2.Box(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax, normalized=True)

"""Datasets of Hugging Face's `datasets` library: a row an image, or a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tfstream.annotations import fields
from tfstream.annotations.fields import Fields
from tfstream.annotations.messages import Messages
from tfstream.errors import InvalidArgumentError
from tfstream.v1 import annotated_image_pb2

__all__ = ["HuggingFace", "is_huggingface"]

_BOXES = ("bbox", "bboxes", "box", "boxes")
_NUMBERS = ("int", "uint", "float", "bool")


def is_huggingface(source: object) -> bool:
    """Whether something is a dataset of the library, or a dict of its splits."""
    return any(
        each.__module__.partition(".")[0] == "datasets" and "Dataset" in each.__name__
        for each in type(source).__mro__
    )


class HuggingFace(Messages):
    """Takes what a row is from the features' types and names.

    The first feature of type Image is the image, as it is stored. Without one, the first that is
    an array is the tensor; without that, all columns of numbers are, in their order. A ClassLabel,
    or what is called label, is the class; `target` or `y` the target; `objects`, with `bbox` (x, y,
    width, height in pixels, as COCO's) and a class, the objects. The key is `key`, `id` or
    `image_id`, or the split and the number of the row. Other numbers and texts are metadata.
    """

    name = "huggingface"
    layout = "a dataset of Hugging Face's library"
    boxes: Literal["corners", "sizes", "other"] = "sizes"

    def __init__(self, source: Any = None) -> None:
        """Keeps the dataset, or the dict of splits."""
        super().__init__(() if source is None else _images(_splits(source)))
        self._splits = {} if source is None else _splits(source)

    @property
    def images(self) -> bool:
        """Whether there are images."""
        return any(_fields_of(each).image is not None for each in self._splits.values())


def _splits(source: Any) -> dict[str, Any]:
    if isinstance(source, Mapping):
        return {str(name): each for name, each in source.items()}
    return {str(source.split or "train"): source}


def _images(splits: Mapping[str, Any]) -> Iterator[annotated_image_pb2.AnnotatedImage]:
    for split, source in splits.items():
        known = _fields_of(source)
        if known.image is not None:
            import datasets

            source = source.cast_column(known.image, datasets.Image(decode=False))
        for number, row in enumerate(source):
            stored = row.get(known.image) if known.image is not None else None
            if stored is None:
                yield fields.record_of(row, known, split=split, number=number)
                continue
            row = {**row, known.image: stored["bytes"]}
            record = fields.record_of(row, known, split=split, number=number, path=stored["path"])
            yield record


def _fields_of(source: Any) -> Fields:
    """What the features of a dataset are.

    Raises:
        InvalidArgumentError: There is nothing that could be an image or a tensor.
    """
    features: Mapping[str, Any] = source.features or {}
    kinds = {name: type(each).__name__ for name, each in features.items()}
    image = next((name for name, kind in kinds.items() if kind == "Image"), None)
    label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    label = label or fields.pick(
        [name for name, kind in kinds.items() if kind == "Value"], fields.LABELS
    )
    target = fields.pick(list(features), fields.TARGETS) if label is None else None
    key = fields.pick(list(features), fields.KEYS)
    plain = [
        name for name, kind in kinds.items() if kind == "Value" and name not in (label, target, key)
    ]
    tensors: tuple[str, ...] = ()
    if image is None:
        array = next((name for name, each in features.items() if _is_array(each)), None)
        numbers = tuple(name for name in plain if _is_number(features[name]))
        tensors = numbers if array is None else (array,)
    if image is None and not tensors:
        raise InvalidArgumentError(
            f"the dataset has the features {', '.join(features) or 'unknown'}: an Image is needed, "
            "or an array, or columns of numbers"
        )
    objects = features.get("objects")
    inner: Any = getattr(objects, "feature", objects)
    boxes = categories = ""
    if image is not None and isinstance(inner, Mapping):
        boxes = fields.pick(list(inner), _BOXES) or ""
        categories = fields.pick(list(inner), fields.CATEGORIES) or ""
    known = bool(boxes and categories)
    metadata = [name for name in plain if name not in tensors and _is_plain(features[name])]
    return Fields(
        image=image,
        tensors=tensors,
        label=None if known else label,
        names=_names(features.get(label or "")),
        target=target,
        objects="objects" if known else None,
        boxes=boxes,
        categories=categories,
        category_names=_names(inner[categories]) if known else None,
        box=_corner_and_size,
        metadata=tuple(metadata),
        key=key,
    )


def _names(feature: Any) -> tuple[str, ...] | None:
    inner = getattr(feature, "feature", feature)
    names = getattr(inner, "names", None)
    return None if names is None else tuple(names)


def _is_array(feature: Any) -> bool:
    """Whether a feature is of numbers in a shape that all rows have."""
    if type(feature).__name__.startswith("Array"):
        return True
    while getattr(feature, "length", -1) > 0:
        feature = feature.feature
        if _is_number(feature):
            return True
    return False


def _is_number(feature: Any) -> bool:
    return str(getattr(feature, "dtype", "")).startswith(_NUMBERS)


def _is_plain(feature: Any) -> bool:
    return _is_number(feature) or getattr(feature, "dtype", "") in ("string", "large_string")


def _corner_and_size(edges: Sequence[float]) -> annotated_image_pb2.Box:
    x, y, width, height = edges
    return annotated_image_pb2.Box(ymin=y, xmin=x, ymax=y + height, xmax=x + width)

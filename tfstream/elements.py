"""What an element of a stream, or a sample without TensorFlow, holds.

Importing this module does not import TensorFlow.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

from tfstream.errors import InvalidArgumentError
from tfstream.format.tensors import Contents, TensorSpec
from tfstream.images import ImageSpec, Raw

__all__ = ["ArrayElements", "Elements", "StreamElements", "fitting"]

# What is made of images where nothing else is asked for.
_UNSAID = ImageSpec(size=(224, 224))

LABELS = (None, "index", "one_hot", "multi_hot")


@dataclasses.dataclass(frozen=True)
class Elements:
    """What an element holds; checked once, here.

    Args:
        image: How images are made; one of `NAMED`; `tfstream.RAW`: the stored bytes; the
            `TensorSpec` of what records hold in the place of images; None: left out.
        label: "index", "one_hot", "multi_hot"; None: left out.
        boxes: "ragged", or the number that each image's boxes are padded to; None: left out.
        form: "tuple": (image, label, boxes, target) without what is left out; "dict": by name.
        target: The `TensorSpec` of numbers to be predicted; None: there are none.
    """

    NAMED: ClassVar[tuple[str, ...]] = ()

    image: ImageSpec | Raw | TensorSpec | Literal["tensor", "pil"] | None
    label: Literal["index", "one_hot", "multi_hot"] | None
    boxes: Literal["ragged"] | int | None
    form: Literal["tuple", "dict"]
    target: TensorSpec | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not (
            self.image is None
            or isinstance(self.image, ImageSpec | Raw | TensorSpec)
            or self.image in self.NAMED
        ):
            named = "".join(f'"{name}", ' for name in self.NAMED)
            raise InvalidArgumentError(
                f"image must be a tfstream.ImageSpec, {named}tfstream.RAW or None "
                f"(got {self.image!r})"
            )
        if self.label not in LABELS:
            raise InvalidArgumentError(f"label must be one of {LABELS} (got {self.label!r})")
        is_count = isinstance(self.boxes, int) and not isinstance(self.boxes, bool)
        if not (self.boxes in (None, "ragged") or (is_count and int(self.boxes or 0) >= 1)):
            raise InvalidArgumentError(
                f'boxes must be "ragged", a positive number to pad to, or None (got {self.boxes!r})'
            )
        if self.form not in ("tuple", "dict"):
            raise InvalidArgumentError(f'elements must be "tuple" or "dict" (got {self.form!r})')
        if self.form == "tuple" and not any((self.image, self.label, self.boxes, self.target)):
            raise InvalidArgumentError(
                "nothing is left in the elements: image, label and boxes are all None. "
                'Ask for one of them, or for elements="dict", which has the key'
            )

    @property
    def spec(self) -> ImageSpec | None:
        """The images' specification, where they are made by one."""
        return self.image if isinstance(self.image, ImageSpec) else None

    @property
    def tensors(self) -> dict[str, TensorSpec]:
        """What there is of tensors, by its name in dicts."""
        named = {"tensor": self.image, "target": self.target}
        return {name: spec for name, spec in named.items() if isinstance(spec, TensorSpec)}

    @property
    def draws(self) -> int:
        """Random numbers that a sample needs."""
        return self.spec.draws if self.spec else 0


@dataclasses.dataclass(frozen=True)
class StreamElements(Elements):
    """What an element of a stream holds.

    Args:
        weight: Whether tuples end with a weight, 0 for padding.
        sources: Names of the sources of a mix, where dicts say as `source`, and tuples at their
            end, which one a sample is of.
    """

    weight: bool = False
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        predicted = bool(self.label) + bool(self.target)
        pairs = bool(self.image) and predicted == 1 and not self.boxes
        if self.weight and self.form == "tuple" and not pairs:
            raise InvalidArgumentError(
                "where the remainder is padded, tuples are (image, label, weight), as Keras takes "
                f"them (got image={self.image!r}, label={self.label!r}, boxes={self.boxes!r}): ask "
                'for elements="dict", where `present` says what is padding'
            )


@dataclasses.dataclass(frozen=True)
class ArrayElements(Elements):
    """What a sample without TensorFlow holds.

    Images may also be "tensor", uint8 and as large as they are stored, or "pil", a Pillow image.
    """

    NAMED: ClassVar[tuple[str, ...]] = ("tensor", "pil")


def fitting(
    contents: Contents, classes: int, *, image: Any, label: Any, boxes: Any
) -> dict[str, Any]:
    """What is asked for, as arguments of `Elements`, of records that may hold tensors.

    Args:
        contents: What records hold.
        classes: How many there are, with the background.
        image: As it was asked for; the default of `stream` where nothing was said.
        label: As it was asked for.
        boxes: As they were asked for.

    Raises:
        InvalidArgumentError: There is no such thing in these records.
    """
    asked = {"image": image, "label": label, "boxes": boxes, "target": contents.target}
    if contents.tensor is None:
        return asked
    if boxes is not None or not (image is None or image in (_UNSAID, "tensor")):
        what, value = ("image", image) if boxes is None else ("boxes", boxes)
        raise InvalidArgumentError(
            f"the records hold no images: each holds {contents}; leave {what} out (got {value!r})"
        )
    if classes == 0 and label not in (None, "index"):
        raise InvalidArgumentError(
            f"the records have no classes: each holds {contents}; leave label out (got {label!r})"
        )
    return {
        **asked,
        "image": None if image is None else contents.tensor,
        "label": label if classes else None,
    }

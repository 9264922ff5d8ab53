"""What an element of a stream, or a sample without TensorFlow, holds.

Importing this module does not import TensorFlow.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec, Raw

__all__ = ["ArrayElements", "Elements", "StreamElements"]

LABELS = (None, "index", "one_hot", "multi_hot")


@dataclasses.dataclass(frozen=True)
class Elements:
    """What an element holds; checked once, here.

    Args:
        image: How images are made; one of `NAMED`; `tfstream.RAW`: the stored bytes; None: left
            out.
        label: "index", "one_hot", "multi_hot"; None: left out.
        boxes: "ragged", or the number that each image's boxes are padded to; None: left out.
        form: "tuple": (image, label, boxes) without what is left out; "dict": by name.
    """

    NAMED: ClassVar[tuple[str, ...]] = ()

    image: ImageSpec | Raw | Literal["tensor", "pil"] | None
    label: Literal["index", "one_hot", "multi_hot"] | None
    boxes: Literal["ragged"] | int | None
    form: Literal["tuple", "dict"]

    def __post_init__(self) -> None:
        if not (
            self.image is None
            or isinstance(self.image, ImageSpec | Raw)
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
        if self.form == "tuple" and self.image is None and not self.label and not self.boxes:
            raise InvalidArgumentError(
                "nothing is left in the elements: image, label and boxes are all None. "
                'Ask for one of them, or for elements="dict", which has the key'
            )

    @property
    def spec(self) -> ImageSpec | None:
        """The images' specification, where they are made by one."""
        return self.image if isinstance(self.image, ImageSpec) else None

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
        if self.weight and self.form == "tuple" and (self.boxes or not (self.image and self.label)):
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

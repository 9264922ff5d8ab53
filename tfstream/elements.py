"""What an element of a stream, or a sample without TensorFlow, holds.

Importing this module does not import TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, Literal

from tfstream.errors import InvalidArgumentError
from tfstream.format.tensors import Contents, TensorSpec
from tfstream.images import ImageSpec, Raw
from tfstream.keypoint_names import partners

__all__ = ["SEED_BITS", "ArrayElements", "Elements", "StreamElements", "fitting"]

# What is made of images where nothing else is asked for.
_UNSAID = ImageSpec(size=(224, 224))

LABELS = (None, "index", "one_hot", "multi_hot")
MASKS = (None, "instance", "semantic")
# In tuples, in this order; dicts have more.
PARTS = ("image", "tensor", "label", "boxes", "masks", "keypoints", "target")

# Of each of the two numbers of a sample's seed: as many as a drawn float32 has.
SEED_BITS = 24


@dataclasses.dataclass(frozen=True)
class Elements:
    """What an element holds; checked once, here.

    Args:
        image: How images are made; one of `NAMED`; `tfstream.RAW`: the stored bytes; the
            `TensorSpec` of what records hold in the place of images; None: left out.
        label: "index", "one_hot", "multi_hot"; None: left out.
        boxes: "ragged", or the number that each image's boxes are padded to; None: left out.
        masks: "instance": one for each box; "semantic": a label map; None: left out.
        keypoints: Names, in the order in which each object's are delivered, or how many it has;
            None: left out.
        form: "tuple": the parts in the order above, and the target, without what is left out;
            "dict": by name.
        target: The `TensorSpec` of numbers to be predicted; None: there are none.
    """

    NAMED: ClassVar[tuple[str, ...]] = ()

    image: ImageSpec | Raw | TensorSpec | Literal["tensor", "pil"] | None
    label: Literal["index", "one_hot", "multi_hot"] | None
    boxes: Literal["ragged"] | int | None
    masks: Literal["instance", "semantic"] | None
    keypoints: tuple[str, ...] | int | None
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
        if not (self.boxes in (None, "ragged") or _is_positive(self.boxes)):
            raise InvalidArgumentError(
                f'boxes must be "ragged", a positive number to pad to, or None (got {self.boxes!r})'
            )
        if self.form not in ("tuple", "dict"):
            raise InvalidArgumentError(f'elements must be "tuple" or "dict" (got {self.form!r})')
        self._check_masks()
        if self.keypoints is not None:
            self._check_keypoints()
        # Keypoints need boxes.
        left = (self.image, self.label, self.boxes, self.masks, self.target)
        if self.form == "tuple" and not any(left):
            raise InvalidArgumentError(
                "nothing is left in the elements: image, label, boxes and masks are all None. "
                'Ask for one of them, or for elements="dict", which has the key'
            )

    def _check_masks(self) -> None:
        if self.masks not in MASKS:
            raise InvalidArgumentError(f"masks must be one of {MASKS} (got {self.masks!r})")
        if self.masks and (self.image is None or isinstance(self.image, Raw)):
            raise InvalidArgumentError(
                f"masks={self.masks!r} are as large as the image that they go with: ask for a "
                f"tfstream.ImageSpec (got image={self.image!r})"
            )
        if self.masks == "instance" and self.boxes is None:
            raise InvalidArgumentError(
                'masks="instance" gives one mask for each box: add boxes="ragged", or a number '
                "(got boxes=None)"
            )

    def _check_keypoints(self) -> None:
        points = self.keypoints
        if isinstance(points, list):
            points = tuple(points)
            object.__setattr__(self, "keypoints", points)
        named = isinstance(points, tuple) and all(isinstance(n, str) and n for n in points)
        if not ((named and points) or _is_positive(points)):
            raise InvalidArgumentError(
                "keypoints must be the points' names, such as tfstream.COCO_KEYPOINTS, a positive "
                f"number of points, or None (got {points!r})"
            )
        if isinstance(points, tuple) and len(set(points)) < len(points):
            twice = next(name for name in points if points.count(name) > 1)
            raise InvalidArgumentError(f"keypoints names {twice!r} twice (got {points!r})")
        if self.boxes is None:
            raise InvalidArgumentError(
                'keypoints are those of each box\'s object: add boxes="ragged", or a number '
                "(got boxes=None)"
            )
        if self.spec and self.spec.flip:
            if not isinstance(points, tuple):
                raise InvalidArgumentError(
                    "a mirrored left eye is a right one: with flip=True, keypoints must be the "
                    f"points' names, such as tfstream.COCO_KEYPOINTS (got {points!r})"
                )
            partners(points)

    @property
    def spec(self) -> ImageSpec | None:
        """The images' specification, where they are made by one."""
        return self.image if isinstance(self.image, ImageSpec) else None

    @functools.cached_property
    def tensors(self) -> dict[str, TensorSpec]:
        """What there is of tensors, by its name in dicts."""
        named = {"tensor": self.image, "target": self.target}
        return {name: spec for name, spec in named.items() if isinstance(spec, TensorSpec)}

    @property
    def objects(self) -> bool:
        """Whether there is anything in it of single objects."""
        return bool(self.boxes or self.masks or self.keypoints)

    @property
    def draws(self) -> int:
        """Random numbers that a sample needs: those of its image, and behind them its seed's."""
        return (self.spec.draws if self.spec else 0) + 2 * (self.form == "dict")


@dataclasses.dataclass(frozen=True)
class StreamElements(Elements):
    """What an element of a stream holds.

    Args:
        weight: Whether what is padding can be told: tuples with labels end with a weight, 0 for
            padding.
        sources: Names of the sources of a mix, where dicts say as `source`, and tuples at their
            end, which one a sample is of.
    """

    weight: bool = False
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        targets = [bool(self.label), self.masks == "semantic", bool(self.target)]
        pairs = bool(self.image) and sum(targets) == 1 and not self.boxes
        if self.weight and self.form == "tuple" and not pairs:
            raise InvalidArgumentError(
                "where the remainder is padded, tuples are (image, label, weight), or (image, "
                "label map) with -1 in what is padding, as Keras takes them "
                f"(got image={self.image!r}, label={self.label!r}, boxes={self.boxes!r}, "
                f"masks={self.masks!r}): ask for "
                'elements="dict", where `present` says what is padding'
            )


@dataclasses.dataclass(frozen=True)
class ArrayElements(Elements):
    """What a sample without TensorFlow holds.

    Images may also be "tensor", uint8 and as large as they are stored, or "pil", a Pillow image.

    Args:
        planes: Whether the channels of images come first, as in PyTorch.
    """

    planes: bool = False

    NAMED: ClassVar[tuple[str, ...]] = ("tensor", "pil")


def fitting(
    contents: Contents, classes: int, *, image: Any, label: Any, **objects: Any
) -> dict[str, Any]:
    """What is asked for, as arguments of `Elements`, of records that may hold tensors.

    Args:
        contents: What records hold.
        classes: How many there are, with the background.
        image: As it was asked for; the default of `stream` where nothing was said.
        label: As it was asked for.
        objects: The parts that objects have, as they were asked for.

    Raises:
        InvalidArgumentError: There is no such thing in these records.
    """
    asked = {"image": image, "label": label, **objects, "target": contents.target}
    if contents.tensor is None:
        return asked
    told = {name: value for name, value in objects.items() if value is not None}
    if not (image is None or image in (_UNSAID, "tensor")):
        told["image"] = image
    for what, value in told.items():
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


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1

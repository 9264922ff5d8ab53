"""Which features of records that tfstream did not write hold what ours do."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfstream.errors import InvalidArgumentError
from tfstream.format import example, shapes

if TYPE_CHECKING:
    from tfstream.v1 import manifest_pb2

__all__ = ["FLAGS", "PASSED", "ROLES", "SIDES", "FeatureMap", "unknown_role"]

# One value an object, 0 or 1: the role, and what ours is called.
FLAGS = {
    "difficult": example.DIFFICULT,
    "truncated": example.TRUNCATED,
    "occluded": example.OCCLUDED,
    "crowd": example.CROWD,
}
SIDES = ("ymin", "xmin", "ymax", "xmax")
# What a feature can be to us. `boxes` is one feature with four values an object, in the order of
# SIDES; `label` and `label_text` are of the image, the `object_` ones of its objects.
ROLES = (
    "image",
    "key",
    "filename",
    "label",
    "label_text",
    "boxes",
    *SIDES,
    "object_label",
    "object_text",
    *FLAGS,
)
# Features with one meaning wherever they occur: they stay what they are.
PASSED = (
    example.METADATA,
    shapes.MASK,
    shapes.VOID,
    shapes.POLYGON_X,
    shapes.POLYGON_Y,
    shapes.POLYGON_POINTS,
    shapes.POLYGON_OBJECT,
    shapes.KEYPOINT_X,
    shapes.KEYPOINT_Y,
    shapes.KEYPOINT_VISIBILITY,
    shapes.KEYPOINT_NAME,
    shapes.KEYPOINT_COUNT,
)


def unknown_role(role: str) -> InvalidArgumentError:
    """The error that says which roles there are instead of one that there is not."""
    near = difflib.get_close_matches(role, ROLES, n=3)
    hint = f" Nearest: {', '.join(map(repr, near))}." if near else ""
    return InvalidArgumentError(
        f"A feature cannot be the {role!r} of a record.{hint} The roles are {', '.join(ROLES)}."
    )


@dataclasses.dataclass(frozen=True)
class FeatureMap:
    """The names of others' features, by what they are to us.

    Attributes:
        roles: By role, one of `ROLES`.
        columns: By metadata column; each feature has one value a record, or none.
        numbers: The number that records hold for each label, in the order of the label map; empty:
            they hold its name.

    Raises:
        InvalidArgumentError: There is no such role, no image, or boxes are said in two ways.

    >>> FeatureMap({"image": "jpg", "label": "cls"}, {}, (0, 1)).objects
    False
    """

    roles: Mapping[str, str]
    columns: Mapping[str, str]
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for role in self.roles:
            if role not in ROLES:
                raise unknown_role(role)
        if "image" not in self.roles:
            raise InvalidArgumentError("No feature is the image of a record.")
        sides = [side for side in SIDES if side in self.roles]
        if sides and (len(sides) < len(SIDES) or "boxes" in self.roles):
            raise InvalidArgumentError(
                f"Features are the {', '.join(sides)} of boxes: all of {', '.join(SIDES)} are "
                "needed, or `boxes` alone, a feature with four values an object."
            )

    @functools.cached_property
    def objects(self) -> bool:
        """Whether records say of objects, and not of the image alone, what they are."""
        return any(role in self.roles for role in ("object_label", "object_text", "boxes", "ymin"))

    @property
    def wanted(self) -> frozenset[str]:
        """The names of all features that are read."""
        return frozenset((*self.roles.values(), *self.columns.values(), *PASSED))

    @classmethod
    def from_proto(cls, proto: manifest_pb2.FeatureMap) -> FeatureMap:
        """What a manifest holds."""
        return cls(dict(proto.roles), dict(proto.columns), tuple(proto.numbers))

    def to_proto(self) -> manifest_pb2.FeatureMap:
        """The map as a manifest holds it."""
        from tfstream.v1 import manifest_pb2

        return manifest_pb2.FeatureMap(roles=self.roles, columns=self.columns, numbers=self.numbers)

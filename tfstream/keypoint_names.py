"""Names of keypoints, and which of them change places when a picture is mirrored."""

from __future__ import annotations

import re
from typing import Final

from tfstream.errors import InvalidArgumentError

__all__ = ["COCO_KEYPOINTS", "partners"]

COCO_KEYPOINTS: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""The keypoints of COCO's people, in COCO's order."""

_OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
_SIDE = re.compile("|".join(_OTHER))


def partners(names: tuple[str, ...]) -> tuple[int, ...]:
    """Which point each one is once the picture is mirrored: a left eye is then a right one.

    Args:
        names: Of the points; those with "left" or "right" in them come in pairs.

    Returns:
        A place in `names` for each.

    Raises:
        InvalidArgumentError: One's partner is not among them.

    >>> partners(("nose", "left_eye", "right_eye"))
    (0, 2, 1)
    """
    places = []
    for name in names:
        other = _SIDE.sub(lambda side: _OTHER[side.group()], name)
        if other not in names:
            raise InvalidArgumentError(
                f"keypoints has {name!r} and not {other!r}, which it is in a mirrored image: add "
                "that, or do without flip=True"
            )
        places.append(names.index(other))
    return tuple(places)

"""What a request asks for, checked."""

from __future__ import annotations

from collections.abc import Mapping

from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec
from tfstream.view.batches import Look
from tfstream.view.session import Question
from tfstream.view.thumbnails import SIDES

__all__ = ["look", "number", "question", "side"]


def number(given: Mapping[str, str], name: str, default: int | None = None) -> int:
    """A whole number.

    Raises:
        InvalidArgumentError: It is missing, or none.
    """
    text = given.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise InvalidArgumentError(f"{name} must be a whole number (got {text!r})")
    return int(text)


def question(given: Mapping[str, str], version: int) -> Question:
    """Which records are asked for.

    Args:
        given: With `q`, `slice` and `version`, or without.
        version: Where none is given.
    """
    return Question(number(given, "version", version), given.get("q", ""), given.get("slice", ""))


def side(given: Mapping[str, str]) -> int:
    """How large pictures shall be, in pixels of the longer side.

    Raises:
        InvalidArgumentError: None are made of that size.
    """
    asked = number(given, "side")
    if asked not in SIDES:
        raise InvalidArgumentError(f"pictures are made of {SIDES} pixels (got {asked})")
    return asked


def look(given: Mapping[str, str]) -> Look:
    """How a batch is made.

    Raises:
        InvalidArgumentError: A value cannot be used.
    """
    area = given.get("area", "0.08")
    try:
        least = float(area)
    except ValueError:
        raise InvalidArgumentError(f"area must be a number in 0..1 (got {area!r})") from None
    image = ImageSpec(
        size=(number(given, "height", 224), number(given, "width", 224)),
        mode=given.get("mode", "random_crop"),  # type: ignore[arg-type]  # checked by ImageSpec
        flip=given.get("flip") == "1",
        area=(least, 1.0),
    )
    return Look(
        image,
        batch_size=number(given, "batch_size", 16),
        seed=number(given, "seed", 0),
        shuffle=given.get("shuffle", "1") == "1",
        epoch=number(given, "epoch", 0),
        step=number(given, "step", 0),
    )

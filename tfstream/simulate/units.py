"""Durations and bandwidths, as people write them."""

from __future__ import annotations

import re

from tfstream.errors import InvalidArgumentError
from tfstream.sizes import parse_size

__all__ = ["parse_bandwidth", "parse_duration"]

_DURATION = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(us|ms|s|min)\s*")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_BITS = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([kMGT]?)bit/s\s*")
_BYTES = re.compile(r"(.*\S)\s*/\s*s\s*")


def parse_duration(text: str, name: str = "duration") -> float:
    """Seconds, given with a unit: us, ms, s, min.

    >>> parse_duration("50ms"), parse_duration("1.5 s"), parse_duration("0s")
    (0.05, 1.5, 0.0)

    Args:
        text: What was given.
        name: What to call it in the error.

    Raises:
        InvalidArgumentError: It is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(
            f"{name}={text!r} is not a duration: give a number with a unit, such as '50ms', "
            "'0.2s' or '1min'."
        )
    return float(match[1]) * _SECONDS[match[2]]


def parse_bandwidth(text: str, name: str = "bandwidth") -> float:
    """Bytes a second, given in bytes or bits.

    >>> parse_bandwidth("1GB/s"), parse_bandwidth("10 Gbit/s")
    (1000000000.0, 1250000000.0)

    Args:
        text: What was given.
        name: What to call it in the error.

    Raises:
        InvalidArgumentError: It is not a bandwidth.
    """
    if (bits := _BITS.fullmatch(text)) and float(bits[1]) > 0:
        return float(bits[1]) * 1000.0 ** " kMGT".index(bits[2] or " ") / 8
    match = _BYTES.fullmatch(text)
    try:
        return float(parse_size(match[1] if match else "", name))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"{name}={text!r} is not a bandwidth: give bytes or bits a second above 0, such as "
            "'1GB/s', '200MB/s' or '10Gbit/s'."
        ) from error

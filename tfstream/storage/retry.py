"""Trying again what may succeed the next time."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from tfstream import errors

__all__ = ["PATIENCE_SECONDS", "persist"]

PATIENCE_SECONDS = 300.0  # of trying in vain
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_TOLD_AFTER, _TOLD_EVERY = 10.0, 60.0  # seconds

_LOGGER = logging.getLogger("tfstream")

Result = TypeVar("Result")


def persist(call: Callable[[], Result], *, patience: float = PATIENCE_SECONDS) -> Result:
    """Calls until it succeeds, fails for good, or has failed for too long.

    Pauses grow exponentially, with full jitter; a server that says how long to wait is heeded.
    After ten seconds in vain it is logged what goes wrong, and every minute from then on.

    Args:
        call: Raises a TransientError where the next try may succeed.
        patience: Seconds after which no further try is begun.

    Raises:
        StorageError: Patience ran out; what else `call` raises goes through.
    """
    begun, pause, told = time.monotonic(), _FIRST_PAUSE, _TOLD_AFTER
    while True:
        try:
            return call()
        except errors.TransientError as error:
            seconds = error.retry_after or random.uniform(0, pause)
            waited = time.monotonic() - begun
            if waited + seconds > patience:
                raise errors.StorageError(
                    errno.EIO,
                    f"{str(error).rstrip('.')}. Tried again for {waited:.0f} s, and given up: "
                    "check the network, then begin anew.",
                ) from error
            if waited >= told:
                _LOGGER.warning(
                    "%s. Trying again, for %.0f s so far, %.0f s at most.",
                    *(str(error).rstrip("."), waited, patience),
                )
                told = waited + _TOLD_EVERY
        time.sleep(seconds)
        pause = min(2 * pause, _LONGEST_PAUSE)

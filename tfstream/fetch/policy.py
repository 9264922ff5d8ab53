"""When a request is sent again, and when a second one beside it: arithmetic on plain numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from tfstream.errors import InvalidArgumentError

__all__ = ["Policy", "Progress", "cost", "delay", "is_straggler", "pace"]

# A request costs a round trip beside its bytes: it is reckoned as if it had so many more.
_LATENCY_BYTES = 1 << 20

# Of fewer requests it cannot be said how fast they usually are.
_ENOUGH_PEERS = 8

# Before that is known, a request without a byte for so many times the floor is a straggler.
_COLD_FACTOR = 3


@dataclasses.dataclass(frozen=True)
class Policy:
    """How patient downloads are. The defaults suit Google Cloud Storage.

    Args:
        first_backoff: Seconds, the most that is waited after the first failure.
        max_backoff: Seconds, the most that is waited after many.
        patience: Seconds without one byte after which a download is given up.
        hedge_after: Seconds that a request may always take before it gets a second one beside it.
        hedge_factor: How many times slower than its peers it must be for that.
        hedge_share: Of all requests, the most that may be such second ones.
    """

    first_backoff: float = 0.1
    max_backoff: float = 32.0
    patience: float = 600.0
    hedge_after: float = 1.0
    hedge_factor: float = 3.0
    hedge_share: float = 0.1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidArgumentError(
                    f"{field.name} must be a finite number, not below 0 (got {value!r})"
                )


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a request has come.

    Attributes:
        length: Bytes that it asked for.
        received: Bytes that have come.
        seconds: Since it was sent.
        idle: Seconds since the last byte came (since it was sent, where none has).
    """

    length: int
    received: int
    seconds: float
    idle: float


def delay(
    policy: Policy, *, failures: int, retry_after: float | None, left: float, uniform: float
) -> float:
    """Seconds to wait before a request is sent again: exponential backoff with full jitter.

    Args:
        policy: How patient to be.
        failures: In a row, without one byte between them; at least 1.
        retry_after: Seconds that the server asks for; the jitter comes on top of these, so that
            not all who were told the same come back at the same moment.
        left: Seconds of patience that are left: the last try is made when they end.
        uniform: A random number in [0, 1).

    >>> delay(Policy(first_backoff=1), failures=3, retry_after=None, left=60, uniform=0.5)
    2.0
    """
    doublings = min(failures - 1, 64)  # more would be too large a number, and are capped anyway
    jitter = uniform * min(policy.max_backoff, policy.first_backoff * 2.0**doublings)
    return max(0.0, min(jitter + (retry_after or 0.0), left))


def cost(seconds: float, length: int) -> float:
    """Seconds a byte, comparable between requests of different lengths."""
    return seconds / (length + _LATENCY_BYTES)


def pace(costs: Sequence[float]) -> float | None:
    """The cost that 19 of 20 recent requests did not pass; None: too few to say."""
    if len(costs) < _ENOUGH_PEERS:
        return None
    return sorted(costs)[math.ceil(0.95 * len(costs)) - 1]


def is_straggler(policy: Policy, progress: Progress, peers: float | None) -> bool:
    """Whether a second request should be sent beside this one.

    It must have taken much longer than its peers, and a second one must promise to be
    done before it: a request that is slow but nearly there is left alone.

    Args:
        policy: What "much longer" is.
        progress: Of the request.
        peers: Their `pace`; None: not known yet.
    """
    if progress.seconds <= policy.hedge_after:
        return False
    if peers is None:
        return progress.idle > _COLD_FACTOR * policy.hedge_after
    if cost(progress.seconds, progress.length) <= policy.hedge_factor * peers:
        return False
    rest = progress.length - progress.received
    if progress.received:
        # At its own pace; and what has brought nothing for a while may do so as long again.
        outlook = max(progress.seconds * rest / progress.received, progress.idle)
    else:
        outlook = math.inf
    return outlook > peers * (rest + _LATENCY_BYTES)

"""What is simulated: a stream, the machines that share it, and their link."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.fetch.ahead import first_windows
from tfstream.order import Order, Share

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

__all__ = ["Costs", "Plan"]


@dataclasses.dataclass(frozen=True)
class Costs:
    """Seconds of a worker's own time. Python's lock is held: one thing is done after the other.

    The defaults are those of a slow core; `benchmarks/simulate.py` measures a machine's.

    Attributes:
        start: That TensorFlow takes to begin an epoch.
        request: For a range of bytes: sending for it, and taking it in.
        lookup: To ask what the storage says of an object, through Google's client.
        index: To parse the index of a shard.
        window: To hand over a window's records, once they have come.
    """

    start: float = 0.1
    request: float = 0.0005
    lookup: float = 0.002
    index: float = 0.0008
    window: float = 0.0015


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is simulated.

    Args:
        order: Of each epoch.
        world: How many workers share the stream.
        batch_size: A worker's, in samples.
        workers_per_host: Workers that share a link and a cache; the last host may have fewer.
        window: Samples that a worker asks for at once.
        latency: Seconds from a request to its first byte.
        bandwidth: Bytes/s of each host's link; None: no limit.
        connections: Requests at once, of each worker.
        cached: Whether what is fetched is kept.
        cache_limit: Bytes that each host's cache may take; None: no limit.
        step_seconds: That training takes for a batch; 0: it takes batches as they come.
        epochs: How many follow one another, from an empty cache on.
        costs: Of each worker's own time, beside all that.
    """

    order: Order
    world: int = 1
    batch_size: int = 32
    workers_per_host: int = 1
    window: int = 1
    latency: float = 0.05
    bandwidth: float | None = None
    connections: int = 32
    cached: bool = False
    cache_limit: int | None = None
    step_seconds: float = 0.0
    epochs: int = 2
    costs: Costs = Costs()

    def __post_init__(self) -> None:
        for name in ("world", "batch_size", "workers_per_host", "window", "connections", "epochs"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(f"{name} must be positive (got {getattr(self, name)})")
        if self.workers_per_host > self.world:
            raise InvalidArgumentError(
                f"workers_per_host ({self.workers_per_host}) is more than there are workers in "
                f"the world ({self.world})"
            )
        if self.order.records < self.world:
            raise InvalidArgumentError(
                f"{self.order.records} records leave some of {self.world} workers without one: "
                "take fewer workers, or select more"
            )

    @property
    def hosts(self) -> int:
        """How many there are."""
        return -(-self.world // self.workers_per_host)

    def workers(self, host: int) -> range:
        """The workers of a host."""
        begin = host * self.workers_per_host
        return range(begin, min(begin + self.workers_per_host, self.world))

    def share(self, worker: int) -> Share:
        """What a worker takes of an epoch."""
        return Share(self.order.records, (worker, self.world), self.batch_size)

    @property
    def steps(self) -> int:
        """Batches an epoch, of the worker with most."""
        return self.share(0).steps

    def positions(self, worker: int, begin: int, end: int) -> Integers:
        """The positions of some of a worker's samples: int64 [end - begin]."""
        return worker + self.world * np.arange(begin, end, dtype=np.int64)

    def window_of(self, samples: Integers) -> Integers:
        """In which window each of a worker's samples is: int64 [n]."""
        begins = np.array(first_windows(self.window), np.int64)
        small = np.searchsorted(begins, samples, side="right") - 1
        last = len(begins) - 1
        return np.where(small < last, small, last + (samples - begins[-1]) // self.window)

    def windows(self, worker: int) -> int:
        """How many windows a worker's epoch has."""
        last = np.array([self.share(worker).samples - 1], np.int64)
        return int(self.window_of(last)[0]) + 1

"""What the workers of a `tf.distribute` strategy tell one another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfstream.errors import InvalidArgumentError, StateError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Workers", "require_world"]

_TEXT = 1024  # bytes; the state of a stream is smaller


class Workers:
    """The workers of a strategy, each a process with the same program.

    Attributes:
        index: Which of them this is.
        count: How many there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.index, self.count = 0, 1
        many = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        if many and strategy.cluster_resolver.cluster_spec().jobs:
            context = _context(strategy)
            self.index, self.count = context.input_pipeline_id, context.num_input_pipelines

    def gather(self, row: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """What each of them gives, stacked: int32 [count, ...] of int32 [...]. All must call it."""
        own = np.asarray(row, np.int32)[None]
        if self.count == 1:
            return own
        strategy = self._strategy
        values = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(own))
        gathered = strategy.gather(values, axis=0).numpy()
        return gathered[:: strategy.num_replicas_in_sync // self.count]

    def agree(self, state: dict[str, Any], world: tuple[int, int], **others: Any) -> None:
        """Checks that all are to train from one and the same stream. All must call it.

        Args:
            state: Of the stream, where it will begin.
            world: This worker's share of it.
            others: What else must be equal.

        Raises:
            StateError: Something differs; the message shows both values.
            InvalidArgumentError: Their shares do not make up the whole.
        """
        if self.count == 1:
            return
        told = json.dumps({**state, "workers": world[1], **others}).encode()
        rows = self.gather([world[0], *told.ljust(_TEXT)])
        all_told = [json.loads(bytes(row[1:].astype(np.uint8))) for row in rows]
        for worker, theirs in enumerate(all_told):
            differing = [name for name in all_told[0] if theirs[name] != all_told[0][name]]
            if differing:
                shown = ", ".join(
                    f"{n}: worker 0 {all_told[0][n]!r}, worker {worker} {theirs[n]!r}"
                    for n in differing
                )
                raise StateError(
                    f"the workers disagree about the stream ({shown}): give all of them the same "
                    "dataset, version, arguments and checkpoints"
                )
        if world[1] != 1:
            require_world(world, self.index, self.count)


def _context(strategy: tf.distribute.Strategy) -> tf.distribute.InputContext:
    """Which worker of a strategy this process is."""
    contexts = []

    def note(context: tf.distribute.InputContext) -> tf.data.Dataset:
        contexts.append(context)
        return tf.data.Dataset.range(1)

    strategy.distribute_datasets_from_function(note)
    return contexts[0]


def require_world(world: tuple[int, int], index: int, count: int) -> None:
    """Raises InvalidArgumentError unless a stream's world is that of this worker."""
    if tuple(world) != (index, count):
        raise InvalidArgumentError(
            f"this is worker {index} of {count}, and its stream has world={tuple(world)}: make it "
            f"with world=({index}, {count})"
        )

"""How tf.data runs a stream: threads, rewriting, sharding."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from tfstream.order import Share

__all__ = ["options_of", "served_options", "sharding_of"]


def options_of(*, waiting: int) -> tf.data.Options:
    """How tf.data runs a stream.

    Args:
        waiting: Calls that may wait for bytes, each on a thread.
    """
    options = tf.data.Options()
    if waiting:
        # What waits for the network must not take the threads of what computes.
        options.threading.private_threadpool_size = (os.cpu_count() or 1) + waiting
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # Rewriting the graph copies all that it captures, the table of the selection too: 16 bytes a
    # record more. What the default rewrites would do, this graph does by itself.
    options.experimental_optimization.apply_default_optimizations = False
    # There is nothing to tune in a pipeline that only computes, and the tuning thread would have
    # the end of an epoch wait for its next turn: for seconds, at times.
    options.autotune.enabled = False
    return options


def sharding_of(share: Share) -> tf.data.experimental.AutoShardPolicy:
    """What a strategy of several workers does with a stream that it is given as it is.

    It divides each batch among the devices of all workers; of a whole stream each worker then
    keeps its own part. A share of a stream must not be divided once more: having no files that
    could be sharded, it is refused. `tfstream.distribute` is for that.
    """
    policies = tf.data.experimental.AutoShardPolicy
    return policies.DATA if share.world[1] == 1 else policies.FILE


def served_options() -> tf.data.Options:
    """How the workers of a service run a stream; how many threads they have is their own affair."""
    options = options_of(waiting=0)
    # The ops that have a state count what they do, where they do it: nothing to send along.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    return options

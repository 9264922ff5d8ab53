"""What it takes for Keras's `fit` to train from streams under a `tf.distribute` strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream.adapters.workers import require_world
from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tfstream.stream import StreamDataset

__all__ = ["distribute", "prepare"]


def prepare(model: tf.keras.Model) -> None:
    """Has a model's `fit` and `evaluate` work as they should under the strategy it was made in.

    Keras takes one batch out of a dataset to build the model, so that training would begin with
    the stream's second epoch; afterwards it builds the model of the dataset's shapes alone. And
    under `MultiWorkerMirroredStrategy`, with which Keras 3 fails on every dataset, it works.

    Args:
        model: Made under a strategy; compiled or not.

    Example: `with strategy.scope(): model = ...; tfstream.keras.prepare(model)`
    """
    strategy = model.distribute_strategy

    def build(iterator: Any = None, data_batch: Any = None) -> None:
        if data_batch is None:
            specs = iterator._distributed_dataset.element_spec
            data_batch = tf.nest.map_structure(_of_one_replica, specs)
        with strategy.scope():
            model._symbolic_build(data_batch=data_batch)

    model._maybe_symbolic_build = build
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        model.train_step = _with_rows(model.train_step)
        model.test_step = _with_rows(model.test_step)


def distribute(
    dataset: tf.data.Dataset, strategy: tf.distribute.Strategy | None = None
) -> tf.distribute.DistributedDataset:
    """Has each worker of a strategy train from its own share of a stream: what `fit` takes then.

    Each worker decodes its share and nothing else. (What `fit` makes of a whole stream by itself
    has the same batches, but every worker decodes all of them.)

    Args:
        dataset: A stream with `world=(index of this worker, number of workers)` and the
            batch_size of a worker: that of all, divided by their number. Or what `map` makes of
            one. Each batch is divided further among the worker's devices.
        strategy: None: the current one's.

    Returns:
        What `strategy.distribute_datasets_from_function` gives.

    Raises:
        InvalidArgumentError: The stream is another worker's, or its batches cannot be divided.

    Example: `model.fit(tfstream.keras.distribute(ds, strategy))`
    """
    share = _stream_of(dataset)._position.share

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        require_world(share.world, context.input_pipeline_id, context.num_input_pipelines)
        devices = context.num_replicas_in_sync // context.num_input_pipelines
        if devices == 1:
            return dataset
        if share.batch_size is None or share.batch_size % devices:
            raise InvalidArgumentError(
                f"a worker's batches cannot be divided among its {devices} devices (batch_size "
                f"{share.batch_size}): give a multiple of {devices}"
            )
        return _Divided(dataset, share.batch_size // devices)

    strategy = strategy or tf.distribute.get_strategy()
    return strategy.distribute_datasets_from_function(of_worker)


class _Divided(tf.data.Dataset):
    """A dataset whose batches are divided among devices, though Keras counts them whole."""

    def __init__(self, dataset: tf.data.Dataset, per_device: int) -> None:
        self._whole = dataset
        self._inner = dataset.rebatch(per_device)
        super().__init__(self._inner._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._inner]

    @property
    def element_spec(self) -> Any:
        return self._inner.element_spec

    def cardinality(self) -> tf.Tensor:
        return self._whole.cardinality()


def _stream_of(dataset: tf.data.Dataset) -> StreamDataset:
    """The stream that a dataset was made of."""
    from tfstream.stream import StreamDataset

    inputs = [dataset]
    while inputs:
        one = inputs.pop()
        if isinstance(one, StreamDataset):
            return one
        inputs += one._inputs()
    raise InvalidArgumentError(
        f"only a stream, or what map() makes of one, can be distributed (got {dataset!r})"
    )


def _of_one_replica(spec: Any) -> Any:
    return getattr(spec, "_value_specs", (spec,))[0]


def _with_rows(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A step whose logs have a first dimension: Keras averages over it, and over the workers."""

    @tf.autograph.experimental.do_not_convert
    def with_rows(data: Any) -> Any:
        return tf.nest.map_structure(lambda value: value[None], step(data))

    return with_rows

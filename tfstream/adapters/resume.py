"""ResumeStream: Keras's `fit` goes on at the very next batch, whatever interrupted it."""

from __future__ import annotations

import copy
import os
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfstream.adapters.checkpoints import Checkpoints
from tfstream.adapters.workers import Workers
from tfstream.errors import InvalidArgumentError, StateError
from tfstream.storage.uri import open_directory

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.order import Share
    from tfstream.stream import StreamDataset

__all__ = ["ResumeStream"]

# What callbacks of Keras count from epoch to epoch.
_COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")

# Where `every` is not given:
_FIRST = 10  # batches before the first checkpoint, which tells how long one takes
_GROWTH = 4  # and how much longer each next interval may be
_SECONDS = 60.0  # between two checkpoints
_COSTS = 50  # or so many times what writing one takes, where that is more


class ResumeStream(tf.keras.callbacks.Callback):
    """A callback that has a `fit` that was interrupted, at any instant, go on where it was.

    Weights, the state of the optimizer, of metrics and of random layers (dropout, say), the
    history and the stream's position are saved together, as one file that is visible whole or not
    at all. The same program, run again, goes on with the next batch of the same epoch, and what
    `fit` returns equals what it would have returned without the interruption. The steps that the
    interrupted epoch had already pass in no time: callbacks see them with the logs that were
    saved.

    The batches of the first epoch are those of the stream's first, and so on, also under a
    strategy, for which Keras takes a batch out of the stream before training begins. Under one of
    several workers, all find out whether they agree on the dataset, version, seed and checkpoint;
    the first of them writes.

    Put it last in the list of callbacks, behind `BackupAndRestore` at any rate. What is fitted may
    be made of the stream by `map`, but must have the same batches.

    Args:
        path: A directory of its own, local or gs://bucket/prefix, which all workers see. The
            newest two checkpoints are in it; delete it to begin anew.
        dataset: The stream that is trained from, or that what is trained from was made of.
        every: Batches between two checkpoints; None: about a minute's, and more where writing
            takes long. There is one at each epoch's end too.
        keep: Callbacks whose counters go along: `EarlyStopping`, `ReduceLROnPlateau` and
            `ModelCheckpoint(save_best_only=True)` then decide as if nothing had happened.

    Raises:
        InvalidArgumentError: The dataset is not a stream, or `every` not positive.

    Example: `model.fit(ds, epochs=9, callbacks=[tfstream.keras.ResumeStream("run", ds)])`
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        dataset: StreamDataset,
        every: int | None = None,
        *,
        keep: Sequence[tf.keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        if not callable(getattr(dataset, "restore", None)):
            raise InvalidArgumentError(
                f"a ResumeStream needs the StreamDataset that stream() gave, before any map() "
                f"or batch() of your own (got {type(dataset).__name__})"
            )
        if every is not None and every < 1:
            raise InvalidArgumentError(f"every must be a positive number of batches (got {every})")
        self._dataset = dataset
        self._checkpoints = Checkpoints(open_directory(path))
        self._every = every
        self._keep = tuple(keep)
        self._train: Any = None  # Keras's function of a step
        self._armed = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Restores what is there."""
        model = self.model
        if not model.built:
            raise InvalidArgumentError(
                "a ResumeStream needs a model that is built before fit(): give it a keras.Input, "
                "or call it on a batch"
            )
        if not model.optimizer.built:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
        self._workers = Workers(model.distribute_strategy)
        self._total = self._epoch = self._step = 0  # steps since the beginning; where training is
        self._skip = 0  # steps of the epoch that were done before it was interrupted
        self._consumed = 0  # batches since the stream was restored
        self._logs: dict[str, Any] = {}
        self._history: dict[str, list[Any]] = {}
        self._epochs: list[int] = []
        self._metrics: list[npt.NDArray[Any]] | None = None  # to be restored
        self._iterations: int | None = None  # of the optimizer, as restored
        self._began = self._partial = False
        self._iterator: Any = lambda: None
        found = self._checkpoints.newest()
        start = found[1]["stream"] if found else self._dataset.state(batches_consumed=0)
        share, name = self._share(), found and os.path.basename(found[0])
        self._workers.agree(start, share.world, batch_size=share.batch_size, checkpoint=name)
        if found is None:
            self._dataset.restore(start)  # Keras may have had a batch of it
        else:
            self._restore(*found)
        self._interval = self._every or _FIRST
        self._next, self._saved = self._total + self._interval, self._total
        self._since = time.monotonic()
        if getattr(model.train_function, "__func__", None) is ResumeStream._run:
            model.train_function = model.train_function.__self__._train  # of a fit that failed
        self._train, model.train_function = model.train_function, self._run

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Checks that it is the epoch to go on with."""
        if self._began:
            return
        self._began = True
        self.model._initial_epoch = None  # of this fit alone
        self._show_history()
        if self._iterations is None:
            self._epoch = epoch
            return
        iterations = int(_value(self.model.optimizer.iterations))
        if (epoch, iterations) != (self._epoch, self._iterations):
            raise InvalidArgumentError(
                f"training begins at epoch {epoch} after {iterations} steps, though epoch "
                f"{self._epoch} and {self._iterations} steps were restored: another callback, "
                "BackupAndRestore perhaps, has changed that. Put ResumeStream behind it"
            )

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Tells the next step that it is one of this training."""
        self._armed = True

    def _run(self, iterator: Any) -> Any:
        """What Keras runs for a step, or for several at once."""
        if not self._armed:  # somebody else's training, after one of ours failed
            return self._train(iterator)
        self._armed = False
        if self._metrics is not None:
            self._restore_metrics(iterator)
        if self._skip:
            self._skip = max(0, self._skip - self.model.steps_per_execution)
            return dict(self._logs)
        if self._iterator() is not iterator:
            # An iteration of the stream begins when the first element is asked for: now.
            self._iterator = weakref.ref(iterator)
            self._dataset.restore(self._position())
            self._consumed = 0
        return self._train(iterator)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves when it is time to."""
        done = batch + 1
        if self.params["steps"]:
            done = min(done, self.params["steps"])
        if done <= self._step:  # before it was interrupted
            return
        self._consumed += done - self._step
        self._total += done - self._step
        self._step, self._logs = done, dict(logs or {})
        self._partial = bool(self.model.stop_training) and done != self.params["steps"]
        if self._total >= self._next or self._partial:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves."""
        if self._partial:  # stopped within the epoch, it goes on there
            return
        if self.params["steps"] is None:  # it went on until there was no more
            self._end_iteration()
        self._epochs.append(epoch)
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(value)
        self._epoch, self._step, self._logs = epoch + 1, 0, {}
        self._save()

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the model as it was."""
        if not self._began:
            self.model._initial_epoch = None
            self._show_history()
        self.model.train_function = self._train

    def _share(self) -> Share:
        return self._dataset._position.share

    def _position(self) -> dict[str, Any]:
        return self._dataset.state(batches_consumed=self._consumed)

    def _end_iteration(self) -> None:
        """Goes to the beginning of the stream's next iteration."""
        begun, whole = self._dataset.state(batches_consumed=0), self._dataset._position.epochs or 1
        epoch = begun["epoch"] // whole * whole + whole
        self._dataset.restore({**begun, "epoch": epoch, "position": 0})
        self._consumed = 0

    def _variables(self) -> dict[str, list[Any]]:
        model = self.model
        return {
            "model": model.variables,
            "optimizer": model.optimizer.variables,
            "metrics": model.metrics_variables,
        }

    def _save(self) -> None:
        before = time.monotonic()
        arrays = {
            name: [_value(variable) for variable in some]
            for name, some in self._variables().items()
        }
        for place, callback in enumerate(self._keep):
            arrays[f"best{place}"] = getattr(callback, "best_weights", None) or []
        content = {
            "stream": self._position(),
            "stride": self._share().stride,
            "epoch": self._epoch,
            "step": self._step,
            "total": self._total,
            "logs": self._logs,
            "history": self._history,
            "epochs": self._epochs,
            "counters": [
                {name: getattr(callback, name) for name in _COUNTERS if hasattr(callback, name)}
                for callback in self._keep
            ],
        }
        if self._workers.index == 0:
            self._checkpoints.save(self._total, content, arrays)
        if self._every is None:
            after = time.monotonic()
            each = (before - self._since) / max(1, self._total - self._saved)
            wanted = max(_SECONDS, _COSTS * (after - before)) / max(each, 1e-6)
            interval = max(1, int(min(wanted, _GROWTH * self._interval)))
            # Reading the variables takes all workers: all save at the same step.
            self._interval = int(self._workers.gather([interval])[0, 0])
        self._next, self._saved = self._total + self._interval, self._total
        self._since = time.monotonic()

    def _restore(
        self, where: str, content: dict[str, Any], arrays: dict[str, list[npt.NDArray[Any]]]
    ) -> None:
        model = self.model
        try:
            self._dataset.restore(content["stream"])
        except StateError as error:
            raise StateError(f"{where}: {error}") from error
        self._metrics = arrays["metrics"] if content["step"] else None
        with model.distribute_strategy.scope():
            for name, variables in self._variables().items():
                if name != "metrics":
                    _assign(variables, arrays[name], f"{where}: the {name}")
        self._iterations = int(_value(model.optimizer.iterations))
        self._total, self._epoch, self._logs = content["total"], content["epoch"], content["logs"]
        self._step = self._skip = self._step_of(content, where)
        self._history, self._epochs = content["history"], content["epochs"]
        for place, (callback, counters) in enumerate(
            zip(self._keep, content["counters"], strict=False)
        ):
            for name, value in counters.items():
                setattr(callback, name, value)
            if arrays[f"best{place}"]:
                callback.best_weights = arrays[f"best{place}"]
        stopped = any(getattr(callback, "stopped_epoch", 0) for callback in self._keep)
        model._initial_epoch = self.params["epochs"] if stopped else self._epoch

    def _step_of(self, content: dict[str, Any], where: str) -> int:
        """The step of the epoch to go on with; its steps may have been of another size."""
        step, steps, share = int(content["step"]), self.params["steps"], self._share()
        if step and share.stride != content["stride"]:
            if steps == share.steps:
                position = content["stream"]["position"]
                step = steps - share.steps_left(position) if position else steps
            else:
                step = round(step * content["stride"] / share.stride)
        execution = self.model.steps_per_execution
        if step % execution and step != steps:
            raise InvalidArgumentError(
                f"{where} is of step {step} of an epoch, and steps_per_execution {execution} does "
                "not divide that: finish the epoch with the one that training began with"
            )
        return step

    def _restore_metrics(self, iterator: Any) -> None:
        """Keras builds metrics in the first step, and has reset them before it."""
        model, values = self.model, self._metrics or []
        self._metrics = None
        if len(model.metrics_variables) != len(values):
            model._symbolic_build(data_batch=iterator.element_spec)
        with model.distribute_strategy.scope():
            # Of a sum over all replicas, each gets its part.
            _assign(model.metrics_variables, values, "the checkpoint's metrics")

    def _show_history(self) -> None:
        """Has what `fit` returns begin with the epochs before the interruption."""
        shown = self.model.history
        shown.history.update(copy.deepcopy(self._history))
        shown.epoch[:] = self._epochs


def _value(variable: Any) -> npt.NDArray[Any]:
    return np.asarray(tf.convert_to_tensor(variable.value))


def _assign(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]], what: str) -> None:
    mine, theirs = [tuple(v.shape) for v in variables], [value.shape for value in values]
    if mine != theirs:
        place = next(
            (i for i, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]),
            None,
        )
        differing = f"{len(theirs)} variables, and there are {len(mine)}"
        if place is not None:
            name = variables[place].path
            differing = f"{theirs[place]} as the shape of {name}, which is {mine[place]}"
        raise StateError(
            f"{what} has {differing}: it was written of another model. Build the same one, or give "
            "another path"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

"""Keras callbacks for streams."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfstream import metrics
from tfstream.adapters.preview import Preview, preview_of
from tfstream.adapters.summaries import write_images, write_scalar
from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tfstream.stream import StreamDataset

__all__ = ["StreamMonitor"]

# As totals: these say most as lines that should stay flat. The first three need a network.
_FAULTS = ("retries", "hedges", "repaired", "corrupt")


class StreamMonitor(tf.keras.callbacks.Callback):
    """A callback that writes how a stream does for TensorBoard, and says what held training up.

    `tfstream/samples_per_second`, `tfstream/waiting` (the share of the time, 0 to 1, that
    training waited for data) and `tfstream/bytes_read_per_second`, each over the batches since the
    last ones; of remote datasets `tfstream/bytes_fetched_per_second` and
    `tfstream/cache_hit_rate` (0 to 1) too. In a group below, since training began:
    `tfstream_faults/corrupt`, and of remote datasets `retries`, `hedges` and `repaired`. Time spent
    on validation counts nowhere. A step is one of the optimizer's.

    At the beginning of each epoch the next samples are drawn, as the model will see them, with
    their boxes: `tfstream_pictures/samples`. Of streams that a `tf.data` service makes, of data
    points and of stored bytes there are no pictures.

    When training ends, and `fit` is not silent, a line says whether it waited for data.

    Args:
        dataset: The stream that is trained from.
        log_dir: Where the scalars are written; None: to the writer that is
            `tf.summary`'s default.
        every: Batches between two writings; there is one at each epoch's end too.
        images: How many samples are drawn an epoch; 0: none.

    Raises:
        InvalidArgumentError: The dataset is not a stream, `every` not positive, or `images`
            negative.

    Example: `model.fit(ds, callbacks=[tfstream.keras.StreamMonitor(ds, "logs")])`
    """

    def __init__(
        self,
        dataset: StreamDataset,
        log_dir: str | os.PathLike[str] | None = None,
        every: int = 100,
        images: int = 4,
    ) -> None:
        super().__init__()
        if not callable(getattr(dataset, "stats", None)):
            raise InvalidArgumentError(
                f"a StreamMonitor needs the StreamDataset that stream() gave, before any map() "
                f"or batch() of your own (got {type(dataset).__name__})"
            )
        if every < 1:
            raise InvalidArgumentError(f"every must be a positive number of batches (got {every})")
        if images < 0:
            raise InvalidArgumentError(f"images must be a number of pictures (got {images})")
        self._dataset = dataset
        self._images = images
        self._preview: Preview | None = None
        self._log_dir = log_dir
        self._every = every
        self._writer: tf.summary.SummaryWriter | None = None
        self._first: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._then = 0.0
        self._batches = 0  # since the last writing
        self._steps = 0  # since training began
        self._testing_since = 0.0
        self._seconds = 0.0  # of training, all together

    def on_train_begin(self, logs: Any = None) -> None:
        """Opens the writer."""
        if self._log_dir is not None:
            self._writer = tf.summary.create_file_writer(os.fspath(self._log_dir))
        elif not tf.summary.should_record_summaries():
            raise InvalidArgumentError(
                "a StreamMonitor without log_dir writes to tf.summary's default writer, and there "
                "is none: give log_dir, or call fit() inside `with writer.as_default():`"
            )
        if self._preview is None:
            self._preview = preview_of(self._dataset.recipe, self._images)
        self._first = self._before = dict(self._dataset.stats())
        self._seconds = 0.0
        self._then = time.monotonic()
        self._batches = self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Draws what comes; this takes none of the training's time."""
        if self._preview is None:
            return
        begun = time.monotonic()
        pictures = self._preview.pictures(self._dataset.state())
        with self._writing():
            write_images("tfstream_pictures/samples", pictures, self._step())
        self._then += time.monotonic() - begun

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Writes when it is time to."""
        self._batches += 1
        self._steps += 1
        if self._batches >= self._every:
            self._write()

    def on_test_begin(self, logs: Any = None) -> None:
        """Stops the clock."""
        self._testing_since = time.monotonic()

    def on_test_end(self, logs: Any = None) -> None:
        """Lets the clock go on."""
        if self._testing_since:
            self._then += time.monotonic() - self._testing_since
        self._testing_since = 0.0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes what is left."""
        if self._batches:
            self._write()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the writer, and says whether training waited."""
        if self.params.get("verbose") and self._seconds:
            print(metrics.verdict(metrics.rates(self._first, self._before, self._seconds)))
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self) -> None:
        after, now = dict(self._dataset.stats()), time.monotonic()
        done = metrics.rates(self._before, after, now - self._then)
        self._seconds += now - self._then
        self._before, self._then, self._batches = after, now, 0
        scalars = {
            "tfstream/samples_per_second": done.samples_per_second,
            "tfstream/waiting": done.waiting,
            "tfstream/bytes_read_per_second": done.bytes_read_per_second,
        }
        faults: tuple[str, ...] = ("corrupt",)
        if after.get("fetches") or done.cache_hit_rate is not None:  # of local files: flat lines
            scalars["tfstream/bytes_fetched_per_second"] = done.bytes_fetched_per_second
            scalars["tfstream/cache_hit_rate"] = done.cache_hit_rate
            faults = _FAULTS
        for name in faults:
            scalars[f"tfstream_faults/{name}"] = after.get(name, 0) - self._first.get(name, 0)
        step = self._step()
        with self._writing():
            for name, value in scalars.items():
                if value is not None:
                    write_scalar(name, value, step)

    def _writing(self) -> contextlib.AbstractContextManager[Any]:
        return self._writer.as_default() if self._writer else contextlib.nullcontext()

    def _step(self) -> int:
        """The optimizer's, which goes on where a checkpoint was restored."""
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", None)
        return self._steps if iterations is None else int(iterations.numpy())

"""Trains a small network on a stream, as a user of Keras would, and measures how fast that goes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from tfstream.stream import StreamDataset

__all__ = ["Epoch", "fit", "network"]


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: From 1.
        loss: On the training images.
        accuracy: On the training images, 0 to 1.
        val_accuracy: On the validation images, 0 to 1.
        images_per_second: Training alone, without validation.
    """

    number: int
    loss: float
    accuracy: float
    val_accuracy: float
    images_per_second: float


def network(side: int, classes: int) -> Any:
    """A convolutional network of 100,000 weights, for images of values in 0..1.

    It looks for shapes wherever they are: the last layer sees, for each of 128
    features, only how strong it was at its strongest.

    Args:
        side: Height and width of the images, in pixels.
        classes: How many there are.

    Returns:
        An uncompiled `keras.Model` that gives logits.
    """
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = inputs
    for filters, size, stride in ((16, 5, 2), (32, 3, 1), (64, 3, 1), (128, 3, 1)):
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        if stride == 1:
            x = layers.MaxPooling2D()(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))


def fit(
    model: Any,
    train: StreamDataset,
    valid: StreamDataset,
    *,
    epochs: int,
    images: int,
    report: Callable[[Epoch], object],
) -> list[Epoch]:
    """Trains, with a validation after each epoch.

    Args:
        model: What `network` gave.
        train: Batches of (image, label index).
        valid: The same.
        epochs: How many.
        images: In an epoch of `train`.
        report: Called after each epoch.

    Returns:
        Each epoch's outcome.
    """
    outcomes: list[Epoch] = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]  # Any to mypy
        begun = trained = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begun = time.perf_counter()

        def on_test_begin(self, logs: Any = None) -> None:
            self.trained = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            rate = images / (self.trained - self.begun)
            outcomes.append(
                Epoch(epoch + 1, logs["loss"], logs["accuracy"], logs["val_accuracy"], rate)
            )
            report(outcomes[-1])

    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * train.steps_per_epoch)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # shuffle=False: the stream gives each epoch its own order by itself.
    model.fit(
        train, validation_data=valid, epochs=epochs, shuffle=False, verbose=0, callbacks=[Watch()]
    )
    return outcomes

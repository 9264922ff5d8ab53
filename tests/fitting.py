"""A training that can be interrupted, and tells what it was trained from."""

from __future__ import annotations

import tensorflow as tf


def stream(data, **arguments):
    """A stream of what `inputs` can use."""
    return data.stream(
        **{"batch_size": 4, "image": None, "elements": "dict", "seed": 3, **arguments}
    )


def inputs(batch):
    """(x, y) of a batch: a number that stands for the key, and the label."""
    number = tf.cast(tf.strings.to_hash_bucket_fast(batch["key"], 1 << 20), tf.float32)
    return number[:, None], tf.maximum(batch["label"], 0)


class Recorder(tf.keras.Sequential):
    """A model that tells the numbers it was trained with, step by step."""

    def train_step(self, data):
        """Keras's, and the telling."""
        step = tf.convert_to_tensor(self.optimizer.iterations)
        tf.numpy_function(self.tell, [step, data[0]], [], stateful=True)
        return super().train_step(data)


def model(seen=None, *, optimizer=None, dropout=0.3, **compile_arguments):
    """A model with all that has a state: moments, dropout, several metrics."""
    tf.keras.utils.set_random_seed(1)
    layers = [
        tf.keras.Input([1]),
        tf.keras.layers.Rescaling(1e-5),
        tf.keras.layers.Dense(16, activation="relu"),
        tf.keras.layers.Dropout(dropout),
        tf.keras.layers.Dense(3, activation="softmax", dtype="float32"),
    ]
    if seen is None:
        made = tf.keras.Sequential(layers)
    else:
        made = Recorder(layers)
        made.tell = lambda step, numbers: seen.append([int(n) for n in numbers[:, 0]])
    if optimizer is None:
        optimizer = tf.keras.optimizers.SGD(0.01, momentum=0.9)
    made.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **compile_arguments,
    )
    return made


class Interrupt(tf.keras.callbacks.Callback):
    """Raises after so many steps, counted from the beginning of the first epoch."""

    def __init__(self, steps, error=RuntimeError):
        super().__init__()
        self.left, self.error = steps, error

    def on_train_batch_end(self, batch, logs=None):
        """Counts."""
        self.left -= 1
        if self.left == 0:
            raise self.error

"""Train on a Kaggle ImageNet tree with `input_fn` and `model_fn`, without tf.estimator.

    python estimator_style.py ILSVRC --max-steps 100000

TensorFlow 2.16 and later have no Estimator. This is its shape in today's
TensorFlow: an `input_fn` and a `model_fn` for each mode, a loop that trains and
now and then evaluates, and checkpoints that a later run goes on from. The first
run packs the tree (Data/DET and Annotations/DET) into DATASET.
"""

from __future__ import annotations

import argparse
import enum
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import tfstream


class Mode(enum.Enum):
    """What a step is for."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "predict"


class EstimatorSpec(NamedTuple):
    """What `model_fn` gives; every tensor has a row a sample."""

    predictions: dict[str, tf.Tensor]
    losses: tf.Tensor | None = None
    metrics: dict[str, tf.Tensor] | None = None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="the Kaggle tree, or a packed dataset")
    parser.add_argument("--dataset", default="imagenet-packed", help="where to pack the tree to")
    parser.add_argument("--output", default="estimator-run", help="where the checkpoints go")
    parser.add_argument("--max-steps", type=int, default=100_000)
    parser.add_argument("--evaluate-every", type=int, default=2_000, help="steps")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=160, help="pixels a side")
    parser.add_argument("--limit", type=int, help="use only so many images of each split")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    return parser.parse_args()


def open_or_pack(path: str, dataset: str) -> tfstream.PackedDataset:
    """Opens what lies at `path`, or at `dataset` if the tree at `path` was packed before."""
    for place in (path, dataset):
        if Path(place, "manifests").is_dir():
            return tfstream.open(place)
    return tfstream.pack(path, dataset, format="ilsvrc-det")


def input_fn(data: tfstream.PackedDataset, mode: Mode, args: argparse.Namespace) -> tf.data.Dataset:
    """Batches of (features, labels)."""
    training = mode is Mode.TRAIN
    records = data.split("train" if training else "val")[: args.limit]
    stream = records.stream(
        batch_size=args.batch_size,
        image=tfstream.ImageSpec(
            size=(args.image_size, args.image_size),
            mode="random_crop" if training else "center_crop",
            dtype="float32",
            normalize="imagenet",
            flip=training,
        ),
        label="index",
        elements="dict",
        shuffle=training,
        seed=7,
        epochs=None if training else 1,
    )
    return stream.map(lambda e: ({"image": e["image"], "key": e["key"]}, e["label"]))


def model_fn(
    features: dict[str, tf.Tensor], labels: tf.Tensor, mode: Mode, params: dict[str, Any]
) -> EstimatorSpec:
    """One step: predictions, and in the modes that have labels losses and metrics."""
    network, optimizer = params["network"], params["optimizer"]
    with tf.GradientTape() as tape:
        logits = network(features["image"], training=mode is Mode.TRAIN)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(losses)
    classes = tf.argmax(logits, axis=1)
    predictions = {
        "key": features["key"],
        "class": classes,
        "probability": tf.reduce_max(tf.nn.softmax(logits), axis=1),
    }
    if mode is Mode.PREDICT:
        return EstimatorSpec(predictions)
    if mode is Mode.TRAIN:
        weights = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    return EstimatorSpec(
        predictions, losses, {"accuracy": tf.cast(tf.equal(classes, labels), tf.float32)}
    )


class Estimator:
    """Runs `model_fn` as compiled steps, and keeps checkpoints in `model_dir`."""

    def __init__(
        self, model_fn: Callable[..., EstimatorSpec], model_dir: str, params: dict[str, Any]
    ) -> None:
        self._model_fn, self._params = model_fn, params
        self._steps: dict[Mode, Callable[..., EstimatorSpec]] = {}
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        params["optimizer"].build(params["network"].trainable_variables)
        checkpoint = tf.train.Checkpoint(
            network=params["network"], optimizer=params["optimizer"], step=self.step
        )
        self._manager = tf.train.CheckpointManager(checkpoint, model_dir, max_to_keep=3)
        if self._manager.restore_or_initialize():
            print(f"going on from {self._manager.latest_checkpoint}")

    def _compiled(self, mode: Mode, dataset: tf.data.Dataset) -> Callable[..., EstimatorSpec]:
        if mode not in self._steps:
            # The signature leaves the batch size open: an epoch's last batch is smaller.
            @tf.function(input_signature=dataset.element_spec)
            def run(features, labels):
                return self._model_fn(features, labels, mode, self._params)

            self._steps[mode] = run
        return self._steps[mode]

    def train(self, dataset: tf.data.Dataset, *, max_steps: int) -> Iterator[float]:
        """Gives the loss after each step."""
        run = self._compiled(Mode.TRAIN, dataset)
        batches = iter(dataset)
        while int(self.step) < max_steps:
            spec = run(*next(batches))
            self.step.assign_add(1)
            yield float(tf.reduce_mean(spec.losses))

    def evaluate(self, dataset: tf.data.Dataset) -> dict[str, float]:
        """The means over the dataset's samples."""
        run = self._compiled(Mode.EVAL, dataset)
        parts: dict[str, list[np.ndarray]] = {}
        for features, labels in dataset:
            spec = run(features, labels)
            for name, values in {"loss": spec.losses, **spec.metrics}.items():
                parts.setdefault(name, []).append(values.numpy())
        return {name: float(np.concatenate(values).mean()) for name, values in parts.items()}

    def predict(self, dataset: tf.data.Dataset) -> Iterator[dict[str, Any]]:
        """Gives each sample's predictions."""
        run = self._compiled(Mode.PREDICT, dataset)
        for features, labels in dataset:
            columns = {k: v.numpy() for k, v in run(features, labels).predictions.items()}
            for row in range(len(labels)):
                yield {name: values[row] for name, values in columns.items()}

    def save(self) -> str:
        """Writes a checkpoint, and gives its path."""
        return self._manager.save(checkpoint_number=int(self.step))


def train_and_evaluate(
    estimator: Estimator,
    input_fn: Callable[[Mode], tf.data.Dataset],
    *,
    max_steps: int,
    evaluate_every: int,
) -> dict[str, float]:
    """Trains to `max_steps`, and every so many steps evaluates and saves a checkpoint."""
    evaluation = input_fn(Mode.EVAL)
    results: dict[str, float] = {}
    losses = []
    for loss in estimator.train(input_fn(Mode.TRAIN), max_steps=max_steps):
        losses.append(loss)
        step = int(estimator.step)
        if step % evaluate_every == 0 or step == max_steps:
            results = estimator.evaluate(evaluation)
            path = estimator.save()
            numbers = ", ".join(f"{name} {value:.3f}" for name, value in results.items())
            print(f"step {step}: training loss {np.mean(losses):.3f}, validation {numbers}; {path}")
            losses = []
    return results


def build_network(size: int, classes: int) -> keras.Model:
    """A plain convolutional network that gives logits."""
    layers = keras.layers
    network = keras.Sequential([keras.Input((size, size, 3))])
    for filters in (32, 64, 128, 256):
        network.add(layers.Conv2D(filters, 3, 2, padding="same", use_bias=False))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        network.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dense(classes))
    return network


def main() -> None:
    """Trains, evaluates, and shows a few predictions."""
    args = arguments()
    data = open_or_pack(args.path, args.dataset)
    names = (*data.labels.names, "background")
    estimator = Estimator(
        model_fn,
        args.output,
        {
            "network": build_network(args.image_size, data.labels.classes),
            "optimizer": keras.optimizers.Adam(args.learning_rate),
        },
    )
    train_and_evaluate(
        estimator,
        lambda mode: input_fn(data, mode, args),
        max_steps=args.max_steps,
        evaluate_every=args.evaluate_every,
    )
    for number, row in enumerate(estimator.predict(input_fn(data, Mode.PREDICT, args))):
        if number == 5:
            break
        print(f"{row['key'].decode()}: {names[row['class']]} ({row['probability']:.2f})")


if __name__ == "__main__":
    main()

"""A Flax-style training loop on JAX: batches of numpy arrays, a checkpoint, and on where it was.

Packs a set of `.npy` files (labels.json, partition.json and ID.npy, as Keras's data generators
have them), trains a small network on two halves of an epoch with a restart between, and validates.

    python jax_arrays.py SET [--epochs 2] [--batch-size 32] [--run jax-run]

Needs JAX: pip install 'jax[cpu]'.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import tfstream

Weights = dict[str, jax.Array]


class TrainState(NamedTuple):
    """What training changes.

    Attributes:
        weights: Of the network, by name.
        momentum: Alike.
        step: How many there have been.
    """

    weights: Weights
    momentum: Weights
    step: int


def init(seed: int, inputs: int, hidden: int, classes: int) -> TrainState:
    """A network of one hidden layer."""
    first, second = jax.random.split(jax.random.key(seed))
    weights = {
        "hidden": jax.random.normal(first, (inputs, hidden)) / np.sqrt(inputs),
        "out": jax.random.normal(second, (hidden, classes)) / np.sqrt(hidden),
    }
    return TrainState(weights, jax.tree.map(jnp.zeros_like, weights), 0)


def apply(weights: Weights, arrays: jax.Array) -> jax.Array:
    """Logits [b, classes] of arrays [b, ...]."""
    flat = arrays.reshape(arrays.shape[0], -1)
    return jax.nn.relu(flat @ weights["hidden"]) @ weights["out"]


def loss_of(weights: Weights, arrays: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    logits = jax.nn.log_softmax(apply(weights, arrays))
    return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()


@functools.partial(jax.jit, donate_argnums=0)
def train_step(
    state: TrainState, arrays: jax.Array, labels: jax.Array
) -> tuple[TrainState, jax.Array]:
    """One step of gradient descent with momentum; the loss before it."""
    loss, slope = jax.value_and_grad(loss_of)(state.weights, arrays, labels)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, state.momentum, slope)
    weights = jax.tree.map(lambda w, m: w - 0.05 * m, state.weights, momentum)
    return TrainState(weights, momentum, state.step + 1), loss


@jax.jit
def correct(weights: Weights, arrays: jax.Array, labels: jax.Array) -> jax.Array:
    """How many are classified as they should be."""
    return (apply(weights, arrays).argmax(axis=1) == labels).sum()


def save(path: Path, state: TrainState, position: dict) -> None:
    """A checkpoint: the weights, and where the data is."""
    arrays = {f"weights/{name}": value for name, value in state.weights.items()}
    arrays |= {f"momentum/{name}": value for name, value in state.momentum.items()}
    np.savez(path, step=state.step, position=json.dumps(position), **arrays)


def load(path: Path) -> tuple[TrainState, dict]:
    """What `save` kept."""
    with np.load(path) as kept:
        parts = {
            part: {
                name.removeprefix(f"{part}/"): jnp.asarray(kept[name])
                for name in kept.files
                if name.startswith(f"{part}/")
            }
            for part in ("weights", "momentum")
        }
        state = TrainState(parts["weights"], parts["momentum"], int(kept["step"]))
        return state, json.loads(str(kept["position"]))


def main() -> None:
    """Packs, trains, goes on from a checkpoint in the midst of an epoch, validates."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path, help="the directory of labels.json and the .npy files")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--run", type=Path, default=Path("jax-run"))
    flags = parser.parse_args()
    flags.run.mkdir(parents=True, exist_ok=True)
    packed = flags.run / "packed"
    if not packed.exists():
        tfstream.pack(flags.set, packed, progress=False)
    data = tfstream.open(packed)
    train, validation = data.split("train"), data.split("validation")
    print(f"{len(train)} training and {len(validation)} validation arrays")

    # On several hosts: world=(jax.process_index(), jax.process_count()).
    batches = train.to_numpy_iterator(batch_size=flags.batch_size, drop_remainder=True, seed=1)
    state = init(0, int(np.prod(train[0]["tensor"].shape)), 32, data.labels.classes)
    half = len(batches) // 2
    for epoch in range(flags.epochs):
        losses = []
        for number, (arrays, labels) in enumerate(batches, start=1):
            state, loss = train_step(state, arrays, labels)
            losses.append(float(loss))
            if epoch == 0 and number == half:  # as if it had been interrupted here
                save(flags.run / "checkpoint.npz", state, batches.state())
                break
        if epoch == 0:
            state, position = load(flags.run / "checkpoint.npz")
            batches.restore(position)
            print(f"goes on at step {state.step}, sample {position['position']}")
            for arrays, labels in batches:
                state, loss = train_step(state, arrays, labels)
                losses.append(float(loss))
        right = sum(
            int(correct(state.weights, arrays, labels))
            for arrays, labels in validation.to_numpy_iterator(batch_size=flags.batch_size)
        )
        print(
            f"epoch {epoch + 1}: {len(losses)} steps, loss {np.mean(losses):.4f}, "
            f"validation accuracy {right / len(validation):.2f}"
        )


if __name__ == "__main__":
    main()

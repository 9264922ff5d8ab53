"""What must work wherever tfstream is installed: pack, query, stream, fit, resume.

    python smoke.py

Prints one line of JSON: the versions that it met, and the seconds that each step took. It uses
nothing but what the wheel brings, and leaves nothing behind.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

import tfstream
from tfstream import ops
from tfstream.demo import shapes

__all__: list[str] = []

_SHOWN = ("tfstream", "tensorflow", "keras", "numpy", "protobuf", "pyarrow")
_TRAIN, _BATCH = 24, 8


def require(holds: object, what: str) -> None:
    """Raises RuntimeError with the sentence `what` unless something holds."""
    if not holds:
        raise RuntimeError(what)


def timer(seconds: dict[str, float]) -> Callable[[str], object]:
    """Gives a context manager that adds a step's seconds to `seconds`."""

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - begun, 2)

    return step


def smoke(place: Path) -> dict[str, float]:
    """Does everything once, below an empty directory; gives seconds by step."""
    seconds: dict[str, float] = {}
    step = timer(seconds)
    require(ops.library() is not None, "the kernel is not loaded: this is not the wheel to release")
    with step("pack"):
        shapes.draw_tree(place / "tree", train=_TRAIN, val=8)
        data = tfstream.pack(place / "tree", place / "packed", progress=False)
    with step("query"):
        some = data.slice("objects >= 1 and width > 10")
        require(0 < len(some) <= len(data), f"the query found {len(some)} of {len(data)} records")
    with step("command line"):
        command = [str(Path(sys.executable).with_name("tfstream")), "verify", str(place / "packed")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    spec = tfstream.ImageSpec(size=(32, 32), mode="random_crop", flip=True, dtype="float32")
    train = data.split("train")
    with step("stream"):
        stream = train.stream(batch_size=_BATCH, image=spec, seed=1)
        shown = [tuple(images.shape) for images, _ in stream]
        require(shown == [(_BATCH, 32, 32, 3)] * (_TRAIN // _BATCH), f"the batches are {shown}")
    with step("fit"):
        layers = [
            keras.Input((32, 32, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(data.labels.classes, activation="softmax"),
        ]
        model = keras.Sequential(layers)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(stream, steps_per_epoch=1, epochs=1, shuffle=False, verbose=0)
    with step("resume"):
        kinds = {"batch_size": _BATCH, "image": None, "label": None, "elements": "dict", "seed": 3}
        whole = train.stream(**kinds)
        keys = [key for batch in whole for key in batch["key"].numpy()]
        rest = train.stream(**kinds, state=train.stream(**kinds).state(batches_consumed=1))
        found = [key for batch in rest for key in batch["key"].numpy()]
        require(found == keys[_BATCH:], f"what went on behind a batch gave {found}, not {keys}")
    return seconds


def main() -> None:
    """Runs, and says what came out."""
    with tempfile.TemporaryDirectory() as scratch:
        seconds = smoke(Path(scratch))
    found = {name: importlib.metadata.version(name) for name in _SHOWN}
    print(json.dumps({"python": platform.python_version(), **found, "seconds": seconds}))


if __name__ == "__main__":
    main()

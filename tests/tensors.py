"""Sets of `.npy` files and text files of rows, for the tests of records without images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import trees

DIM = (3, 4, 2)


def array(number: int) -> np.ndarray:
    """The array of a sample, float32 [3, 4, 2]."""
    return np.random.default_rng(number).random(DIM, np.float32)


def make_npy_set(root: Path, train: int = 6, validation: int = 3, classes: int = 3) -> Path:
    """A set with the ids id-0, id-1 ..., and the class number modulo `classes` of each."""
    ids = [f"id-{number}" for number in range(train + validation)]
    for number, name in enumerate(ids):
        put_array(root / f"data/{name}.npy", array(number))
    put_json(root / "labels.json", {name: at % classes for at, name in enumerate(ids)})
    put_json(root / "partition.json", {"train": ids[:train], "validation": ids[train:]})
    return root


def put_array(path: Path, values: np.ndarray) -> Path:
    """Writes an array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path


def put_json(path: Path, plain: object) -> Path:
    """Writes JSON."""
    return trees.put(path, json.dumps(plain))


def make_rows(path: Path, count: int = 8) -> Path:
    """A text file with the predictors n, n / 2 and -n, and the target 10 n, of row n."""
    lines = [f"{n},{n / 2},{-n},{10 * n}" for n in range(count)]
    return trees.put(path, "\n".join(["a,b,c,y", *lines, ""]))

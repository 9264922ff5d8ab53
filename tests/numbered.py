"""A dataset whose images show their number, and the callback that reads it back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tiny_dataset import write_dataset

from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Value

SIDE = 8  # pixels


def image(number: int, split: str = "train") -> AnnotatedImage:
    """One of `SIDE` x `SIDE` pixels of the value `number`, with a cat, a dog, both or neither."""
    data = io.BytesIO()
    Image.fromarray(np.full((SIDE, SIDE), number % 256, np.uint8)).save(data, "PNG")
    made = AnnotatedImage(
        key=f"{split}/{number:04d}",
        encoded=data.getvalue(),
        format="png",
        width=SIDE,
        height=SIDE,
        orientation=1,
        metadata={
            "number": Value(int_value=number),
            "scene": Value(string_value=f"scene {number // 3}"),
            "night": Value(bool_value=number % 2 == 1),
        },
    )
    for place, label in enumerate(("cat", "dog")):
        if number >> place & 1:
            box = Box(ymin=1, xmin=2, ymax=6 - place, xmax=7)
            made.objects.append(Object(label=label, box=box))
    return made


def write(root: Path, *, train: int = 50, val: int = 0, shard: int = 16) -> Path:
    """Writes the dataset, with `shard` records a shard."""
    schema = {"number": "int", "scene": "string", "night": "bool"}
    shards = {}
    for split, count, first in (("train", train, 0), ("val", val, train)):
        if count:
            images = [image(first + number, split) for number in range(count)]
            shards[split] = [images[at : at + shard] for at in range(0, count, shard)]
    write_dataset(root, shards, schema)
    return root


def read(file_names: tuple[str, ...], metadatas: tuple[dict[str, Any], ...]) -> Any:
    """(pixels, number) of one file; the number is that of the file and that of the metadata."""
    (path,), (metadata,) = file_names, metadatas
    pixels = np.asarray(Image.open(path))
    assert pixels[0, 0] == metadata["number"] % 256
    return pixels.astype(np.float32)[..., None], metadata["number"]


def read_few(file_names: tuple[str, ...], metadatas: tuple[dict[str, Any], ...]) -> Any:
    """The same for those that are no multiple of 5, None for the others."""
    return None if metadatas[0]["number"] % 5 == 0 else read(file_names, metadatas)

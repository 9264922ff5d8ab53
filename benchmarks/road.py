"""JPEG -> 224x224 uint8 batches of 64: tfstream, a hand-written pipeline, the ceiling in memory.

    python benchmarks/road.py PACKED [--split train] [--rounds 7]

PACKED is a dataset made by `tfstream pack` (the figures in docs/benchmarks.md
are for 8,000 photographs of 500x375, 55 KB each). Its shards should fit the
page cache; the first round warms it and does not count.

- hand-written: what TensorFlow's data performance guide recommends, on the same
  shards: interleaved TFRecordDatasets, a shuffle buffer of 1,000, parallel map,
  batch, prefetch; plain bilinear `tf.image.resize`. Once with AUTOTUNE, once with
  as many parallel calls as tfstream has.
- tfstream: `data.stream(...)`, uniform global shuffle, CRCs checked, the same
  pixels within one grey level (antialias=False).
- ceiling: the map stage of tfstream on encoded images that lie in RAM already,
  unshuffled, batched: no reading, no order, no parsing.
"""

from __future__ import annotations

import argparse
import glob
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rounds
import tensorflow as tf

import tfstream
from tfstream import images

SIZE = (224, 224)
BATCH = 64
CALLS = 16  # what tfstream takes on two cores


def hand_written(files: list[str], calls: int) -> tf.data.Dataset:
    """The best-practice pipeline, with so many parallel calls."""

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(
            record,
            {
                "image/encoded": tf.io.FixedLenFeature([], tf.string),
                "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        image = tf.io.decode_jpeg(example["image/encoded"], channels=3)
        image = tf.image.resize(image, SIZE)
        return tf.cast(tf.round(image), tf.uint8), example["image/class/label"]

    options = tf.data.Options()
    options.deterministic = False
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .shuffle(len(files))
        .interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle(1000)
        .map(parse, num_parallel_calls=calls)
        .batch(BATCH)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    )


def ceiling(data: tfstream.PackedDataset, spec: tfstream.ImageSpec) -> tf.data.Dataset:
    """The map stage alone, on bytes in memory."""
    raw = data.stream(
        batch_size=None, image=tfstream.RAW, elements="dict", shuffle=False, label="index"
    )
    rows = list(raw.as_numpy_iterator())
    encoded = tf.constant([row["image"] for row in rows])
    labels = tf.constant(np.array([row["label"] for row in rows]))
    height = tf.constant(data.metadata["height"].to_numpy().astype(np.int32))
    width = tf.constant(data.metadata["width"].to_numpy().astype(np.int32))

    def one(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        view = images.plan(spec, height[i], width[i], tf.zeros([spec.draws]))
        image = images.render(
            spec,
            encoded[i],
            view,
            height=height[i],
            width=width[i],
            orientation=tf.constant(1),
            formats=frozenset({"jpeg"}),
            rotated=False,
            largest=(int(tf.reduce_max(height)), int(tf.reduce_max(width))),
        )
        return image, labels[i]

    ds = tf.data.Dataset.range(len(rows))
    options = tf.data.Options()
    options.autotune.enabled = False
    return ds.map(one, num_parallel_calls=CALLS).batch(BATCH).prefetch(2).with_options(options)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed")
    parser.add_argument("--split", default="train")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    data = tfstream.open(arguments.packed).split(arguments.split)
    files = sorted(glob.glob(f"{arguments.packed}/shards/{arguments.split}-*.tfrecord"))
    spec = tfstream.ImageSpec(size=SIZE, antialias=False)
    candidates = {
        "hand-written tf.data": hand_written(files, tf.data.AUTOTUNE),
        "hand-written tf.data, 16 parallel calls": hand_written(files, CALLS),
        "tfstream": data.stream(batch_size=BATCH, image=spec),
        "ceiling: decode and resize from RAM": ceiling(data, spec),
    }

    results = rounds.measure(candidates, arguments.rounds, lambda element: element[0].shape[0])
    print(f"{rounds.machine()}; {len(data)} images; {arguments.rounds} interleaved rounds")
    for against in ("hand-written tf.data", "ceiling: decode and resize from RAM"):
        rounds.report(results, against=against, unit="images/s")


if __name__ == "__main__":
    main()

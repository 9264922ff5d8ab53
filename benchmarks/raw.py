"""Raw records: tfstream in uniformly random order, beside TFRecordDataset in sequence.

    python benchmarks/raw.py PACKED [--split train] [--rounds 9]

Nothing is decoded; the page cache is warm. Both deliver the stored bytes in
batches of 64. TFRecordDataset reads its files one after the other, and also
interleaved from four at a time.
"""

from __future__ import annotations

import argparse
import glob
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rounds
import tensorflow as tf

import tfstream
from tfstream.order import Order, Share
from tfstream.source import Source


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed")
    parser.add_argument("--split", default="train")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    data = tfstream.open(arguments.packed).split(arguments.split)
    files = sorted(glob.glob(f"{arguments.packed}/shards/{arguments.split}-*.tfrecord"))
    source = Source(
        data.stored.table, Order(len(data)), Share(len(data)), stream=1, draws=0, skip_corrupt=False
    )
    records = source.epochs(lambda chunk: {"record": chunk.records})(tf.constant(0, tf.int64))
    interleaved = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=tf.data.AUTOTUNE
    )
    candidates = {
        "TFRecordDataset, sequential": tf.data.TFRecordDataset(files),
        "TFRecordDataset, 4 files interleaved": interleaved,
        "tfstream records, uniformly random": records,
        "tfstream stream(image=RAW), uniformly random": data.stream(
            batch_size=None, image=tfstream.RAW, label=None
        ),
    }

    batched = {name: ds.batch(64).prefetch(2) for name, ds in candidates.items()}
    results = rounds.measure(
        batched, arguments.rounds, lambda batch: tf.nest.flatten(batch)[0].shape[0]
    )
    print(f"{rounds.machine()}; {len(data)} records; {arguments.rounds} interleaved rounds")
    rounds.report(results, against="TFRecordDataset, sequential", unit="records/s")


if __name__ == "__main__":
    main()

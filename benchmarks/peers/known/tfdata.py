"""tf.data by hand: TFRecord files of Examples, as TensorFlow's guides have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import protocol
import tensorflow as tf
from ilsvrc import Sample

_SHARD_BYTES = 64 << 20
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
}


def _example(values: dict[str, Any]) -> bytes:
    def ints(*numbers: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=numbers))

    def texts(*strings: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=strings))

    feature = {
        "image/encoded": texts(values["image"]),
        "image/source_id": texts(values["key"].encode()),
        "image/width": ints(values["width"]),
        "image/height": ints(values["height"]),
        "image/class/label": ints(values["label"]),
        "image/object/class/text": texts(*(name.encode() for name in values["names"])),
    }
    for side, name in enumerate(("xmin", "ymin", "xmax", "ymax")):
        column = values["boxes"][:, side].tolist()
        feature[f"image/object/bbox/{name}"] = tf.train.Feature(
            float_list=tf.train.FloatList(value=column)
        )
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _write(samples: Sequence[Sample], out: Path) -> None:
    written, shard = _SHARD_BYTES, 0
    writer = None
    for sample in samples:
        if written >= _SHARD_BYTES:
            if writer is not None:
                writer.close()
            writer = tf.io.TFRecordWriter(str(out / f"{shard:05d}.tfrecord"))
            written, shard = 0, shard + 1
        record = _example(protocol.parsed(sample))
        writer.write(record)
        written += len(record)
    if writer is not None:
        writer.close()


class TfData(protocol.Peer):
    """Interleave, shuffle buffer, parallel map, batch, prefetch."""

    title = "tf.data by hand"
    requirements = ("tensorflow==2.21.0",)
    about = "4 files interleaved, shuffle buffer of 1,000, 16 parallel calls; resume by skip"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """A process a part."""
        protocol.in_processes(_write, samples, out, processes)
        return len(samples)

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Shuffled anew each epoch."""
        ds = self._records(source).shuffle(1000)
        ds = self._batches(ds, config)
        return lambda: iter(ds.as_numpy_iterator())

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """Skips records, which still reads them."""
        ds = self._records(source).shuffle(1000, seed=1).skip(batches * config.batch)
        return iter(self._batches(ds, config).as_numpy_iterator())

    def _records(self, source: Path) -> tf.data.Dataset:
        files = tf.data.Dataset.list_files(str(source / "*" / "*.tfrecord"))
        return files.interleave(
            tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=4, deterministic=False
        )

    def _batches(self, ds: tf.data.Dataset, config: protocol.Config) -> tf.data.Dataset:
        def image(record: tf.Tensor) -> tf.Tensor:
            parsed = tf.io.parse_single_example(record, _FEATURES)
            return resized(parsed["image/encoded"], config)

        ds = ds.map(image, num_parallel_calls=16, deterministic=False)
        return ds.batch(config.batch).prefetch(2)


def resized(encoded: tf.Tensor, config: protocol.Config) -> tf.Tensor:
    """A JPEG decoded and resized by TensorFlow, uint8."""
    image = tf.io.decode_jpeg(encoded, channels=3)
    return tf.cast(tf.round(tf.image.resize(image, config.size)), tf.uint8)


PEER = TfData()

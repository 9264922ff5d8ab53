"""TensorFlow Datasets: a builder of one's own, its writer and its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import protocol
import tensorflow as tf
import tensorflow_datasets as tfds
from ilsvrc import Sample

from known.tfdata import resized


class Tree(tfds.core.GeneratorBasedBuilder):
    """The samples it is given, in their order."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, samples: Sequence[Sample] = (), **more: Any) -> None:
        self._samples = samples
        super().__init__(**more)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "key": tfds.features.Text(),
                "image": tfds.features.Image(encoding_format="jpeg"),
                "width": tf.int64,
                "height": tf.int64,
                "label": tf.int64,
                "names": tfds.features.Sequence(tfds.features.Text()),
                "boxes": tfds.features.Sequence(tfds.features.Tensor(shape=(4,), dtype=tf.float32)),
            }
        )
        return self.dataset_info_from_configs(features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, sample in enumerate(self._samples):
            values = protocol.parsed(sample)
            values["image"] = sample.image  # a path: the file's bytes are stored as they are
            yield number, values


def _write(samples: Sequence[Sample], out: Path) -> None:
    tfds.disable_progress_bar()
    Tree(samples, data_dir=str(out)).download_and_prepare()


class Tfds(protocol.Peer):
    """Two builders' directories, read as one."""

    title = "TFDS"
    requirements = ("tensorflow==2.21.0", "tensorflow-datasets==4.9.10", "importlib_resources")
    about = "a process a part, no shuffle while writing; decoding skipped, done in map; skip"

    def pack(self, tree: str, samples: Sequence[Sample], out: Path, processes: int) -> int:
        """A process a part."""
        protocol.in_processes(_write, samples, out, processes)
        return len(samples)

    def epochs(self, source: Path, config: protocol.Config) -> Callable[[], Iterator[Any]]:
        """Files and a buffer of 1,000 records are shuffled."""
        ds = self._batches(self._records(source).shuffle(1000), config)
        return lambda: iter(ds.as_numpy_iterator())

    def resume(self, source: Path, config: protocol.Config, batches: int) -> Iterator[Any]:
        """Skips records, which still reads them."""
        ds = self._records(source).shuffle(1000, seed=1).skip(batches * config.batch)
        return iter(self._batches(ds, config).as_numpy_iterator())

    def _records(self, source: Path) -> tf.data.Dataset:
        found = [str(path.parent) for path in source.glob("*/tree/*/dataset_info.json")]
        return tfds.builder_from_directories(found).as_dataset(
            split="train",
            shuffle_files=True,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                try_autocache=False, interleave_cycle_length=4, enable_ordering_guard=False
            ),
        )

    def _batches(self, ds: tf.data.Dataset, config: protocol.Config) -> tf.data.Dataset:
        ds = ds.map(
            lambda each: resized(each["image"], config),
            num_parallel_calls=16,
            deterministic=False,
        )
        return ds.batch(config.batch).prefetch(2)


PEER = Tfds()

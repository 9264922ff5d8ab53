"""Tests of tfstream/adapters/keras.py, with real training."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf
import trees

import tfstream
from tfstream.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> tfstream.PackedDataset:
    root = tmp_path_factory.mktemp("keras")
    trees.make_ilsvrc_tree(root / "tree", train=53, val=10)
    return tfstream.pack(root / "tree", root / "packed", progress=False).split("train")


def model(classes: int) -> tf.keras.Model:
    made = tf.keras.Sequential(
        [
            tf.keras.Input([16, 16, 3]),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    made.compile("sgd", "categorical_crossentropy")
    return made


def stream(train: tfstream.PackedDataset) -> tfstream.StreamDataset:
    image = tfstream.ImageSpec(size=(16, 16), dtype="float32", normalize="unit")
    return train.stream(batch_size=4, image=image, label="one_hot", seed=1)


def scalars(log_dir: pathlib.Path) -> dict[str, dict[int, float]]:
    """The value of each tag at each step."""
    found: dict[str, dict[int, float]] = {}
    for path in log_dir.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, {})[event.step] = number
    return found


def test_the_scalars_are_written_every_so_many_batches_and_at_an_epochs_end(
    train: tfstream.PackedDataset, tmp_path: pathlib.Path
) -> None:
    ds = stream(train)
    monitor = tfstream.keras.StreamMonitor(ds, tmp_path / "logs", every=5)
    valid = stream(train).take(2)
    model(train.labels.classes).fit(
        ds, epochs=2, validation_data=valid, callbacks=[monitor], verbose=0
    )
    written = scalars(tmp_path / "logs")
    assert {
        "tfstream/samples_per_second",
        "tfstream/bytes_fetched_per_second",
        "tfstream/retries",
        "tfstream/hedges",
        "tfstream/repaired",
        "tfstream/corrupt",
    } <= set(written)
    assert ds.steps_per_epoch == 14
    rate = written["tfstream/samples_per_second"]
    assert sorted(rate) == [5, 10, 14, 19, 24, 28]
    assert max(rate.values()) > 0
    assert set(written["tfstream/corrupt"].values()) == {0}


def test_without_a_directory_the_default_writer_is_written_to(
    train: tfstream.PackedDataset, tmp_path: pathlib.Path
) -> None:
    ds = stream(train)
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        model(train.labels.classes).fit(ds, callbacks=[tfstream.keras.StreamMonitor(ds)], verbose=0)
    writer.close()
    assert sorted(scalars(tmp_path)["tfstream/samples_per_second"]) == [14]


def test_without_a_directory_and_a_default_writer_there_is_an_error(
    train: tfstream.PackedDataset,
) -> None:
    ds = stream(train)
    with pytest.raises(InvalidArgumentError, match=r"give log_dir"):
        model(train.labels.classes).fit(ds, callbacks=[tfstream.keras.StreamMonitor(ds)], verbose=0)


def test_what_is_no_stream_is_refused(train: tfstream.PackedDataset) -> None:
    with pytest.raises(InvalidArgumentError, match=r"needs the StreamDataset .*\(got _MapDataset"):
        tfstream.keras.StreamMonitor(stream(train).map(lambda x, y: (x, y)))
    with pytest.raises(InvalidArgumentError, match=r"every must be .*\(got 0\)"):
        tfstream.keras.StreamMonitor(stream(train), every=0)


def test_the_package_has_it_without_loading_keras_before_it_is_asked_for() -> None:
    program = (
        "import sys, tfstream\n"
        "assert 'keras' in dir(tfstream) and 'tensorflow' not in sys.modules\n"
        "from tfstream.keras import StreamMonitor\n"
        "assert tfstream.keras.StreamMonitor is StreamMonitor\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""Tests of tfstream/adapters/keras.py, with real training."""

from __future__ import annotations

import io
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import PIL.Image
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
    """The value of each scalar at each step."""
    return {
        tag: {step: float(value) for step, value in of.items()}
        for tag, of in summaries(log_dir).items()
        if tag != "tfstream_pictures/samples"
    }


def summaries(log_dir: pathlib.Path) -> dict[str, dict[int, Any]]:
    """What each tag has at each step."""
    found: dict[str, dict[int, Any]] = {}
    for path in log_dir.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
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
    # Nothing of networks and caches, which would be flat lines.
    assert set(written) == {
        "tfstream/samples_per_second",
        "tfstream/waiting",
        "tfstream/bytes_read_per_second",
        "tfstream_faults/corrupt",
    }
    assert ds.steps_per_epoch == 14
    rate = written["tfstream/samples_per_second"]
    assert sorted(rate) == [5, 10, 14, 19, 24, 28]
    assert max(rate.values()) > 0
    assert set(written["tfstream_faults/corrupt"].values()) == {0}


def test_of_a_remote_dataset_there_are_those_of_the_network_too(
    train: tfstream.PackedDataset, tmp_path: pathlib.Path, bucket
) -> None:
    bucket.upload(pathlib.Path(train.path))
    ds = stream(tfstream.open(bucket.uri, cache_dir=str(tmp_path / "cache")).split("train"))
    monitor = tfstream.keras.StreamMonitor(ds, tmp_path / "logs", images=0)
    model(train.labels.classes).fit(ds, callbacks=[monitor], verbose=0)
    written = scalars(tmp_path / "logs")
    assert max(written["tfstream/bytes_fetched_per_second"].values()) > 0
    assert set(written["tfstream/cache_hit_rate"].values()) == {0}
    faults = {name for name in written if name.startswith("tfstream_faults/")}
    assert faults == {
        f"tfstream_faults/{name}" for name in ("retries", "hedges", "repaired", "corrupt")
    }


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


def test_the_next_samples_are_drawn_as_the_model_sees_them(
    train: tfstream.PackedDataset, tmp_path: pathlib.Path
) -> None:
    ds = stream(train)
    seen = []
    watch = tf.keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: seen.append(ds.state()))
    monitor = tfstream.keras.StreamMonitor(ds, tmp_path, images=2)
    model(train.labels.classes).fit(
        ds, epochs=2, callbacks=[watch, monitor], verbose=0, shuffle=False
    )
    drawn = summaries(tmp_path)["tfstream_pictures/samples"]
    assert sorted(drawn) == [0, 14]
    assert [state["epoch"] for state in seen] == [0, 1]
    shown = tfstream.ImageSpec(size=(16, 16))
    for state, step in zip(seen, (0, 14), strict=True):
        width, height, *pictures = drawn[step].tolist()
        assert (int(width), int(height), len(pictures)) == (640, 640, 2)
        again = train.stream(
            batch_size=4, image=shown, seed=1, state=state, boxes="ragged", elements="dict"
        )
        batch = next(iter(again))
        for place, png in enumerate(pictures):
            picture = PIL.Image.open(io.BytesIO(png))
            plain = PIL.Image.fromarray(batch["image"][place].numpy())
            larger = plain.resize((640, 640), PIL.Image.Resampling.BICUBIC)
            marked = np.any(np.asarray(picture) != np.asarray(larger), axis=-1).mean()
            assert (marked > 0) == (len(batch["boxes"][place]) > 0)
            assert marked < 0.5


def test_a_line_at_the_end_says_whether_training_waited(
    train: tfstream.PackedDataset, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = stream(train)
    monitor = tfstream.keras.StreamMonitor(ds, tmp_path, images=0)
    model(train.labels.classes).fit(ds, callbacks=[monitor], verbose=2)
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.search(r"^tfstream: .* samples/s; training waited for data \d+ % of its time: ", last)
    model(train.labels.classes).fit(ds, callbacks=[monitor], verbose=0)
    assert "tfstream:" not in capsys.readouterr().out


def test_what_is_no_stream_is_refused(train: tfstream.PackedDataset) -> None:
    with pytest.raises(InvalidArgumentError, match=r"needs the StreamDataset .*\(got _MapDataset"):
        tfstream.keras.StreamMonitor(stream(train).map(lambda x, y: (x, y)))
    with pytest.raises(InvalidArgumentError, match=r"every must be .*\(got 0\)"):
        tfstream.keras.StreamMonitor(stream(train), every=0)
    with pytest.raises(InvalidArgumentError, match=r"images must be .*\(got -1\)"):
        tfstream.keras.StreamMonitor(stream(train), images=-1)


def test_the_package_has_it_without_loading_keras_before_it_is_asked_for() -> None:
    program = (
        "import sys, tfstream\n"
        "assert 'keras' in dir(tfstream) and 'tensorflow' not in sys.modules\n"
        "from tfstream.keras import StreamMonitor\n"
        "assert tfstream.keras.StreamMonitor is StreamMonitor\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

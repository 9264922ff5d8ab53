"""Tests of tfstream/adapters/resume.py: trainings that are interrupted, and what comes of them."""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import fitting
import numpy as np
import pytest
import scenes
import tensorflow as tf

import tfstream
from tfstream.errors import InvalidArgumentError, StateError
from tfstream.keras import ResumeStream

keras = tf.keras


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("scenes") / "packed")


@pytest.fixture(scope="module")
def data(root):
    return tfstream.open(root).split("train")  # 39 records: ten batches an epoch


@pytest.fixture(scope="module")
def expected(data):
    """What the training gives that nothing is changed of, and that is not interrupted."""
    return Training(data, None).run()


class Training:
    """The same training, as often as it takes."""

    def __init__(self, data, path, *, compiled=None, streamed=None, every=3, **arguments):
        self.data, self.path, self.every = data, path, every
        self.compiled, self.streamed = compiled or {}, streamed or {}
        self.arguments = {"epochs": 3, "verbose": 0, "shuffle": False, **arguments}

    def run(self, stop=None, *, path=None, error=RuntimeError, before=(), after=(), keep=()):
        """(history, weights, what was trained with step by step, the model)."""
        ds, seen = fitting.stream(self.data, **self.streamed), []
        compiled = dict(self.compiled)
        if compiled.get("optimizer") == "scaled":  # as mixed precision does; what it counts is kept
            compiled["optimizer"] = keras.mixed_precision.LossScaleOptimizer(
                keras.optimizers.Adam(), dynamic_growth_steps=3
            )
        model = fitting.model(seen, **compiled)
        callbacks = [*before]
        if stop:
            callbacks.append(fitting.Interrupt(stop, error))
        if path:
            callbacks.append(ResumeStream(path, ds, self.every, keep=keep))
        callbacks += after
        history = model.fit(ds.map(fitting.inputs), callbacks=callbacks, **self.arguments)
        return {"epochs": history.epoch, **history.history}, model.get_weights(), seen, model

    def interrupted(self, *stops, error=RuntimeError, before=lambda: ()):
        """The last of several runs, all but which are interrupted."""
        for stop in stops:
            with pytest.raises(error):
                self.run(stop, path=self.path, error=error, before=before())
        return self.run(path=self.path, before=before())


def assert_same(one, other):
    """The same histories and weights, and the same steps at the end."""
    assert one[0] == other[0]
    for mine, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert 0 < len(one[2]) < len(other[2])
    assert one[2] == other[2][-len(one[2]) :]


@pytest.mark.parametrize(
    ("stops", "arguments"),
    [
        ([1, 14], {}),
        ([6], {"compiled": {"steps_per_execution": 3}}),
        ([12], {"steps_per_epoch": 7, "streamed": {"epochs": None}}),
        ([11], {"streamed": {"epochs": 2}, "epochs": 2}),
        ([13], {"compiled": {"optimizer": "scaled"}}),
    ],
    ids=["plain", "steps_per_execution", "steps_per_epoch", "two epochs an iteration", "mixed"],
)
def test_what_was_interrupted_ends_as_if_it_had_not_been(data, tmp_path, stops, arguments):
    training = Training(data, tmp_path / "run", **arguments)
    expected = training.run()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras's, when the data runs out
        assert_same(training.interrupted(*stops), expected)
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_run_with_validation_goes_on_with_it_and_finished_it_just_returns(data, tmp_path):
    valid = fitting.stream(data, shuffle=False).map(fitting.inputs).take(3)
    training = Training(data, tmp_path / "run", validation_data=valid)
    expected = training.run()
    assert "val_loss" in expected[0]
    assert_same(training.interrupted(11, error=KeyboardInterrupt), expected)
    again = training.run(path=training.path)
    assert again[0] == expected[0]
    assert again[2] == []


def test_what_is_beside_it_is_left_in_peace(data, tmp_path):
    def beside():
        return (
            keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
            keras.callbacks.ModelCheckpoint(str(tmp_path / "best.keras")),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (1 + epoch)),
        )

    training = Training(data, tmp_path / "run")
    expected = training.run(before=beside()[2:])
    assert_same(training.interrupted(15, before=beside), expected)
    assert (tmp_path / "best.keras").exists()


def test_a_callback_that_restores_something_else_behind_it_is_an_error(data, tmp_path):
    def beside():
        return [keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))]

    training = Training(data, tmp_path / "run")
    with pytest.raises(RuntimeError):
        training.run(15, path=training.path, before=beside())
    with pytest.raises(InvalidArgumentError, match="Put ResumeStream behind it"):
        training.run(path=training.path, after=beside())


def test_early_stopping_that_is_kept_stops_where_it_would_have(data, tmp_path):
    def stopping():
        return keras.callbacks.EarlyStopping(
            "loss", patience=2, min_delta=9, restore_best_weights=True
        )

    training = Training(data, tmp_path / "run", epochs=9)
    expected = training.run(before=[stopping()])
    assert len(expected[0]["loss"]) == 3
    for stop in (12, None):
        stopped = stopping()
        if stop:
            with pytest.raises(RuntimeError):
                training.run(stop, path=training.path, before=[stopped], keep=[stopped])
        else:
            got = training.run(path=training.path, before=[stopped], keep=[stopped])
    assert_same(got, expected)
    stopped = stopping()
    again = training.run(path=training.path, before=[stopped], keep=[stopped])
    assert (again[0], again[2]) == (expected[0], [])


def test_who_stops_within_an_epoch_goes_on_there(expected, data, tmp_path):
    training = Training(data, tmp_path / "run", every=100)
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(stop.model, "stop_training", batch == 4)
    )
    assert len(training.run(path=training.path, before=[stop])[2]) == 5
    got = training.run(path=training.path)
    assert len(got[2]) == 25
    assert_same(got, expected)


def test_the_number_of_samples_in_a_batch_may_change(expected, data, tmp_path):
    with pytest.raises(RuntimeError):
        Training(data, tmp_path / "run", every=1).run(6, path=tmp_path / "run")
    other = Training(data, tmp_path / "run", streamed={"batch_size": 2})
    seen = other.run(path=tmp_path / "run")[2]
    flat = [number for step in expected[2] for number in step]
    assert [number for step in seen for number in step] == flat[20:]


def test_it_goes_on_from_a_bucket(expected, data, tmp_path, bucket):
    training = Training(data, f"{bucket.uri}/run")
    assert_same(training.interrupted(8), expected)


@pytest.mark.parametrize("damage", ["cut", "byte"])
def test_a_damaged_checkpoint_is_passed_over_and_said(expected, data, tmp_path, damage):
    training = Training(data, tmp_path / "run")
    with pytest.raises(RuntimeError):
        training.run(17, path=training.path)
    newest = max((tmp_path / "run").iterdir())
    content = newest.read_bytes()
    place = len(content) // 2
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    newest.write_bytes({"cut": content[:-99], "byte": flipped}[damage])
    (tmp_path / "run" / f".{newest.name}.ab.tmp").write_bytes(b"half")
    with pytest.warns(RuntimeWarning, match=f"{newest.name}.*damaged.*the one before it"):
        got = training.run(path=training.path)
    assert_same(got, expected)
    assert not newest.exists()
    assert not list((tmp_path / "run").glob(".*"))
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(b"")
    with pytest.raises(StateError, match="every checkpoint is damaged"):
        training.run(path=training.path)


def test_what_does_not_fit_is_said_with_the_checkpoints_path(data, tmp_path):
    training = Training(data, tmp_path / "run")
    with pytest.raises(RuntimeError):
        training.run(6, path=training.path)
    training.streamed = {"seed": 4}
    with pytest.raises(StateError, match=r"run/0.*checkpoint: .*seed.*state 3, stream 4"):
        training.run(path=training.path)
    training.streamed = {}
    ds = fitting.stream(data)
    other = keras.Sequential([keras.Input([1]), keras.layers.Dense(3, activation="softmax")])
    other.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(StateError, match=r"run/0.*the model has \(1, 16\).*kernel.*\(1, 3\)"):
        other.fit(ds.map(fitting.inputs), callbacks=[ResumeStream(training.path, ds)], verbose=0)
    training.compiled = {"steps_per_execution": 2}
    with pytest.raises(InvalidArgumentError, match="steps_per_execution 2"):
        training.run(path=training.path)


def test_what_cannot_be_resumed_is_refused(data, tmp_path):
    ds = fitting.stream(data)
    with pytest.raises(InvalidArgumentError, match=r"needs the StreamDataset .*\(got _MapDataset"):
        ResumeStream(tmp_path, ds.map(fitting.inputs))
    with pytest.raises(InvalidArgumentError, match=r"every must be .*\(got 0\)"):
        ResumeStream(tmp_path, ds, 0)
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(InvalidArgumentError, match=r"give it a keras\.Input"):
        model.fit(ds.map(fitting.inputs), callbacks=[ResumeStream(tmp_path, ds)], verbose=0)


def test_a_fit_without_it_after_one_that_failed_is_not_touched(data, tmp_path):
    ds = fitting.stream(data)
    model = fitting.model()
    with pytest.raises(RuntimeError):
        model.fit(
            ds.map(fitting.inputs),
            callbacks=[fitting.Interrupt(4), ResumeStream(tmp_path, ds, 2)],
            verbose=0,
        )
    model.fit(ds.map(fitting.inputs), verbose=0)
    assert ds.state()["epoch"] == 2


def test_killed_at_any_moment_it_goes_on_with_the_very_next_batch(expected, root, tmp_path):
    program = pathlib.Path(__file__).parents[1] / "killed.py"
    package = pathlib.Path(tfstream.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, program, root, tmp_path / "run", "4"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": f"{package}:{program.parent}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["history"] == expected[0]
    steps = {}
    for step, numbers in told["seen"]:  # those done again were done alike
        assert steps.setdefault(step, numbers) == numbers
    assert [steps[step] for step in sorted(steps)] == expected[2]
    assert told["kills"] == 4

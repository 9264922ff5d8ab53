"""Streams under strategies of tf.distribute: real processes, and the losses of a single one."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import distributed
import fitting
import numpy as np
import pytest
import scenes
import tensorflow as tf

import tfstream

pytestmark = pytest.mark.kernel

PROGRAM = pathlib.Path(__file__).parent / "distributed.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("scenes") / "packed")


@pytest.fixture(scope="module")
def single(root):
    """The losses of one device, and what it was trained with, batch by batch."""
    ds = fitting.stream(
        tfstream.open(root).split("train"), batch_size=distributed.BATCH, drop_remainder=True
    )
    seen = []
    model = fitting.model(seen, dropout=0.0)
    history = model.fit(ds.map(fitting.inputs), epochs=2, verbose=0, shuffle=False)
    return {"epochs": history.epoch, **history.history}, seen


def start(*arguments):
    package = pathlib.Path(tfstream.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, arguments)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": f"{package}:{PROGRAM.parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def two(root, path, *arguments):
    """Two workers of a cluster."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    workers = [start(root, path, index, *ports, *arguments) for index in range(2)]
    try:
        yield workers
    finally:
        for each in workers:
            each.kill()
            each.wait()


def result(process):
    """What it printed."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def assert_losses(got, expected):
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-4)


def assert_trained_with(parts, seen):
    """Each batch in as many parts, every sample once an epoch."""
    assert sorted(n for part in parts for n in part) == sorted(n for step in seen for n in step)
    assert {len(part) for part in parts} == {distributed.BATCH // 2}


def test_two_devices_train_as_one_does(root, single, tmp_path):
    losses, seen = single
    told = result(start(root, tmp_path))
    assert_trained_with(told["prepared"][1], seen)
    for name in ("prepared", "divided", "resumed"):
        assert_losses(told[name][0], losses)


def test_two_workers_train_as_one_does_and_find_out_what_they_disagree_about(
    root, single, tmp_path
):
    losses, seen = single
    with two(root, tmp_path) as workers:
        told = [result(each) for each in workers]
    assert_trained_with([part for each in told for part in each["whole"][1]], seen)
    for index, each in enumerate(told):
        assert_losses(each["whole"][0], losses)
        assert_losses(each["share"][0], losses)
        assert "StateError: the workers disagree" in each["seed"]
        assert "seed: worker 0 3, worker 1 4" in each["seed"]
        assert "unshardable" in each["sharded twice"]
        mistaken = f"this is worker {index} of 2, and its stream has world=({1 - index}, 2)"
        assert mistaken in each["world"]


def test_a_cluster_goes_on_as_one_worker_after_a_kill_and_as_two_again(root, single, tmp_path):
    with two(root, tmp_path, 9) as workers:
        assert workers[1].wait(120) == -signal.SIGKILL
    ds = fitting.stream(
        tfstream.open(root).split("train"), batch_size=distributed.BATCH, drop_remainder=True
    )
    resume = tfstream.keras.ResumeStream(tmp_path / "killed", ds, 2)
    seen = []
    with pytest.raises(RuntimeError):
        fitting.model(seen, dropout=0.0).fit(
            ds.map(fitting.inputs),
            epochs=2,
            verbose=0,
            shuffle=False,
            callbacks=[resume, fitting.Interrupt(4)],
        )
    assert 0 < len(seen) <= 5
    with two(root, tmp_path, 0) as workers:
        told = [result(each) for each in workers]
    for each in told:
        assert_losses(each, single[0])


def test_what_is_no_stream_is_not_distributed():
    with pytest.raises(tfstream.errors.InvalidArgumentError, match="only a stream"):
        tfstream.keras.distribute(tf.data.Dataset.range(3))

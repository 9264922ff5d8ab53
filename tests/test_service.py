"""Streams over a tf.data service: real dispatchers and workers, each a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import trees

import tfstream
from tfstream.errors import InvalidArgumentError, ServiceError

pytestmark = pytest.mark.kernel

SPEC = tfstream.ImageSpec(size=(20, 24), mode="random_crop", flip=True)


class Process:
    """A verb of the command line that runs until it is told to end."""

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tfstream.cli.app", *map(str, arguments)],
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
        )

    @property
    def address(self):
        """What it prints once it listens."""
        return self.process.stdout.readline().split()[-1]

    def end(self, number=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


class Cluster:
    """A dispatcher and workers."""

    def __init__(self, stack):
        self._stack = stack
        dispatcher = self._start("dispatcher", "--port", "0")
        port = dispatcher.address.rpartition(":")[2]
        self.address = f"grpc://127.0.0.1:{port}"

    def _start(self, *arguments, **environment):
        started = Process(*arguments, **environment)
        self._stack.callback(started.end)
        return started

    def workers(self, count, *arguments, **environment):
        """Starts workers at the same time, and waits until they listen."""
        command = ("worker", "--dispatcher", self.address, *arguments)
        started = [self._start(*command, **environment) for _ in range(count)]
        for each in started:
            assert each.address.startswith("127.0.0.1:")
        return started


@pytest.fixture(scope="module")
def cluster():
    with contextlib.ExitStack() as stack:
        made = Cluster(stack)
        made.workers(2)
        yield made


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("service")
    trees.make_ilsvrc_tree(root / "tree", train=150, val=10)
    tfstream.pack(root / "tree", root / "packed", shard_bytes=60_000, progress=False)
    return root / "packed"


@pytest.fixture(scope="module")
def train(packed):
    return tfstream.open(packed).split("train")


def stream(data, **arguments):
    arguments = {"batch_size": 4, "image": SPEC, "seed": 5, "block_size": 4} | arguments
    return data.stream(elements="dict", **arguments)


def batches(ds):
    """One iteration: for each batch its keys and bytes."""
    return [
        (tuple(np.atleast_1d(e["key"])), *(np.asarray(e[n]).tobytes() for n in ("image", "label")))
        for e in ds.as_numpy_iterator()
    ]


def test_every_epoch_has_the_batches_that_it_has_without_the_service(cluster, train):
    served, alone = stream(train, service=cluster.address), stream(train)
    epochs = []
    for _ in range(3):
        epochs.append(sorted(batches(served)))
        assert epochs[-1] == sorted(batches(alone))
    assert epochs[0] != epochs[1] != epochs[2]
    assert served.cardinality() == served.steps_per_epoch == 38
    assert served.element_spec == alone.element_spec

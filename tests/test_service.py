"""Streams over a tf.data service: real dispatchers and workers, each a process of its own."""

import contextlib
import ctypes
import pathlib
import shutil
import signal
import socket
import time

import numpy as np
import outlined
import pytest
import tensorflow as tf
import trees
from verbs import Verb

import tfstream
from tfstream.cache import catalog
from tfstream.errors import InvalidArgumentError, ServiceError

pytestmark = pytest.mark.kernel

SPEC = tfstream.ImageSpec(size=(20, 24), mode="random_crop", flip=True)


class Cluster:
    """A dispatcher and workers, each of which prints its address once it listens."""

    def __init__(self, stack, *arguments):
        self._stack, self._arguments = stack, arguments
        self.port = self.dispatch(0).rpartition(":")[2]
        self.address = f"grpc://127.0.0.1:{self.port}"

    def dispatch(self, port):
        """Starts the dispatcher; its address."""
        self.dispatcher = self._start("dispatcher", "--port", port, *self._arguments)
        return self.dispatcher.line().split()[-1]

    def _start(self, *arguments):
        started = Verb(*arguments)
        self._stack.callback(started.end)
        return started

    def workers(self, count, *arguments):
        """Starts workers at the same time, and waits until they listen."""
        command = ("worker", "--dispatcher", self.address, *arguments)
        started = [self._start(*command) for _ in range(count)]
        for each in started:
            assert each.line().split()[-1].startswith("127.0.0.1:")
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


def pause(sample):
    """A transform that takes a moment, on whichever machine."""
    with tf.control_dependencies([tf.linalg.det(tf.random.stateless_normal([400, 400], [1, 2]))]):
        return {name: tf.identity(value) for name, value in sample.items()}


def batches(ds):
    """One iteration: for each batch its keys and bytes."""
    return [
        (tuple(np.atleast_1d(e["key"])), *(np.asarray(e[n]).tobytes() for n in ("image", "label")))
        for e in ds.as_numpy_iterator()
    ]


@pytest.fixture(scope="module")
def epochs(train):
    """The batches of three epochs without a service."""
    alone = stream(train)
    return [batches(alone) for _ in range(3)]


@pytest.fixture(scope="module")
def ordered(epochs):
    """The keys of those."""
    return [[key for batch in epoch for key in batch[0]] for epoch in epochs]


@pytest.mark.parametrize("masks", ["instance", "semantic"])
def test_masks_and_keypoints_come_as_they_do_without_the_service(cluster, tmp_path, masks):
    data = tfstream.open(outlined.write(tmp_path / "packed"))
    spec = tfstream.ImageSpec(size=(30, 36), mode="random_crop", flip=True, area=(0.5, 1.0))
    arguments = {"image": spec, "label": None, "boxes": 3, "masks": masks}
    arguments |= {"keypoints": outlined.TIPS}
    here = list(stream(data, **arguments).as_numpy_iterator())
    there = list(stream(data, **arguments, service=cluster.address).as_numpy_iterator())
    assert len(here) == len(there) == 4
    assert {"masks", "keypoints", "seed"} <= here[0].keys()
    for ours, theirs in zip(here, there, strict=True):
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])
        assert ours["masks"].any()
        assert ours["keypoints"].any()


def test_every_epoch_has_the_batches_that_it_has_without_the_service_in_their_order(
    cluster, train, epochs
):
    served = stream(train, service=cluster.address)
    for epoch in epochs:
        assert batches(served) == epoch
    assert epochs[0] != epochs[1] != epochs[2]
    assert served.cardinality() == served.steps_per_epoch == 38


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": None},
        {"batch_size": 7, "drop_remainder": True},
        {"world": (1, 3)},
        {"boxes": 2, "transform": lambda e: e | {"label": e["label"] + 100}},
        {"shuffle": False, "on_corrupt": "skip"},
    ],
    ids=["single", "drop", "world", "transform", "skip"],
)
def test_any_kind_of_stream_can_be_served(cluster, train, arguments):
    some = train[10:130]
    served, alone = (
        stream(some, service=service, **arguments) for service in (cluster.address, None)
    )
    assert batches(served) == batches(alone)
    assert served.element_spec == alone.element_spec


def test_ragged_boxes_are_served(cluster, train):
    served, skipping, alone = (
        [
            (batch["key"].numpy().tolist(), batch["boxes"].to_list())
            for batch in stream(train[:40], boxes="ragged", on_corrupt=skip, service=service)
        ]
        for service, skip in (
            (cluster.address, "raise"),
            (cluster.address, "skip"),
            (None, "raise"),
        )
    )
    assert served == skipping == alone


def test_several_epochs_in_one_iteration_keep_apart(cluster, train, epochs):
    served = stream(train, epochs=2, service=cluster.address)
    assert batches(served) == epochs[0] + epochs[1]


def test_keras_fits_over_the_service(cluster, train):
    ds = train.stream(batch_size=8, image=SPEC, seed=5, service=cluster.address)
    model = tf.keras.Sequential(
        [
            tf.keras.Input((20, 24, 3)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(train.labels.classes),
        ]
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    history = model.fit(ds, epochs=2, verbose=0, shuffle=False)
    assert len(history.history["loss"]) == 2
    assert int(model.optimizer.iterations) == 2 * ds.steps_per_epoch == 38


def test_a_session_iterates_a_served_stream(cluster, train):
    with tf.Graph().as_default():
        iterator = tf.compat.v1.data.make_initializable_iterator(
            stream(train, image=None, service=cluster.address)
        )
        element = iterator.get_next()
        with tf.compat.v1.Session() as session:
            for _ in range(2):
                session.run(iterator.initializer)
                seen = []
                with pytest.raises(tf.errors.OutOfRangeError):
                    while True:
                        seen += session.run(element)["key"].tolist()
                assert sorted(seen) == sorted(
                    key.encode() for key in train.metadata["key"].to_pylist()
                )


def test_a_served_stream_goes_on_where_its_state_was_taken(cluster, train, epochs, ordered):
    ds = stream(train, service=cluster.address)
    seen = [tuple(batch["key"].numpy()) for batch in ds.take(5)]
    state = ds.state()
    assert (state["epoch"], state["position"]) == (0, 20)
    other = stream(train, service=cluster.address, state=state, batch_size=2)
    assert [tuple(b[0]) for b in epochs[0]][:5] == seen
    assert [key for batch in other for key in batch["key"].numpy()] == ordered[0][20:]
    ds.restore(state)
    assert batches(ds) == epochs[0][5:]
    assert batches(ds) == epochs[1]


def test_a_corrupt_record_is_named_or_skipped(cluster, packed, tmp_path):
    shutil.copytree(packed, tmp_path / "packed")
    data = tfstream.open(tmp_path / "packed").split("train")
    table = data.stored.table
    path, offset = pathlib.Path(table.files[0]), int(table.offsets[2])
    content = bytearray(path.read_bytes())
    content[offset + int(table.lengths[2]) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(tf.errors.OpError) as error:
        batches(stream(data, service=cluster.address))
    for part in (str(path), f"byte {offset}", data.metadata["key"][2].as_py()):
        assert part in str(error.value)
    served, alone = (
        batches(stream(data, on_corrupt="skip", service=service))
        for service in (cluster.address, None)
    )
    assert served == alone
    assert len([key for batch in served for key in batch[0]]) == len(data) - 1


def cached(directory):
    """Bytes of records in a cache."""
    entries = catalog.entries(str(directory))
    return sum(e.cached for e in entries if e.about and e.about.name.endswith(".tfrecord"))


def test_a_worker_joins_a_remote_stream_and_each_fetches_into_its_own_cache(
    bucket, packed, ordered, tmp_path
):
    bucket.upload(packed)
    data = tfstream.open(bucket.uri).split("train")
    caches = [tmp_path / "a", tmp_path / "b"]

    def served(ds):
        for epoch in range(3):
            seen = []
            for number, batch in enumerate(ds):
                seen += batch["key"].numpy().tolist()
                time.sleep(0.005)  # one worker alone cannot have made all by then
                if epoch == 1 and number == 0:
                    cluster.workers(1, "--cache-dir", caches[1], "--cache-limit", "1GB")
            yield seen

    with contextlib.ExitStack() as stack:
        cluster = Cluster(stack)
        cluster.workers(1, "--cache-dir", caches[0])
        arguments = {"batch_size": 1, "read_ahead": "40KB"}
        assert list(served(stream(data, service=cluster.address, **arguments))) == ordered
        until = time.monotonic() + 60
        while not all(map(cached, caches)) and time.monotonic() < until:
            time.sleep(0.05)  # they write beside the stream
        assert all(map(cached, caches))


def test_who_dies_within_an_epoch_costs_no_sample_and_who_is_told_to_ends(
    train, ordered, tmp_path, monkeypatch
):
    monkeypatch.setattr("tfstream.arrivals.PATIENCE_SECONDS", 2)
    with contextlib.ExitStack() as stack:
        cluster = Cluster(stack, "--work-dir", tmp_path)
        first, second = cluster.workers(2)
        ds = stream(train, batch_size=1, transform=pause, service=cluster.address)
        seen = []
        for number, batch in enumerate(ds.as_numpy_iterator()):
            seen += batch["key"].tolist()
            if number == 10:  # one is left
                assert first.end(signal.SIGKILL) == -signal.SIGKILL
            if number == 50:
                assert cluster.dispatcher.end(signal.SIGKILL) == -signal.SIGKILL
                assert cluster.dispatch(cluster.port).endswith(f":{cluster.port}")
            if number == 90:  # none is left, and another one joins
                assert second.end(signal.SIGTERM) == 0
                (late,) = cluster.workers(1)
        assert seen == ordered[0]
        assert late.end(signal.SIGINT) == 0
        assert cluster.dispatcher.end() == 0


def open_to_signals(pid):
    """The threads of a process that do not block SIGTERM."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            lines = (task / "status").read_text().splitlines()
            blocked = int(dict(line.split(":\t", 1) for line in lines)["SigBlk"], 16)
            if not blocked >> (signal.SIGTERM - 1) & 1:
                yield int(task.name)


def test_a_signal_that_goes_to_another_thread_ends_a_process_as_well():
    with contextlib.ExitStack() as stack:
        cluster = Cluster(stack)
        (worker,) = cluster.workers(1)
        for verb in (worker, cluster.dispatcher):
            other = min(thread for thread in open_to_signals(verb.pid) if thread != verb.pid)
            assert ctypes.CDLL(None).tgkill(verb.pid, other, signal.SIGTERM) == 0
            assert verb.wait() == 0


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5050", "grpc://5050", "grpc://host:port", "http://a:1"]
)
def test_what_is_no_address_of_a_service_is_refused(train, address):
    with pytest.raises(InvalidArgumentError, match=rf"{address}.*grpc://HOST:PORT"):
        train.stream(service=address)


def test_a_service_that_nobody_runs_is_an_error_at_once(train, monkeypatch):
    monkeypatch.setattr("tfstream.service._PATIENCE_SECONDS", 0.1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"nobody listens at grpc://127.0.0.1:{port}"):
            train.stream(service=f"grpc://127.0.0.1:{port}")


def test_a_worker_with_a_bad_argument_says_so(cluster, tmp_path):
    (tmp_path / "file").touch()
    for arguments, status, message in (
        (("worker", "--dispatcher", "localhost"), 2, "grpc://HOST:PORT"),
        (("worker", "--dispatcher", cluster.address, "--cache-limit", "1GB"), 2, "--cache-dir"),
        (("worker", "--dispatcher", cluster.address, "--cache-dir", tmp_path / "file"), 1, "file"),
        (("dispatcher", "--port", cluster.port), 1, f"cannot listen on port {cluster.port}"),
    ):
        verb = Verb(*arguments, errors=tmp_path / "errors")
        assert verb.wait() == status
        assert message in (tmp_path / "errors").read_text().splitlines()[-1]
        (tmp_path / "errors").unlink()

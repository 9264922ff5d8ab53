"""Positions of streams in TensorFlow's own checkpoints: loops of one's own, and sessions."""

import contextlib

import pytest
import scenes
import tensorflow as tf

import tfstream
from tfstream.errors import InvalidArgumentError, StateError

DICT = {"image": None, "label": None, "elements": "dict", "seed": 3, "batch_size": 5}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tfstream.open(scenes.write(tmp_path_factory.mktemp("scenes") / "packed"))


@pytest.fixture(scope="module")
def whole(data):
    """The batches of three epochs."""
    return list(keys(data.stream(**DICT, epochs=3)))


def keys(ds):
    return (batch["key"].tolist() for batch in ds.as_numpy_iterator())


def loop(data, path, steps, **arguments):
    """Trains for so many steps, and saves then; what a program does each time it is started."""
    weight = tf.Variable(0)
    ds = data.stream(**(DICT | arguments))
    checkpoint = tf.train.Checkpoint(weight=weight, stream=tfstream.StreamPosition(ds))
    manager = tf.train.CheckpointManager(checkpoint, path, max_to_keep=2)
    checkpoint.restore(manager.latest_checkpoint)
    while True:
        for batch in ds:
            if steps == 0:  # this one is on its way, and not used: it comes again
                return
            weight.assign_add(1)
            yield int(weight), batch["key"].numpy().tolist()
            if (steps := steps - 1) == 0:
                manager.save()
                return


def test_a_loop_of_ones_own_goes_on_where_it_was_saved(data, whole, tmp_path):
    got = [pair for steps in (3, 7, 1, 9) for pair in loop(data, tmp_path, steps)]
    assert got == list(enumerate(whole[:20], 1))


def test_the_state_is_that_of_the_moment_of_saving(data, whole, tmp_path):
    ds = data.stream(**DICT)
    checkpoint = tf.train.Checkpoint(stream=tfstream.StreamPosition(ds))
    iterator = iter(ds)
    paths = []
    for _ in range(4):
        paths.append(checkpoint.save(tmp_path / "checkpoint"))
        next(iterator)
    for place in (2, 0, 3):
        checkpoint.restore(paths[place]).assert_consumed()
        assert ds.state(batches_consumed=0) == ds.state()
        assert list(keys(ds)) == whole[place:10]


def test_what_is_saved_may_be_restored_before_there_is_a_stream(data, whole, tmp_path):
    list(loop(data, tmp_path, 4))
    checkpoint = tf.train.Checkpoint(weight=tf.Variable(0))
    status = checkpoint.restore(tf.train.latest_checkpoint(tmp_path))
    ds = data.stream(**DICT)
    checkpoint.stream = tfstream.StreamPosition(ds)  # deferred until now
    status.assert_existing_objects_matched()
    assert list(keys(ds)) == whole[4:10]


def test_who_does_not_want_the_stream_leaves_it_out(data, tmp_path):
    list(loop(data, tmp_path, 4))
    path, weight = tf.train.latest_checkpoint(tmp_path), tf.Variable(0)
    tf.train.Checkpoint(weight=weight).restore(path).expect_partial()
    assert int(weight) == 4
    ds = data.stream(**DICT)
    before = tf.train.Checkpoint(weight=weight).save(tmp_path / "before")
    together = tf.train.Checkpoint(weight=weight, stream=tfstream.StreamPosition(ds))
    together.restore(before).expect_partial()
    assert ds.state()["position"] == 0


def test_batches_that_were_prefetched_behind_the_stream_come_again(data, whole, tmp_path):
    got = []
    for _ in range(3):
        ds = data.stream(**DICT)
        position = tfstream.StreamPosition(ds, prefetched=True)
        checkpoint = tf.train.Checkpoint(stream=position)
        checkpoint.restore(tf.train.latest_checkpoint(tmp_path))
        for batch in ds.map(lambda batch: batch["key"]).prefetch(4).take(3):
            got.append(batch.numpy().tolist())
            position.advance()
        assert position.serialize() == checkpoint.stream.serialize()
        checkpoint.save(tmp_path / "checkpoint")
    assert got == whole[:9]


def test_what_the_stream_counts_is_not_counted_twice(data):
    with pytest.raises(InvalidArgumentError, match="prefetched=True"):
        tfstream.StreamPosition(data.stream(**DICT)).advance()
    with pytest.raises(InvalidArgumentError, match=r"before any map\(\)"):
        tfstream.StreamPosition(data.stream(**DICT).map(lambda batch: batch))


def test_the_state_of_another_stream_shows_both_values(data, tmp_path):
    list(loop(data, tmp_path, 2))
    with pytest.raises(StateError, match="seed: state 3, stream 4.*seed=3"):
        next(loop(data, tmp_path, 2, seed=4))
    position = tfstream.StreamPosition(data.stream(**DICT))
    with pytest.raises(StateError, match="half a"):
        position.deserialize('{"half a')


class Session:
    """A training program of TensorFlow 1: one iterator for training and validation, and a Saver."""

    def __init__(self, data, **arguments):
        train = data.stream(**(DICT | arguments))
        valid = data.stream(**(DICT | {"shuffle": False, "batch_size": 9}))
        iterator = tfstream.ReinitializableIterator(valid.element_spec)
        self.begin_training = iterator.initialize(train)
        self.begin_validation = iterator.initialize(valid)
        self.weight = tf.compat.v1.get_variable("weight", [], initializer=tf.zeros_initializer())
        self.key = iterator.get_next()["key"]
        with tf.control_dependencies([self.key]):
            self.step = self.weight.assign_add(1.0)
        self.position = tfstream.StreamPosition(train)
        self.saver = tf.compat.v1.train.Saver()

    def run(self, path, steps):
        """Trains for so many steps, saves, validates, and ends."""
        got = []
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            if (newest := tf.train.latest_checkpoint(path)) is not None:
                self.saver.restore(session, newest)
            session.run(self.begin_training)
            while len(got) < steps:
                try:
                    got.append(session.run([self.key, self.step])[0].tolist())
                except tf.errors.OutOfRangeError:
                    self._validate(session)
                    session.run(self.begin_training)
            self.saver.save(session, str(path / "model"), global_step=int(self.weight.eval()))
            self._validate(session)
        return got

    def _validate(self, session):
        session.run(self.begin_validation)
        with contextlib.suppress(tf.errors.OutOfRangeError):
            while True:
                session.run(self.key)


def test_a_session_that_validates_as_well_goes_on_where_it_was_saved(data, whole, tmp_path):
    got = []
    for steps in (4, 13, 5):
        with tf.Graph().as_default():
            got += Session(data).run(tmp_path, steps)
    assert got == whole[:22]
    assert tf.train.latest_checkpoint(tmp_path).endswith("model-22")


def test_a_session_is_set_back_within_one_process(data, whole, tmp_path):
    with tf.Graph().as_default():
        program = Session(data)
        assert program.run(tmp_path, 4) == whole[:4]
        assert program.run(tmp_path, 3) == whole[4:7]


def test_a_session_with_the_state_of_another_stream_shows_both_values(data, tmp_path):
    with tf.Graph().as_default():
        Session(data).run(tmp_path, 2)
    with (
        tf.Graph().as_default(),
        pytest.raises(tf.errors.InvalidArgumentError, match="seed: state 3, stream 4"),
    ):
        Session(data, seed=4).run(tmp_path, 2)


def test_a_monitored_session_goes_on_as_well(data, whole, tmp_path):
    got = []
    for steps in (3, 9, 4):
        with tf.Graph().as_default():
            train = data.stream(**DICT, epochs=None)
            tfstream.StreamPosition(train)
            iterator = tf.compat.v1.data.make_initializable_iterator(train)
            key = iterator.get_next()["key"]
            with tf.control_dependencies([key]):
                step = tf.compat.v1.train.get_or_create_global_step().assign_add(1)
            scaffold = tf.compat.v1.train.Scaffold(
                local_init_op=tf.group(
                    tf.compat.v1.local_variables_initializer(), iterator.initializer
                )
            )
            with tf.compat.v1.train.MonitoredTrainingSession(
                checkpoint_dir=str(tmp_path), scaffold=scaffold, log_step_count_steps=None
            ) as session:
                got += [session.run([key, step])[0].tolist() for _ in range(steps)]
    assert got == whole[:16]


def test_two_streams_of_a_graph_are_saved_side_by_side(data, tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        streams = [data.stream(**DICT), data.stream(**(DICT | {"seed": 4}))]
        positions = [tfstream.StreamPosition(ds) for ds in streams]
        streams[0].restore(streams[0].state(batches_consumed=2))
        path = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model"))
    names = [name for name, _ in tf.train.list_variables(path)]
    assert names == ["stream_position", "stream_position_1"]
    for name, position in zip(names, positions, strict=True):
        assert tf.train.load_variable(path, name).decode() == position.serialize()


def test_a_checkpoint_of_a_graph_holds_the_state_of_the_moment_too(data, whole, tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        ds = data.stream(**DICT)
        checkpoint = tf.train.Checkpoint(stream=tfstream.StreamPosition(ds))
        iterator = tf.compat.v1.data.make_initializable_iterator(ds)
        key = iterator.get_next()["key"]
        session.run([iterator.initializer, checkpoint.save_counter.initializer])
        paths = []
        for _ in range(2):
            paths.append(checkpoint.save(tmp_path / "checkpoint"))
            session.run(key)
        checkpoint.restore(paths[1]).run_restore_ops(session)
        session.run(iterator.initializer)
        assert session.run(key).tolist() == whole[1]

"""One iterator for training and validation: eager, in tf.function, in a TF1 session."""

import pytest
import tensorflow as tf

import tfstream
from tfstream.errors import InvalidArgumentError


def datasets():
    return tf.data.Dataset.range(5).batch(2), tf.data.Dataset.range(10, 13).batch(2)


def flat(batches):
    return [int(x) for batch in batches for x in batch]


def test_one_iterator_serves_two_datasets_in_turn():
    train, valid = datasets()
    it = tfstream.ReinitializableIterator(train.element_spec)
    for _ in range(2):
        it.initialize(train)
        assert flat(it) == [0, 1, 2, 3, 4]
        it.initialize(valid)
        assert flat(it) == [10, 11, 12]


def test_one_traced_function_serves_both():
    train, valid = datasets()
    it = tfstream.ReinitializableIterator(train.element_spec)
    traces = []

    @tf.function
    def step():
        traces.append(1)
        return tf.reduce_sum(it.get_next())

    it.initialize(train)
    assert [int(step()), int(step()), int(step())] == [1, 5, 4]
    with pytest.raises(tf.errors.OutOfRangeError):
        step()
    it.initialize(valid)
    assert int(step()) == 21
    assert len(traces) == 1


def test_ragged_elements_pass_through():
    ds = tf.data.Dataset.range(3).map(tf.range).ragged_batch(3)
    it = tfstream.ReinitializableIterator(ds.element_spec)
    it.initialize(ds)
    assert it.get_next().to_list() == [[], [0], [0, 1]]


def test_a_session_runs_one_initializer_for_each_dataset():
    with tf.Graph().as_default():
        train, valid = datasets()
        it = tfstream.ReinitializableIterator(train.element_spec)
        element = it.get_next()
        initializers = it.initialize(train), it.initialize(valid)
        with tf.compat.v1.Session() as session:
            for initializer, expected in zip(
                initializers, ([0, 1, 2, 3, 4], [10, 11, 12]), strict=True
            ):
                session.run(initializer)
                seen = []
                with pytest.raises(tf.errors.OutOfRangeError):
                    while True:
                        seen += session.run(element).tolist()
                assert seen == expected


def test_reading_before_initializing_is_an_error():
    it = tfstream.ReinitializableIterator(tf.TensorSpec([], tf.int64))
    with pytest.raises(tf.errors.FailedPreconditionError):
        it.get_next()


def test_a_dataset_of_another_structure_is_refused():
    train, _ = datasets()
    it = tfstream.ReinitializableIterator(train.element_spec)
    for other in (train.map(lambda x: (x, x)), train.map(lambda x: tf.cast(x, tf.float32))):
        with pytest.raises(InvalidArgumentError, match="the iterator was made for"):
            it.initialize(other)

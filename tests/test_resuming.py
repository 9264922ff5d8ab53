"""States of streams: every sample once, whatever was interrupted, with any number of workers."""

import itertools
import json
import math

import pytest
import scenes
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tfstream
from tfstream import ops
from tfstream.errors import InvalidArgumentError, StateError
from tfstream.order import Share

DICT = {"image": None, "label": None, "elements": "dict", "seed": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("scenes") / "packed")


@pytest.fixture(scope="module")
def data(root):
    return tfstream.open(root)


def stream(data, **arguments):
    return data.stream(**{"batch_size": 5, **DICT, **arguments})


def batches(ds, count=None):
    """The keys of each batch."""
    return [b["key"].tolist() for b in ds.take(-1 if count is None else count).as_numpy_iterator()]


@pytest.fixture(scope="module")
def unread(data):
    """A stream that nobody reads or sets back: it tells states, and takes none that is refused."""
    return stream(data)


@pytest.fixture(scope="module")
def iterations(data):
    """The batches of two iterations over three epochs each."""
    ds = stream(data, epochs=3, block_size=4)
    return [batches(ds) for _ in range(2)]


@pytest.fixture(scope="module")
def states(data):
    """The states of such a stream, by how many batches were consumed."""
    ds = stream(data, epochs=3, block_size=4)
    return lambda consumed: ds.state(batches_consumed=consumed)


@pytest.mark.parametrize(
    ("consumed", "remote"),
    [*((n, False) for n in (0, 1, 9, 10, 11, 29)), *((n, True) for n in (1, 10, 29))],
)
def test_a_stream_goes_on_at_the_very_next_batch(
    data, root, bucket, states, iterations, remote, consumed
):
    if remote:
        bucket.upload(root)
        data = tfstream.open(bucket.uri)
    whole, following = iterations
    state = states(consumed)
    resumed = stream(data, epochs=3, block_size=4, state=json.loads(json.dumps(state)))
    assert batches(resumed) == whole[consumed:]
    assert resumed.cardinality() == len(whole)  # of each iteration but that one
    assert batches(resumed) == following


def test_what_was_delivered_is_what_the_state_counts(data):
    ds = stream(data)
    iterator = iter(ds)
    taken = [next(iterator)["key"].numpy().tolist() for _ in range(4)]
    state = ds.state()  # though more was prefetched
    assert (state["epoch"], state["position"]) == (0, 20)
    rest = [batch["key"].numpy().tolist() for batch in iterator]
    assert batches(stream(data, state=state)) == rest
    assert len(taken) + len(rest) == ds.steps_per_epoch
    assert ds.state()["epoch"] == 1
    next(iter(ds))
    assert (ds.state()["epoch"], ds.state()["position"]) == (1, 5)


def test_a_stream_is_set_back_in_place_and_so_is_what_was_made_of_it(data, unread):
    ds = stream(data)
    keys = ds.map(lambda batch: batch["key"])
    whole = [batches(ds) for _ in range(3)]
    state = unread.state(batches_consumed=14)
    ds.restore(state)
    got = [[batch.tolist() for batch in keys.as_numpy_iterator()] for _ in range(2)]
    assert got == [whole[1][4:], whole[2]]
    assert keys.cardinality() == ds.steps_per_epoch


def test_a_session_goes_on_as_well(data, unread):
    expected = batches(stream(data, epochs=2))
    state = unread.state(batches_consumed=7)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        iterator = tf.compat.v1.data.make_one_shot_iterator(stream(data, epochs=2, state=state))
        element = iterator.get_next()["key"]
        got = []
        while True:
            try:
                got.append(session.run(element).tolist())
            except tf.errors.OutOfRangeError:
                break
    assert got == expected[7:]


def test_a_state_is_small_and_restoring_reads_nothing(data, unread):
    state = unread.state(batches_consumed=3)
    assert len(json.dumps(state)) < 1024
    ds = stream(data)
    ds.restore(state)
    assert ds.stats()["requests"] == 0


@pytest.mark.parametrize(
    "workers",
    [
        [(0, 1), (1, 2), (2, 3), (0, 4), (4, 6)],
        [(11, 12), (1, 3), (0, 1)],
        [(3, 5), (1, 2)],
        [(6, 7), (0, 1)],
    ],
)
def test_the_number_of_workers_may_change_at_every_restart(data, workers):
    """Of each number of workers one: what they take together, the next test makes up."""
    per_batch, steps = math.lcm(*(count for _, count in workers)), 3
    arguments = {"epochs": None, "drop_remainder": True, "lanes": 8}
    one = stream(data, batch_size=per_batch, **arguments)
    whole = list(itertools.chain(*batches(one, steps * len(workers))))
    told = stream(data, batch_size=per_batch, **arguments)
    state = None
    for number, (rank, count) in enumerate(workers, 1):
        size = per_batch // count
        ds = stream(data, batch_size=size, world=(rank, count), state=state, **arguments)
        got = list(itertools.chain(*batches(ds, steps)))
        part, whole = whole[: steps * per_batch], whole[steps * per_batch :]
        assert got == part[rank::count]
        state = ds.state(batches_consumed=steps)
        assert state == told.state(batches_consumed=steps * number)


@settings(max_examples=200, deadline=None)
@given(
    records=st.integers(0, 200),
    world=st.integers(1, 9),
    batch=st.integers(1, 9),
    policy=st.sampled_from(["keep", "drop", "pad"]),
    data=st.data(),
)
def test_shares_from_any_position_make_up_the_rest(records, world, batch, policy, data):
    position = data.draw(st.integers(0, records))
    shares = [
        Share(records, (rank, world), batch, policy == "drop", policy == "pad")
        for rank in range(world)
    ]
    taken = []
    for rank, share in enumerate(shares):
        first, left = share.first(position), share.left(position)
        taken += [rank + world * sample for sample in range(first, first + left)]
    taken.sort()
    rest, stride = records - position, world * batch
    expected = {"keep": rest, "drop": rest // stride * stride, "pad": -(-rest // stride) * stride}
    assert taken == list(range(position, position + expected[policy]))
    if policy != "keep":
        assert len({share.steps_left(position) for share in shares}) == 1


def test_padding_fills_the_last_batch_of_every_worker_alike(data):
    spec = tfstream.ImageSpec(size=(8, 8))
    for rank, real in ((1, 1), (2, 0)):  # rank 0 is as rank 1
        ds = data.stream(batch_size=5, image=spec, world=(rank, 3), pad_remainder=True)
        got = list(ds.as_numpy_iterator())
        assert len(got) == ds.steps_per_epoch == 4
        image, label, weight = got[-1]
        assert image.shape == (5, 8, 8, 3)
        assert weight.tolist() == [1.0] * real + [0.0] * (5 - real)
        assert not image[real:].any()
        assert (label[real:] == -1).all()
    ds = stream(data, batch_size=10, pad_remainder=True)
    assert list(ds.as_numpy_iterator())[-1]["present"].tolist() == [True] * 7 + [False] * 3


def test_padding_and_dropping_exclude_each_other(data):
    with pytest.raises(InvalidArgumentError, match="not both"):
        stream(data, drop_remainder=True, pad_remainder=True)
    with pytest.raises(InvalidArgumentError, match='elements="dict"'):
        data.stream(label=None, pad_remainder=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "cd"}, "another dataset.*'cd'.*'ab'"),
        ({"version": 2}, r"another version.*2.*version=2\)"),
        ({"selection": "00"}, "other records"),
        ({"seed": 4}, "seed.*state 4, stream 3.*seed=4"),
        ({"lanes": 8}, "lanes.*lanes=8"),
        ({"block_size": 2}, "block_size=2"),
        ({"shuffle": False}, "shuffle=False"),
        ({"format": 2}, "newer release"),
        ({"position": 48}, "48 is past the end.*47"),
        ({"position": -1}, "damaged"),
        ({"epoch": "0"}, "damaged"),
    ],
)
def test_a_state_that_does_not_fit_shows_both_values_and_the_way_out(data, unread, change, message):
    state = unread.state(batches_consumed=2)
    with pytest.raises(StateError, match=message):
        stream(data, state=state | change)
    with pytest.raises(StateError, match=message):
        unread.restore(state | change)


@pytest.mark.parametrize("state", [{}, [], {"format": 1}, {"format": None}])
def test_what_is_no_state_is_refused(unread, state):
    with pytest.raises(StateError, match="state"):
        unread.restore(state)


def test_a_slice_has_a_state_of_its_own(data):
    part = data.slice("camera:left")
    state = stream(part).state(batches_consumed=1)
    assert batches(stream(part, state=state)) == batches(stream(part))[1:]
    with pytest.raises(StateError, match="selection"):
        stream(data.slice("camera:right"), state=state)


def test_single_samples_are_counted_by_their_user(data):
    ds = stream(data, batch_size=None)
    with pytest.raises(InvalidArgumentError, match="batches_consumed"):
        ds.state()
    whole = [sample["key"] for sample in ds.as_numpy_iterator()]
    state = ds.state(batches_consumed=30)
    resumed = stream(data, batch_size=None, state=state)
    assert [sample["key"] for sample in resumed.as_numpy_iterator()] == whole[30:]


def test_what_is_left_of_an_epoch_and_fills_no_batch_is_dropped_as_ever(data, unread):
    ds = stream(data, batch_size=10, drop_remainder=True)
    state = unread.state(batches_consumed=9)
    assert state["position"] == 45
    ds.restore(state)
    expected = stream(data, batch_size=10, drop_remainder=True)
    batches(expected)
    assert batches(ds) == batches(expected)  # of epoch 1


@pytest.mark.parametrize("batch_size", [5, None])
@pytest.mark.parametrize("on_corrupt", ["raise", "skip"])
def test_an_iterator_given_up_at_the_end_of_its_epoch_leaves_the_next_epoch_whole(
    data, batch_size, on_corrupt
):
    ds = stream(data, batch_size=batch_size, on_corrupt=on_corrupt)
    ds.restore(ds.state(batches_consumed=ds.steps_per_epoch - 1))
    next(iter(ds))
    ops.end_iteration(tf.constant(True), stream=ds._stream)  # as its prefetching may have, or not
    assert sum(1 for _ in ds) == ds.steps_per_epoch

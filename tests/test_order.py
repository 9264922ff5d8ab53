"""The order of an epoch: pinned, a permutation, and the same for any number of workers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfstream.errors import InvalidArgumentError
from tfstream.order import Order, Share, permute, unpermute

orders = st.builds(
    Order,
    records=st.integers(1, 400),
    seed=st.integers(0, 2**63 - 1),
    lanes=st.integers(1, 40),
    block_size=st.integers(1, 50),
    shuffle=st.booleans(),
)


def test_the_exact_order_is_pinned():
    # A change here moves every stored position: it breaks resuming for everybody.
    order = Order(records=20, seed=42, lanes=4, block_size=3)
    assert order.records_at(np.arange(20), epoch=0).tolist() == PINNED_0
    assert order.records_at(np.arange(20), epoch=1).tolist() == PINNED_1
    uniform = Order(records=10**12, seed=7)
    assert uniform.records_at(np.array([0, 1, 10**12 - 1]), epoch=5).tolist() == PINNED_LARGE


def test_the_random_numbers_of_a_sample_are_pinned():
    draws = Order(records=4, seed=42).draws(np.array([0, 3]), epoch=2, count=2)
    np.testing.assert_array_equal(draws, np.array(PINNED_DRAWS, np.float32))


@given(orders, st.integers(0, 1000))
def test_every_record_comes_once_an_epoch(order, epoch):
    seen = order.records_at(np.arange(order.records), epoch)
    assert sorted(seen.tolist()) == list(range(order.records))


@given(orders, st.integers(0, 1000))
def test_a_records_position_is_known_without_looking_for_it(order, epoch):
    records = np.random.default_rng(epoch).permutation(order.records)
    positions = order.positions_of(records, epoch)
    assert order.records_at(positions, epoch).tolist() == records.tolist()


@given(orders, st.integers(0, 5))
def test_the_order_is_what_the_definition_says(order, epoch):
    """Blocks, permuted, cut into lanes, read in turn: spelt out by brute force."""
    n, lanes = order.records, order.lanes if order.shuffle else 1
    blocks = [range(b, min(b + order.block_size, n)) for b in range(0, n, order.block_size)]
    if order.shuffle:
        single = Order(len(blocks), seed=order.seed, lanes=1)
        blocks = [blocks[i] for i in single.records_at(np.arange(len(blocks)), epoch)]
    virtual = [record for block in blocks for record in block]
    cuts = [n // lanes + (lane < n % lanes) for lane in range(lanes)]
    ends = np.cumsum([0, *cuts])
    parts = [virtual[ends[lane] : ends[lane + 1]] for lane in range(lanes)]
    expected = [parts[p % lanes][p // lanes] for p in range(n)]
    assert order.records_at(np.arange(n), epoch).tolist() == expected


@given(orders, st.integers(1, 9))
def test_a_worker_reads_its_lanes_in_turn_as_tf_data_interleave_does(order, world):
    """Design, the order, 4: worker r visits L/g lanes, its j-th being (j * W + r) % L."""
    n, lanes = order.records, order.lanes
    for r in range(world):
        mine = list(range(r, n, world))
        cycle = lanes // np.gcd(lanes, world)
        queues = []
        for j in range(cycle):
            lane, first = (j * world + r) % lanes, (j * world + r) // lanes
            size = n // lanes + (lane < n % lanes)
            stride = world // np.gcd(lanes, world)
            queues.append([e * lanes + lane for e in range(first, size, stride)])
        interleaved = []
        while any(queues):
            for queue in queues:
                if queue:
                    interleaved.append(queue.pop(0))
        assert interleaved == mine


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_permutation_is_undone_by_its_inverse(size, key):
    x = np.arange(size)
    assert np.array_equal(unpermute(permute(x, size, key), size, key), x)


def test_three_records_are_shuffled_evenly():
    counts = {}
    for seed in range(600):
        sequence = tuple(Order(3, seed=seed, lanes=1).records_at(np.arange(3), 0).tolist())
        counts[sequence] = counts.get(sequence, 0) + 1
    assert len(counts) == 6
    assert min(counts.values()) > 70, counts


def test_neighbours_are_far_apart_after_a_shuffle():
    n = 100_000
    seen = Order(n, seed=3).records_at(np.arange(n), 0)
    distance = np.abs(np.diff(seen)).mean() / n
    assert 0.32 < distance < 0.346  # a uniform shuffle has 1/3


def test_epochs_and_seeds_differ():
    first = Order(1000, seed=1).records_at(np.arange(1000), 0)
    assert (first == Order(1000, seed=1).records_at(np.arange(1000), 1)).mean() < 0.02
    assert (first == Order(1000, seed=2).records_at(np.arange(1000), 0)).mean() < 0.02


@settings(max_examples=200)
@given(
    records=st.integers(0, 500),
    batch=st.integers(1, 20),
    world=st.integers(1, 9),
    drop=st.booleans(),
)
def test_the_union_of_the_workers_batches_does_not_depend_on_their_number(
    records, batch, world, drop
):
    shares = [
        Share(records, world=(r, world), batch_size=batch, drop_remainder=drop)
        for r in range(world)
    ]
    taken = [range(r, records, world)[: share.samples] for r, share in enumerate(shares)]
    for step in range(max(share.steps for share in shares)):
        union = sorted(p for mine in taken for p in mine[step * batch : (step + 1) * batch])
        full = range(step * batch * world, min((step + 1) * batch * world, records))
        assert union == list(full)
    if drop:
        assert {share.steps for share in shares} == {records // (batch * world)}
    else:
        assert sum(share.samples for share in shares) == records


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"lanes": 0}, "lanes"),
        ({"block_size": 0}, "block_size"),
        ({"block_size": "4MB"}, "block_size is a number of records"),
    ],
)
def test_an_order_out_of_range_is_refused_with_the_value(arguments, named):
    with pytest.raises(InvalidArgumentError, match=f"{named}.*{next(iter(arguments.values()))}"):
        Order(10, **arguments)


@pytest.mark.parametrize("world", [(0, 0), (2, 2), (-1, 3)])
def test_a_worker_outside_the_world_is_refused(world):
    with pytest.raises(InvalidArgumentError, match="index < count"):
        Share(10, world=world)


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(InvalidArgumentError, match="batch_size.*0"):
        Share(10, batch_size=0)


PINNED_0 = [15, 6, 5, 1, 16, 7, 12, 2, 17, 8, 13, 9, 18, 3, 14, 10, 19, 4, 0, 11]
PINNED_1 = [0, 14, 16, 18, 1, 3, 17, 19, 2, 4, 6, 9, 12, 5, 7, 10, 13, 15, 8, 11]
PINNED_LARGE = [475444641114, 5509534580, 338040607101]
PINNED_DRAWS = [[0.517795741558075, 0.3282126188278198], [0.7770372033119202, 0.833050549030304]]

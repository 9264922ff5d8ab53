"""Tests of tfstream/simulate/: what can be said without a stream."""

import dataclasses

import numpy as np
import pytest

from tfstream.errors import InvalidArgumentError
from tfstream.fetch.ahead import first_windows
from tfstream.order import Order
from tfstream.simulate import traffic
from tfstream.simulate.clock import play
from tfstream.simulate.layout import Regular
from tfstream.simulate.plan import Costs, Plan
from tfstream.simulate.shuffle import shuffle_of
from tfstream.simulate.simulation import simulate
from tfstream.simulate.traffic import Load, Sample
from tfstream.simulate.units import parse_bandwidth, parse_duration


def plan(records=2000, **arguments):
    order = Order(records, block_size=arguments.pop("block_size", 8), seed=3)
    return Plan(order, **{"window": 50, "batch_size": 10, **arguments})


def test_windows_are_those_of_a_stream():
    made = plan(window=50)
    windows = made.window_of(np.arange(2000)).tolist()
    begins = [windows.index(number) for number in range(6)]
    assert begins == [*first_windows(50), first_windows(50)[-1] + 50]
    assert made.windows(0) == windows[-1] + 1


def test_all_hosts_together_want_every_record_once():
    layout = Regular(1999, 1000, 30_000)
    made = plan(1999, world=7, cached=True, epochs=2)
    counted = traffic.count(made, layout, traffic.choose(made, layout), 0.1)
    assert [epoch.sums["records"].sum() for epoch in counted.epochs] == [1999, 1999]
    assert counted.error == 0


@pytest.mark.parametrize("cached", [False, True])
def test_some_shards_stand_for_all(cached):
    layout = Regular(40_000, 3000, 60_000)
    made = plan(40_000, world=4, workers_per_host=2, cached=cached, epochs=2)
    if cached:
        made = dataclasses.replace(made, cache_limit=40_000_000)
    everything = traffic.count(made, layout, Sample((0, 1), None, 1.0), 0.1)
    chosen = np.arange(0, len(layout.shards), 4)
    part = len(layout.within(chosen)) / layout.records
    estimated = traffic.count(made, layout, Sample((0, 1), chosen, part), 0.1)
    assert 0 < estimated.error < 0.03
    for whole, some in zip(everything.epochs, estimated.epochs, strict=True):
        for name in ("bytes", "requests"):
            assert some.mean(name) == pytest.approx(whole.mean(name), rel=0.06)
        assert some.mean("hits") == pytest.approx(
            whole.mean("hits"), rel=0.06, abs=400
        )  # of 20,000


def test_a_plan_of_a_billion_records_is_made_in_little_memory():
    layout = Regular(10**9, 100_000, 128_000_000)
    made = Plan(Order(10**9, block_size=41), world=1000, batch_size=256, window=160, epochs=1)
    sample = traffic.choose(made, layout)
    assert 0.001 < sample.fraction < 0.01
    assert len(sample.hosts) == 4
    assert len(layout.within(sample.shards)) < 10_000_000


def test_a_link_that_is_full_sends_what_it_can():
    made = plan(bandwidth=1e6, latency=0.01, window=50)
    times = play(made, [[Load(50, (), (100_000,) * 5)] * 20])
    assert times.seconds == pytest.approx(20 * 0.5 + 0.01, rel=0.02)
    assert times.link_seconds == pytest.approx(10)


def test_connections_bound_the_rate_where_the_link_does_not():
    made = plan(latency=0.05, connections=4, window=50)
    times = play(made, [[Load(50, (), (1000,) * 40)] * 10])
    assert times.seconds == pytest.approx(400 / 4 * 0.05, rel=0.05)


def test_a_workers_own_time_is_spent_on_one_thing_after_another():
    costs = Costs(start=1.0, request=0.01, lookup=0.1, index=0.05, window=0.02)
    made = plan(latency=0.5, window=10, batch_size=10, costs=costs)
    times = play(made, [[Load(10, (1, 1), (1, 1, 1))]])
    # What is sent first waits for the latency while the rest is sent; what comes is taken in turn.
    looked_up = 0.05 * 4 + 0.5 + 0.05  # the last of four is alone in the end
    indexed = 0.005 * 2 + 0.5 + 0.005 + 2 * 0.05
    fetched = 0.005 * 3 + 0.5 + 0.005 + 0.02
    assert times.batches[0] == [pytest.approx(looked_up + indexed + fetched)]
    told = simulate(dataclasses.replace(made, epochs=1), Regular(2000, 1000, 2_100_000))
    assert told.epochs[0].first_batch_seconds > 1 + times.batches[0][0]


def test_a_slow_machine_has_its_first_batch_later():
    layout = Regular(2000, 1000, 50_000)
    made = plan(latency=0.01, epochs=1)
    first = simulate(made, layout).epochs[0].first_batch_seconds
    for name in ("start", "request", "lookup", "index", "window"):
        slower = dataclasses.replace(made.costs, **{name: getattr(made.costs, name) + 0.01})
        told = simulate(dataclasses.replace(made, costs=slower), layout)
        assert told.epochs[0].first_batch_seconds > first + 0.009


def test_training_takes_its_time():
    made = plan(latency=0.001, window=50, step_seconds=0.5)
    times = play(made, [[Load(50, (), (1000,))] * 20])
    assert times.seconds == pytest.approx(100 * 0.5, rel=0.05)
    told = simulate(dataclasses.replace(made, epochs=1), Regular(2000, 1000, 50_000)).epochs[0]
    assert told.limit == "training"
    assert told.samples_per_second == pytest.approx(20, rel=0.02)


def test_what_is_cached_is_not_fetched_again():
    told = simulate(plan(cached=True, epochs=2), Regular(2000, 5000, 100_000))
    first, second = told.epochs
    assert first.bytes.mean == 2000 * 5000 + Regular(2000, 5000, 100_000).shards.indexes.sum()
    assert (second.bytes.mean, second.requests.mean) == (0, 0)
    assert second.hit_rate.mean == 1
    assert (second.limit, second.samples_per_second) == ("nothing", None)


def test_single_records_are_shuffled_uniformly_and_blocks_are_not():
    uniform = shuffle_of(Order(100_000), batch=100)
    assert uniform.quality == pytest.approx(1, rel=0.02)
    assert uniform.median_distance == pytest.approx(uniform.uniform_median, rel=0.02)
    assert uniform.runs == pytest.approx(uniform.uniform_runs, rel=0.02)
    blocks = shuffle_of(Order(100_000, block_size=50), batch=160)
    assert blocks.quality == pytest.approx(1 / 50, rel=0.2)
    assert blocks.median_distance == 16
    assert blocks.same_batch == pytest.approx(0.9 * 49 / 50, rel=0.05)
    unshuffled = shuffle_of(Order(100_000, shuffle=False), batch=100)
    assert (unshuffled.median_distance, unshuffled.runs) == (1, 1)
    assert shuffle_of(Order(1), batch=1) is None


@pytest.mark.parametrize("text", ["50", "ms", "-1s", "1h", "1e3s", ""])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InvalidArgumentError, match="--latency=.* is not a duration: "):
        parse_duration(text, "--latency")


@pytest.mark.parametrize("text", ["1GB", "0B/s", "fast", "0bit/s", "1 GB/min", ""])
def test_what_is_no_bandwidth_is_refused(text):
    with pytest.raises(InvalidArgumentError, match="is not a bandwidth: "):
        parse_bandwidth(text)


def test_more_workers_than_records_are_refused():
    with pytest.raises(InvalidArgumentError, match="3 records leave some of 4 workers"):
        plan(3, world=4)

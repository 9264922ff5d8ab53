"""Tests of tfstream/fetch/policy.py."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream.errors import InvalidArgumentError
from tfstream.fetch.policy import Policy, Progress, cost, delay, is_straggler, pace

MiB = 1 << 20
SECONDS = st.floats(0, 1e4)


@given(st.integers(1, 10_000), SECONDS, st.floats(0, 1, exclude_max=True))
def test_the_wait_is_within_the_bounds_and_the_patience(
    failures: int, left: float, uniform: float
) -> None:
    policy = Policy(first_backoff=0.5, max_backoff=20)
    waited = delay(policy, failures=failures, retry_after=None, left=left, uniform=uniform)
    assert 0 <= waited <= min(20, left)


def test_the_most_that_is_waited_doubles_until_its_cap() -> None:
    most = [
        delay(Policy(), failures=n, retry_after=None, left=1e9, uniform=1.0) for n in range(1, 12)
    ]
    assert most[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert most[-1] == 32


@given(SECONDS, st.floats(0, 1, exclude_max=True))
def test_what_the_server_asks_for_is_waited_and_the_jitter_comes_on_top(
    asked: float, uniform: float
) -> None:
    waited = delay(Policy(), failures=1, retry_after=asked, left=math.inf, uniform=uniform)
    assert asked <= waited <= asked + 0.1


def test_the_last_try_is_made_when_the_patience_ends() -> None:
    assert delay(Policy(), failures=1, retry_after=100, left=7, uniform=0.5) == 7
    assert delay(Policy(), failures=1, retry_after=100, left=-1, uniform=0.5) == 0


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_policy_of_no_sense_is_refused(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"patience must be .*\(got "):
        Policy(patience=value)


def test_a_few_requests_do_not_say_what_is_usual() -> None:
    assert pace([1.0] * 7) is None
    assert pace([1.0] * 8) == 1.0


@given(st.lists(st.floats(1e-9, 1e3), min_size=8, max_size=200))
def test_at_most_one_of_twenty_was_slower_than_the_pace(costs: list[float]) -> None:
    usual = pace(costs)
    assert usual in costs
    assert sum(each > usual for each in costs) <= len(costs) / 20


def progress(
    seconds: float, *, received: int = 0, idle: float = 0.0, length: int = 4 * MiB
) -> Progress:
    return Progress(length=length, received=received, seconds=seconds, idle=idle)


PEERS = cost(0.5, 4 * MiB)  # half a second for 4 MiB


def test_a_request_as_slow_as_its_peers_is_no_straggler() -> None:
    assert not is_straggler(Policy(), progress(1.4), PEERS)
    assert is_straggler(Policy(), progress(1.6), PEERS)


def test_a_long_request_may_take_longer() -> None:
    assert not is_straggler(Policy(), progress(1.6, length=8 * MiB), PEERS)


def test_no_request_is_a_straggler_before_its_time() -> None:
    assert not is_straggler(Policy(), progress(0.9), cost(0.001, 4 * MiB))
    assert is_straggler(Policy(), progress(1.1), cost(0.001, 4 * MiB))


def test_a_slow_request_that_is_nearly_there_is_left_alone() -> None:
    assert not is_straggler(Policy(), progress(2, received=31 * MiB // 8), PEERS)
    assert is_straggler(Policy(), progress(2, received=MiB), PEERS)


def test_a_request_that_stopped_short_of_its_end_is_a_straggler() -> None:
    assert is_straggler(Policy(), progress(2, received=31 * MiB // 8, idle=1.5), PEERS)


def test_while_nothing_is_known_only_silence_makes_a_straggler() -> None:
    assert not is_straggler(Policy(), progress(30, received=100, idle=2.9), None)
    assert is_straggler(Policy(), progress(3.1, idle=3.1), None)


@given(
    st.floats(0, 100),
    st.integers(0, 4 * MiB),
    st.floats(0, 100),
    st.none() | st.floats(1e-9, 1e-3),
)
def test_who_waits_longer_for_the_same_bytes_stays_a_straggler(
    seconds: float, received: int, idle: float, peers: float | None
) -> None:
    before = progress(seconds, received=received, idle=min(idle, seconds))
    after = progress(seconds + 1, received=received, idle=before.idle + 1)
    if is_straggler(Policy(), before, peers):
        assert is_straggler(Policy(), after, peers)

"""Tests of tfstream/fetch/metrics.py."""

from __future__ import annotations

import pytest

from tfstream.metrics import describe, rates

BEFORE = {
    "samples": 1000,
    "seconds": 5.0,
    "bytes_read": 10_000_000,
    "bytes_fetched": 5_000_000,
    "fetches": 10,
    "cache_hits": 100,
    "cache_misses": 900,
    "retries": 4,
    "hedges": 1,
    "stall_seconds": 1.5,
    "starved_seconds": 2.0,
    "repaired": 0,
    "corrupt": 2,
}


def after(**grown: float) -> dict[str, float]:
    return {name: value + grown.get(name, 0) for name, value in BEFORE.items()}


def test_a_line_says_what_was_done_in_the_interval_alone() -> None:
    done = rates(
        BEFORE,
        after(
            samples=23_180,
            bytes_fetched=1_300_000_000,
            fetches=400,
            cache_hits=971,
            cache_misses=29,
            retries=3,
            starved_seconds=0.5,
            stall_seconds=10.02,
        ),
        10.0,
    )
    assert describe(done) == (
        "2,318 samples/s · 5.0 % waiting · 130 MB/s fetched · 97.1 % cache hits · 3 retries · "
        "0 hedges · 10.0 s stalled"
    )


def test_records_that_were_not_well_are_said_where_there_are_any() -> None:
    done = rates(BEFORE, after(samples=1, fetches=1, retries=1, hedges=1, repaired=2, corrupt=1), 4)
    assert describe(done) == (
        "0.2 samples/s · 0.0 % waiting · 0 MB/s fetched · 1 retry · 1 hedge · 0.0 s stalled · "
        "2 repaired · 1 corrupt"
    )


def test_a_local_stream_has_a_short_line() -> None:
    local = {"samples": 0, "bytes_read": 0, "requests": 0, "corrupt": 0}
    done = rates(local, local | {"samples": 5000, "bytes_read": 280_000_000}, 2)
    assert describe(done) == "2,500 samples/s · 140 MB/s read"


def test_a_stream_at_rest_has_a_line_too() -> None:
    assert describe(rates({}, {}, 0)) == "0 samples/s"


def test_what_is_not_known_is_not_said() -> None:
    done = rates(BEFORE, {"samples": 2000}, 10)
    assert done.waiting is None
    assert done.cache_hit_rate is not None  # the cache was asked before
    assert rates(BEFORE, BEFORE, 1).cache_hit_rate is None


@pytest.mark.parametrize(("waited", "share"), [(0.0, 0.0), (2.5, 0.5), (7.0, 1.0)])
def test_no_more_than_all_the_time_is_waited(waited: float, share: float) -> None:
    assert rates(BEFORE, after(starved_seconds=waited), 5).waiting == share

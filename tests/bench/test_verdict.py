"""Tests of tfstream/bench/verdict.py: what follows from figures."""

from __future__ import annotations

import dataclasses

import pytest

from tfstream.bench.timing import Timing
from tfstream.bench.verdict import Setting, judge

LOCAL = Setting(
    cores=2,
    remote=False,
    cached=False,
    stored_pixels=187_500.0,
    made_pixels=224 * 224,
    floats=False,
    antialias=None,
)
CPU = {"read": 30, "parse": 20, "decode": 400, "finish": 500, "batch": 50}


def timings(*, read: float = 60_000.0, whole: float = 3_200.0) -> dict[str, Timing]:
    """Two busy cores, unless the whole is slower than that."""
    found = {name: Timing(2e6 / cpu, 2e6 / cpu, 2e6 / cpu, cpu) for name, cpu in CPU.items()}
    found["read"] = dataclasses.replace(found["read"], rate=read)
    found["memory"] = Timing(3_500, 3_400, 3_600, 550)
    found["whole"] = Timing(whole, whole, whole, 600)
    return found


def test_what_decoding_takes_is_no_part_of_augmenting():
    found = judge(timings(), LOCAL)
    assert {stage.name: stage.cpu for stage in found.stages} == {
        "read": 30, "parse": 20, "decode": 400, "augment": 100, "batch": 50,
    }  # fmt: skip
    assert found.summed == 600
    assert sum(stage.share for stage in found.stages) == pytest.approx(1)
    assert found.stages[3].rate == pytest.approx(20_000)


def test_where_the_cores_are_busy_the_stage_with_most_cpu_is_the_bottleneck():
    found = judge(timings(), LOCAL)
    assert (found.bottleneck, round(found.busy, 2)) == ("decode", 0.96)
    assert found.why == "96 % of 2 cores' time is used, 67 % of that for decode"
    assert "--max-side: stored pictures have 3.7 times the pixels" in found.advice[0]


def test_pictures_that_are_no_larger_than_needed_are_not_told_to_be_smaller():
    found = judge(timings(), dataclasses.replace(LOCAL, stored_pixels=60_000.0))
    assert found.advice[0].startswith("let other machines do it")


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        (LOCAL, "put the shards on a faster disk"),
        (dataclasses.replace(LOCAL, remote=True), "open the dataset with cache_dir"),
        (dataclasses.replace(LOCAL, remote=True, cached=True), "give stream() a larger read_ahead"),
    ],
)
def test_where_reading_is_as_slow_as_the_whole_it_is_the_bottleneck(setting, first):
    found = judge(timings(read=1_100, whole=1_000), setting)
    assert found.bottleneck == "read"
    assert found.why.startswith("reading alone is 1,100 samples/s, and all stages together")
    assert found.advice[0].startswith(first)


def test_where_neither_is_short_something_else_waits():
    found = judge(timings(whole=500), LOCAL)
    assert found.bottleneck == "waiting"
    assert "15 % of 2 cores' time is used" in found.why


def test_images_that_are_not_decoded_have_no_such_stage():
    left = {name: each for name, each in timings().items() if name != "decode"}
    assert [stage.name for stage in judge(left, LOCAL).stages] == [
        "read", "parse", "augment", "batch",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("heavy", "setting", "first"),
    [
        ("finish", dataclasses.replace(LOCAL, floats=True), "antialias=False"),
        ("finish", dataclasses.replace(LOCAL, floats=True, antialias=False), 'dtype="uint8"'),
        ("batch", dataclasses.replace(LOCAL, floats=True), 'dtype="uint8"'),
        ("parse", LOCAL, "leave out what the model does not use"),
    ],
)
def test_each_stage_has_advice_of_its_own(heavy, setting, first):
    found = {**timings(), heavy: Timing(500, 500, 500, 3000)}
    found["whole"] = Timing(600, 600, 600, 3300)
    assert first in judge(found, setting).advice[0]

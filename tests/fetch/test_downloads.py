"""Tests of tfstream/fetch/downloads.py, and of transfer.py and hedger.py through it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import itertools
import random
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_directory import GOOD, Act, MemoryDirectory, Read

from tfstream.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    ObjectChangedError,
    StorageError,
    TransientError,
)
from tfstream.fetch.counters import Counters
from tfstream.fetch.downloads import Downloads
from tfstream.fetch.policy import Policy
from tfstream.fetch.transfer import _UnderWay
from tfstream.storage.directory import Attempt, ObjectInfo

DATA = random.Random(1).randbytes(1 << 20)
QUICK = Policy(first_backoff=0.001, max_backoff=0.01, patience=30, hedge_share=0)
HEDGING = Policy(first_backoff=0.001, patience=30, hedge_after=0.08)
STALL = Act(stall=60)


def fault(text: str = "503 Service Unavailable", **attributes: float) -> TransientError:
    error = TransientError(text)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def in_turn(*acts: Act) -> Callable[[Read], Act]:
    """The acts one after the other, then all goes well."""
    left = itertools.chain(acts, itertools.repeat(GOOD))
    return lambda read: next(left)


@contextlib.contextmanager
def downloading(connections: int = 4, policy: Policy = QUICK) -> Iterator[Downloads]:
    downloads = Downloads(connections, policy)
    try:
        yield downloads
    finally:
        downloads.close()


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


ACTS = st.builds(
    Act,
    error=st.sampled_from(
        [fault(), fault("reset"), fault("stalled", stalled=0.5), fault("429", retry_after=0.001)]
    ),
    after=st.integers(0, 3000),
    seconds=st.sampled_from([0.0, 0.0, 0.001]),
)


@settings(max_examples=60)
@given(
    ranges=st.lists(
        st.tuples(st.integers(0, 50_000), st.integers(1, 3000)), min_size=1, max_size=12
    ),
    acts=st.lists(st.one_of(ACTS, st.just(GOOD)), max_size=30),
    connections=st.integers(1, 5),
)
def test_every_byte_is_right_whatever_the_faults(
    ranges: list[tuple[int, int]], acts: list[Act], connections: int
) -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(*acts))
    counters = Counters()
    with downloading(connections) as downloads:
        futures = [
            downloads.submit(directory, directory.stat("a"), offset, length, counters)
            for offset, length in ranges
        ]
        for (offset, length), future in zip(ranges, futures, strict=True):
            assert future.result(60) == DATA[offset : offset + length]
    assert directory.most <= connections
    sums = counters.snapshot()
    assert sums["fetches"] == len(directory.reads) == len(ranges) + sums["retries"]
    assert sums["bytes_fetched"] >= sum(length for _, length in ranges)


@settings(max_examples=30)
@given(
    acts=st.lists(
        st.one_of(
            ACTS,
            st.just(GOOD),
            st.builds(Act, stall=st.just(0.05), after=st.integers(0, 3000)),
            st.builds(Act, seconds=st.just(0.02)),
        ),
        max_size=20,
    )
)
def test_every_byte_is_right_when_requests_race(acts: list[Act]) -> None:
    policy = Policy(first_backoff=0.001, hedge_after=0.004, hedge_share=1)
    directory = MemoryDirectory({"a": DATA}, in_turn(*acts))
    with downloading(64, policy) as downloads:
        warm(downloads, directory)
        futures = [
            downloads.submit(directory, directory.stat("a"), 7 * i, 2000, Counters())
            for i in range(8)
        ]
        for i, future in enumerate(futures):
            assert future.result(60) == DATA[7 * i : 7 * i + 2000]


def warm(downloads: Downloads, directory: MemoryDirectory) -> None:
    """Lets the downloads learn how fast requests usually are."""
    script, directory._script = directory._script, lambda read: GOOD
    for _ in range(10):
        downloads.submit(directory, directory.stat("a"), 0, 100, Counters()).result(60)
    directory._script = script
    directory.reads.clear()


def test_downloads_start_in_the_order_in_which_they_were_submitted() -> None:
    directory = MemoryDirectory({"a": DATA})
    with downloading(1) as downloads:
        futures = [
            downloads.submit(directory, directory.stat("a"), offset, 10, Counters())
            for offset in range(100)
        ]
        concurrent.futures.wait(futures, 60)
    assert [read.offset for read in directory.reads] == list(range(100))


def test_as_many_requests_run_at_once_as_there_are_connections_and_no_more() -> None:
    act = Act(seconds=0.02, until=lambda: directory.most >= 5)
    directory = MemoryDirectory({"a": DATA}, lambda read: act)
    with downloading(5) as downloads:
        futures = [
            downloads.submit(directory, directory.stat("a"), offset, 10, Counters())
            for offset in range(40)
        ]
        concurrent.futures.wait(futures, 60)
    assert directory.most == 5


def test_no_more_threads_start_than_there_is_work_for() -> None:
    directory = MemoryDirectory({"a": DATA})
    before = threading.active_count()
    with downloading(16) as downloads:
        for offset in range(30):
            downloads.submit(directory, directory.stat("a"), offset, 10, Counters()).result(60)
            assert eventually(lambda: downloads._idle > 0)
        assert threading.active_count() - before <= 3


def test_work_that_comes_at_once_does_not_wait_for_the_one_thread_that_is_idle() -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: STALL if read.offset else GOOD)
    with downloading(2) as downloads:
        downloads.submit(directory, directory.stat("a"), 0, 10, Counters()).result(60)
        for _ in range(20):
            stalled = downloads.submit(directory, directory.stat("a"), 1, 10, Counters())
            other = downloads.submit(directory, directory.stat("a"), 0, 10, Counters())
            assert other.result(60) == DATA[:10]
            stalled.cancel()


def test_a_retry_asks_only_for_what_has_not_come() -> None:
    act = Act(error=fault("reset by peer"), after=600)
    directory = MemoryDirectory({"a": DATA}, in_turn(act, act))
    counters = Counters()
    with downloading() as downloads:
        future = downloads.submit(directory, directory.stat("a"), 50, 1500, counters)
        assert future.result(60) == DATA[50:1550]
    assert [(read.offset, read.length) for read in directory.reads] == [
        (50, 1500),
        (650, 900),
        (1250, 300),
    ]
    sums = counters.snapshot()
    assert (sums["bytes_fetched"], sums["fetches"], sums["retries"]) == (1500, 3, 2)


def test_bytes_that_all_came_with_a_fault_are_not_trusted() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(Act(error=fault("bad end"), after=900)))
    with downloading() as downloads:
        future = downloads.submit(directory, directory.stat("a"), 0, 900, Counters())
        assert future.result(60) == DATA[:900]
    assert [(read.offset, read.length) for read in directory.reads] == [(0, 900), (0, 900)]


def test_the_time_that_the_server_asks_for_is_waited() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(Act(error=fault(retry_after=0.3))))
    with downloading() as downloads:
        downloads.submit(directory, directory.stat("a"), 0, 10, Counters()).result(60)
    first, second = directory.reads
    assert 0.3 <= second.at - first.at < 30


def test_stalls_are_added_up() -> None:
    acts = [Act(error=fault("no byte", stalled=10.0)), Act(error=fault("no byte", stalled=2.5))]
    directory, counters = MemoryDirectory({"a": DATA}, in_turn(*acts)), Counters()
    with downloading() as downloads:
        downloads.submit(directory, directory.stat("a"), 0, 10, counters).result(60)
    assert counters.snapshot()["stall_seconds"] == 12.5


def test_when_the_patience_ends_one_error_says_what_was_tried() -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: Act(error=fault("503 Slow down.")))
    policy = Policy(first_backoff=0.001, max_backoff=0.02, patience=0.2)
    with downloading(policy=policy) as downloads:
        began = time.monotonic()
        future = downloads.submit(directory, directory.stat("a"), 4096, 100, Counters())
        with pytest.raises(
            StorageError,
            match=r"memory://bucket/a, bytes 4096 to 4196: not one byte came for 0\.2 s, in \d+ "
            r"tries; the last fault: 503 Slow down\. .*start again",
        ) as caught:
            future.result(60)
        assert not isinstance(caught.value, TransientError)
        assert 0.2 <= time.monotonic() - began < 30
    assert f"in {len(directory.reads)} tries" in str(caught.value)


def test_patience_lasts_as_long_as_bytes_come() -> None:
    act = Act(error=fault(), after=1, seconds=0.02)
    directory = MemoryDirectory({"a": DATA}, lambda read: act if read.length > 1 else GOOD)
    with downloading(policy=Policy(first_backoff=0.001, patience=0.2)) as downloads:
        future = downloads.submit(directory, directory.stat("a"), 0, 30, Counters())
        assert future.result(60) == DATA[:30]


def test_faults_that_last_are_warned_of_once_for_all_downloads(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfstream.fetch.transfer._QUIET_SECONDS", 0.05)
    directory = MemoryDirectory({"a": DATA}, lambda read: Act(error=fault("503 Slow down.")))
    policy = Policy(first_backoff=0.001, max_backoff=0.01, patience=0.3)
    with downloading(policy=policy) as downloads:
        futures = [
            downloads.submit(directory, directory.stat("a"), 0, 100, Counters()) for _ in range(4)
        ]
        concurrent.futures.wait(futures, 60)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tfstream", "WARNING")
    assert "memory://bucket/a, bytes 0 to 100: not one byte came for 0 s" in record.getMessage()
    assert "503 Slow down. It is tried for" in record.getMessage()


@pytest.mark.parametrize("error", [AccessDeniedError("no role"), ObjectChangedError("overwritten")])
def test_what_is_final_fails_at_once(error: StorageError) -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: Act(error=error))
    with downloading() as downloads:
        future = downloads.submit(directory, directory.stat("a"), 0, 10, Counters())
        assert type(future.exception(10)) is type(error)
    assert len(directory.reads) == 1


def test_an_object_that_was_overwritten_is_final() -> None:
    directory = MemoryDirectory({"a": DATA})
    info = directory.stat("a")
    directory.objects["a"] = DATA[::-1]
    with downloading() as downloads, pytest.raises(ObjectChangedError, match=r"bucket/a"):
        downloads.submit(directory, info, 0, 10, Counters()).result(60)


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, 0), (1 << 20, 1), (10, 1 << 20)])
def test_a_range_outside_the_object_is_refused(offset: int, length: int) -> None:
    directory = MemoryDirectory({"a": DATA})
    with downloading() as downloads, pytest.raises(InvalidArgumentError, match=r"a has 1048576"):
        downloads.submit(directory, directory.stat("a"), offset, length, Counters())


def test_a_hedge_overtakes_a_request_that_stalls_and_the_loser_is_cut_short() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(Act(stall=600, after=300)))
    counters = Counters()
    with downloading(8, HEDGING) as downloads:
        warm(downloads, directory)
        future = downloads.submit(directory, directory.stat("a"), 100, 1000, counters)
        assert future.result(60) == DATA[100:1100]
        assert eventually(lambda: directory.running == 0)
    assert directory.cut == 1
    assert [(read.offset, read.length) for read in directory.reads] == [(100, 1000), (400, 700)]
    # Who has won is counted behind the result.
    assert eventually(
        lambda: {"fetches": 2, "hedges_won": 1}.items() <= counters.snapshot().items()
    )
    sums = counters.snapshot()
    assert (sums["hedges"], sums["retries"]) == (1, 0)
    assert sums["bytes_fetched"] == 1000
    assert 0.05 < sums["stall_seconds"] < 60


def test_before_peers_are_known_a_request_without_a_byte_is_hedged_too() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(STALL))
    with downloading(8, HEDGING) as downloads:
        future = downloads.submit(directory, directory.stat("a"), 0, 1000, Counters())
        assert future.result(60) == DATA[:1000]


def test_a_request_that_beats_its_hedge_wins() -> None:
    slow = Act(until=lambda: len(directory.reads) == 2)
    directory = MemoryDirectory({"a": DATA}, in_turn(slow, STALL))
    counters = Counters()
    with downloading(64, HEDGING) as downloads:
        warm(downloads, directory)
        future = downloads.submit(directory, directory.stat("a"), 0, 1000, counters)
        assert future.result(60) == DATA[:1000]
        assert eventually(lambda: directory.running == 0)
    assert (len(directory.reads), directory.cut) == (2, 1)
    assert counters.snapshot()["hedges_won"] == 0


def test_a_request_as_slow_as_its_peers_is_not_hedged() -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: Act(seconds=0.1))
    policy = Policy(hedge_after=0.01, hedge_share=1, hedge_factor=30)  # on a busy machine, too
    with downloading(64, policy) as downloads:
        futures = [
            downloads.submit(directory, directory.stat("a"), 0, 10, Counters()) for _ in range(16)
        ]
        concurrent.futures.wait(futures, 60)
        before = len(directory.reads)
        downloads.submit(directory, directory.stat("a"), 0, 10, Counters()).result(60)
    assert len(directory.reads) == before + 1


def test_one_stall_after_the_other_is_overtaken() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(*[STALL, GOOD] * 4))
    with downloading(8, Policy(hedge_after=0.02, hedge_share=1)) as downloads:
        warm(downloads, directory)
        for _ in range(4):
            future = downloads.submit(directory, directory.stat("a"), 0, 1000, Counters())
            assert future.result(60) == DATA[:1000]


def first_or_hedge(first: Act, hedge: Act) -> Callable[[Read], Act]:
    return lambda read: hedge if threading.current_thread().name == "tfstream-hedge" else first


def test_a_hedge_that_fails_does_no_harm() -> None:
    slow = Act(until=lambda: len(directory.reads) == 2 and directory.running == 1)
    acts = in_turn(slow, Act(error=AccessDeniedError("no role")))
    directory = MemoryDirectory({"a": DATA}, acts)
    with downloading(8, HEDGING) as downloads:
        warm(downloads, directory)
        future = downloads.submit(directory, directory.stat("a"), 0, 1000, Counters())
        assert future.result(60) == DATA[:1000]
    assert len(directory.reads) == 2


def test_hedges_stay_a_small_share_when_all_is_slow() -> None:
    directory = MemoryDirectory({"a": DATA})
    counters = Counters()
    policy = Policy(hedge_after=0.01)
    with downloading(16, policy) as downloads:
        warm(downloads, directory)
        directory._script = first_or_hedge(Act(seconds=0.1), GOOD)
        futures = [
            downloads.submit(directory, directory.stat("a"), offset, 10, counters)
            for offset in range(160)
        ]
        assert not concurrent.futures.wait(futures, 60).not_done
    # Two in a burst at first, for 16 connections, and then one for ten requests that did well.
    assert 0 < counters.snapshot()["hedges"] <= 2 + (160 + 18) // 10


def test_hedges_have_few_connections_of_their_own() -> None:
    directory = MemoryDirectory({"a": DATA})
    with downloading(16, Policy(hedge_after=0.01, hedge_share=1)) as downloads:
        warm(downloads, directory)
        # What is quick pays for more hedges of what is slow than there are connections for.
        directory._script = lambda read: first_or_hedge(
            Act(seconds=0.02 if read.offset % 8 else 0.5), STALL
        )(read)
        futures = [
            downloads.submit(directory, directory.stat("a"), offset, 10, Counters())
            for offset in range(64)
        ]
        assert not concurrent.futures.wait(futures, 60).not_done
    assert 16 < directory.most <= 16 + 2


def test_without_a_share_nothing_is_hedged_and_nobody_watches() -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: Act(seconds=0.1))
    counters = Counters()
    with downloading(2, Policy(hedge_after=0.01, hedge_share=0)) as downloads:
        downloads.submit(directory, directory.stat("a"), 0, 10, counters).result(60)
    assert counters.snapshot()["hedges"] == 0


def test_closing_cuts_short_what_runs_and_fails_what_waits() -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: STALL)
    downloads = Downloads(2, QUICK)
    futures = [
        downloads.submit(directory, directory.stat("a"), offset, 10, Counters())
        for offset in range(6)
    ]
    gate = threading.Event()
    futures.append(downloads.call(gate.wait))
    assert eventually(lambda: directory.running == 2)
    downloads.close()
    downloads.close()
    for future in futures:
        with pytest.raises(StorageError, match=r"given up"):
            future.result(0)
    assert eventually(lambda: directory.running == 0)
    assert directory.cut == 2
    gate.set()


def test_closing_ends_a_wait_for_the_next_try() -> None:
    directory = MemoryDirectory({"a": DATA}, lambda read: Act(error=fault(retry_after=100)))
    before = threading.active_count()
    downloads = Downloads(2, QUICK)
    future = downloads.submit(directory, directory.stat("a"), 0, 10, Counters())
    assert eventually(lambda: len(directory.reads) == 1)
    downloads.close()
    assert isinstance(future.exception(0), StorageError)
    assert eventually(lambda: threading.active_count() <= before)


def test_after_closing_everything_fails() -> None:
    directory = MemoryDirectory({"a": DATA})
    downloads = Downloads(2, QUICK)
    downloads.close()
    future = downloads.submit(directory, directory.stat("a"), 0, 10, Counters())
    with pytest.raises(StorageError, match=r"Open the dataset again"):
        future.result(0)
    assert isinstance(downloads.call(lambda: 1).exception(0), StorageError)


def test_a_download_that_is_cancelled_while_it_waits_is_never_started() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(Act(seconds=0.1)))
    with downloading(1) as downloads:
        first, second, third = (
            downloads.submit(directory, directory.stat("a"), offset, 10, Counters())
            for offset in range(3)
        )
        assert second.cancel()
        assert third.result(60) == DATA[2:12]
        assert first.result(0) == DATA[:10]
    assert [read.offset for read in directory.reads] == [0, 2]


def test_a_download_that_is_cancelled_while_it_runs_is_cut_short() -> None:
    directory = MemoryDirectory({"a": DATA}, in_turn(STALL))
    with downloading(1) as downloads:
        future = downloads.submit(directory, directory.stat("a"), 0, 10, Counters())
        assert eventually(lambda: directory.running == 1)
        assert future.cancel()
        assert concurrent.futures.wait([future], 1).done == {future}
        other = downloads.submit(directory, directory.stat("a"), 5, 10, Counters())
        assert other.result(60) == DATA[5:15]
    assert directory.cut == 1
    assert len(directory.reads) == 2


def test_a_function_is_called_in_its_turn_and_its_error_is_passed_on() -> None:
    with downloading(1) as downloads:
        first = downloads.call(lambda: threading.current_thread().name)
        second = downloads.call(lambda: 1 // 0)
        assert first.result(60) == "tfstream-fetch"
        with pytest.raises(ZeroDivisionError):
            second.result(60)


def test_the_error_of_a_bug_says_where_it_is() -> None:
    def broken(read: Read) -> Act:
        raise ZeroDivisionError

    directory = MemoryDirectory({"a": DATA}, broken)
    with downloading(1) as downloads:
        error = downloads.submit(directory, directory.stat("a"), 0, 10, Counters()).exception(10)
    assert isinstance(error, ZeroDivisionError)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "broken"


def test_a_request_that_is_done_is_left_alone() -> None:
    attempts: list[Attempt] = []

    class Noting(MemoryDirectory):
        def read_range(
            self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
        ) -> None:
            attempts.append(attempt)
            super().read_range(info, offset, buffer, attempt)

    directory = Noting({"a": DATA}, in_turn(Act(error=fault()), GOOD))
    with downloading(1) as downloads:
        downloads.submit(directory, directory.stat("a"), 0, 10, Counters()).result(60)
    # Their connections may serve others by now.
    assert [attempt.cancelled for attempt in attempts] == [False, False]


def test_a_request_that_begins_after_the_end_is_cut_short() -> None:
    future: concurrent.futures.Future[memoryview] = concurrent.futures.Future()
    under_way, attempt = _UnderWay(), Attempt()
    future.add_done_callback(under_way.stop)
    future.cancel()
    under_way.enter(attempt)
    assert attempt.cancelled
    under_way.sleep(60)


def test_bytes_that_nobody_holds_are_freed_without_the_garbage_collector() -> None:
    reset, denied = Act(error=fault("reset"), after=10), Act(error=AccessDeniedError("no role"))
    directory = MemoryDirectory({"a": DATA}, in_turn(GOOD, reset, GOOD, denied, GOOD))
    kept: list[weakref.ref[object]] = []
    gc.collect()
    gc.disable()
    try:
        # Whoever watches for stragglers looks at them once, and naps for long.
        with downloading(1, Policy(first_backoff=0.001, hedge_after=40)) as downloads:
            for _ in range(3):
                future = downloads.submit(directory, directory.stat("a"), 0, 1000, Counters())
                kept.append(weakref.ref(future))
                if future.exception(10) is None:
                    kept.append(weakref.ref(future.result().obj))
                del future
            assert len(kept) == 5
            assert eventually(lambda: all(each() is None for each in kept))
    finally:
        gc.enable()


def test_the_interpreter_ends_while_downloads_are_blocked() -> None:
    program = (
        "from memory_directory import *\n"
        "from tfstream.fetch.downloads import Downloads\n"
        "from tfstream.fetch.counters import Counters\n"
        "d = MemoryDirectory({'a': bytes(9)}, lambda read: Act(stall=60))\n"
        "downloads = Downloads(3)\n"
        "futures = [downloads.submit(d, d.stat('a'), 0, 9, Counters()) for _ in range(9)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(entry for entry in sys.path if entry)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_counters_add_up_over_threads_and_refuse_other_names() -> None:
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.add(fetches=1, retries=2) for _ in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot()["fetches"] == 4000
    assert counters.snapshot()["retries"] == 8000
    with pytest.raises(KeyError):
        counters.add(fetched=1)

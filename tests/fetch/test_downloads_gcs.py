"""Tests of Downloads over HTTP: the storage emulator, behind a proxy that makes faults."""

from __future__ import annotations

import concurrent.futures
import random
import time

import pytest
from emulator import Bucket

from tfstream.errors import AccessDeniedError, ObjectChangedError, StorageError
from tfstream.fetch.counters import Counters
from tfstream.fetch.downloads import Downloads
from tfstream.fetch.policy import Policy
from tfstream.storage.directory import ObjectInfo
from tfstream.storage.gcs import GcsDirectory

DATA = random.Random(2).randbytes(3 << 20)
PIECE = 64 << 10


def directory(bucket: Bucket, *, stall: float = 10.0) -> tuple[GcsDirectory, ObjectInfo]:
    bucket.put("a", DATA)
    made = GcsDirectory(bucket.uri, stall=stall)
    return made, made.stat("a")


def fetch_all(
    downloads: Downloads, made: GcsDirectory, info: ObjectInfo, counters: Counters
) -> bytes:
    futures = [
        downloads.submit(made, info, offset, min(PIECE, info.size - offset), counters)
        for offset in range(0, info.size, PIECE)
    ]
    return b"".join(future.result(120) for future in futures)


def test_every_byte_is_right_through_all_faults_and_bytes_are_fetched_once(bucket: Bucket) -> None:
    made, info = directory(bucket, stall=0.5)
    faults = ("reset", "truncate", "break", "503", "429", "500", "stall", "silence", "lost")
    bucket.proxy.inject(0.3, faults, seed=3)
    bucket.proxy.reset_stats()
    counters = Counters()
    downloads = Downloads(16, Policy(first_backoff=0.01, max_backoff=0.2, hedge_share=0))
    try:
        for _ in range(3):
            assert fetch_all(downloads, made, info, counters) == DATA
    finally:
        downloads.close()
    sums, seen = counters.snapshot(), bucket.proxy.stats()
    assert sum(seen["faults"].values()) >= 20
    # Not each is a retry: what meets a reset on a connection that was used before is sent again.
    assert sum(seen["faults"].values()) / 2 <= sums["retries"] <= sum(seen["faults"].values())
    assert sums["stall_seconds"] >= 0.5 * (
        seen["faults"].get("stall", 0) + seen["faults"].get("silence", 0)
    )
    # A retry goes on where the one before it broke off; what a reset had on its way is lost.
    assert 3 * info.size <= sums["bytes_fetched"] <= 1.05 * 3 * info.size


@pytest.mark.parametrize("fault", ["silence", "stall"])
def test_a_hedge_overtakes_a_server_that_has_gone_silent(bucket: Bucket, fault: str) -> None:
    bucket.proxy.stall_seconds = 600
    made, info = directory(bucket, stall=600)
    downloads = Downloads(8, Policy(hedge_after=0.2))
    try:
        assert fetch_all(downloads, made, info, Counters()) == DATA
        bucket.proxy.script(fault, match="alt=media")
        counters = Counters()
        future = downloads.submit(made, info, 100, 200_000, counters)
        assert future.result(60) == DATA[100:200_100]
        until = time.monotonic() + 60
        sums = counters.snapshot()
        # The loser ends, cut short long before its time; who has won is counted behind the result.
        while (sums["fetches"] < 2 or sums["hedges_won"] < 1) and time.monotonic() < until:
            time.sleep(0.01)
            sums = counters.snapshot()
        assert (sums["fetches"], sums["hedges_won"], sums["retries"]) == (2, 1, 0)
    finally:
        downloads.close()


def test_what_is_final_is_asked_once(bucket: Bucket) -> None:
    made, info = directory(bucket)
    downloads = Downloads(4)
    try:
        bucket.proxy.script("403", match="alt=media")
        bucket.proxy.reset_stats()
        with pytest.raises(AccessDeniedError, match=r"objectViewer"):
            downloads.submit(made, info, 0, 10, Counters()).result(60)
        assert bucket.proxy.stats()["downloads"] == 1
        bucket.put("a", DATA[::-1])
        with pytest.raises(ObjectChangedError, match=r"data/a"):
            downloads.submit(made, info, 0, 10, Counters()).result(60)
    finally:
        downloads.close()


def test_closing_does_not_wait_for_a_silent_server(bucket: Bucket) -> None:
    bucket.proxy.stall_seconds = 600
    made, info = directory(bucket, stall=600)
    bucket.proxy.script("silence", count=4, match="alt=media")
    downloads = Downloads(4)
    futures = [downloads.submit(made, info, offset, 10, Counters()) for offset in range(9)]
    time.sleep(0.3)
    downloads.close()
    done, _ = concurrent.futures.wait(futures, 60)
    assert len(done) == 9
    assert sum(isinstance(future.exception(), StorageError) for future in futures) == 9

"""What is predicted, beside what streams from the storage emulator do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tiny_dataset import write_dataset

import tfstream
from tfstream.fetch.downloads import Downloads
from tfstream.fetch.fetcher import fetcher
from tfstream.fetch.policy import Policy
from tfstream.order import Order
from tfstream.simulate import sources
from tfstream.simulate.plan import Plan
from tfstream.simulate.simulation import simulate
from tfstream.v1.annotated_image_pb2 import AnnotatedImage

RECORDS, SHARDS = 600, 24


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Records of 0.2 to 40 kB, in shards of 25."""
    sizes = np.random.default_rng(3).lognormal(8.5, 0.9, RECORDS).clip(200, 40_000).astype(int)
    images = [
        AnnotatedImage(key=f"{n}", encoded=bytes(size), format="png", width=9 + n % 5, height=9)
        for n, size in enumerate(sizes.tolist())
    ]
    each = RECORDS // SHARDS
    root = tmp_path_factory.mktemp("simulated") / "packed"
    write_dataset(root, {"train": [images[at : at + each] for at in range(0, RECORDS, each)]}, {})
    return root


@pytest.fixture(autouse=True)
def no_request_is_sent_twice(monkeypatch):
    """A second one beside what is slow, which on a busy machine may be any."""
    patient = Downloads(32, Policy(hedge_share=0))
    monkeypatch.setitem(fetcher()._downloads, 32, patient)
    yield
    patient.close()


def read_again(log):
    """Requests for indexes that had been asked for before, and their bytes."""
    known, requests, size = set(), 0, 0
    for each in log:
        if ".parquet?" not in each.path or "alt=media" not in each.path:
            continue
        if each.path in known:
            begin, end = re.fullmatch(r"bytes=(\d+)-(\d+)", each.range).groups()
            requests, size = requests + 1, size + int(end) - int(begin) + 1
        known.add(each.path)
    return requests, size


def run(data, proxy, *, workers, world, epochs, **arguments):
    """The counters of each epoch, over the given workers in step; their streams are one host's.

    Two windows that begin together may both find that they do not know an index, and the more so
    the longer either of them is kept waiting: what the log says was read again is left out.
    """
    streams = [
        data.stream(
            image=tfstream.RAW, elements="dict", label=None, world=(worker, world), **arguments
        )
        for worker in workers
    ]
    names = ("bytes_fetched", "fetches", "cache_hits", "cache_misses")
    proxy.reset_stats()
    before = dict.fromkeys(names, 0.0)
    told = []
    for _ in range(epochs):
        for _ in zip(*streams, strict=True):
            pass
        fetcher()._writer.flush()
        now = {name: sum(stream.stats()[name] for stream in streams) for name in names}
        requests, size = read_again(proxy.log)
        now["fetches"] -= requests
        now["bytes_fetched"] -= size
        told.append({name: now[name] - before[name] for name in names})
        before = now
    return told


CASES = {
    "no cache, blocks as they are": {},
    "no cache, single records": {"block_size": 1},
    "no cache, blocks of 10, 3 workers": {"block_size": 10, "world": 3},
    "storage order": {"shuffle": False},
    "single records, cached": {"block_size": 1, "cached": True, "world": 2},
    "blocks, cached, 4 workers": {"block_size": 8, "cached": True, "world": 4, "lanes": 4},
    "2 workers share a cache": {"block_size": 8, "cached": True, "world": 4, "share": 2},
    "a slice": {"query": "width < 11", "block_size": 4, "world": 2},
    "a slice, cached": {"query": "width < 11", "block_size": 1, "cached": True, "world": 2},
    "a cache too small": {
        "block_size": 25, "cached": True, "limit": 1_800_000, "lanes": 1, "read_ahead": 160_000,
    },
    "a cache too small, storage order": {
        "shuffle": False, "cached": True, "limit": 1_800_000, "read_ahead": 160_000,
    },
}  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES)
def test_bytes_requests_and_hits_are_within_a_tenth(bucket, packed, tmp_path, case):
    told = {"block_size": None, "shuffle": True, "world": 1, "lanes": 16, "read_ahead": 600_000}
    told = {**told, "cached": False, "limit": None, "share": 1, "query": "", **CASES[case]}
    epochs, batch = 3, 10
    bucket.upload(packed)
    bucket.proxy.latency = 0.01
    data = tfstream.open(
        bucket.uri,
        cache_dir=tmp_path if told["cached"] else None,
        cache_limit=told["limit"],
    )
    chosen = data.slice(told["query"]) if told["query"] else data
    layout = sources.layout_of(chosen)
    block = told["block_size"] or sources.block_of(layout, told["lanes"])
    plan = Plan(
        Order(len(chosen), seed=4, lanes=told["lanes"], block_size=block, shuffle=told["shuffle"]),
        world=told["world"],
        workers_per_host=told["share"],
        batch_size=batch,
        window=sources.window_of(layout, told["read_ahead"]),
        latency=0.002,
        cached=told["cached"],
        cache_limit=told["limit"],
        epochs=epochs,
    )
    predicted = simulate(plan, layout, hosts=[0])
    assert predicted.fraction == 1
    data = tfstream.open(  # which knows no index yet
        bucket.uri, cache_dir=tmp_path if told["cached"] else None, cache_limit=told["limit"]
    )
    measured = run(
        data.slice(told["query"]) if told["query"] else data,
        bucket.proxy,
        workers=range(told["share"]),
        world=told["world"],
        epochs=epochs,
        batch_size=batch,
        seed=4,
        shuffle=told["shuffle"],
        lanes=told["lanes"],
        block_size=block,
        read_ahead=told["read_ahead"],
    )
    if told["query"] and told["cached"]:  # which has read all indexes, and left them in the cache
        measured[0]["fetches"] += SHARDS
        measured[0]["bytes_fetched"] += int(layout.shards.indexes.sum())
    for here, there in zip(predicted.epochs, measured, strict=True):
        # Which of several windows under way meets what the others fetch is left to chance.
        assert here.bytes.mean == pytest.approx(there["bytes_fetched"], rel=0.1, abs=20_000)
        assert here.requests.mean == pytest.approx(there["fetches"], rel=0.1, abs=4)
        if here.hit_rate is not None:
            hits = there["cache_hits"] / (there["cache_hits"] + there["cache_misses"])
            assert here.hit_rate.mean == pytest.approx(hits, rel=0.1, abs=0.03)
    for name, amount in (("bytes_fetched", "bytes"), ("fetches", "requests")):
        mine = sum(getattr(epoch, amount).mean for epoch in predicted.epochs)
        assert mine == pytest.approx(sum(epoch[name] for epoch in measured), rel=0.1)

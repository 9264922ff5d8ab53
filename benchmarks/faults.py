"""Many faults, and whether the samples are the same nevertheless; for remote.py.

Needs tests/fault_proxy.py, as it lies beside in the source tree.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import object_server

import tfstream

PROXY = Path(__file__).resolve().parent.parent / "tests" / "fault_proxy.py"
KINDS = ("reset", "lost", "truncate", "break", "stall", "silence", "503", "429", "500", "408")
SILENCE_SECONDS = 0.3  # of a stall, before the connection ends
PROBABILITY = 0.5
SHARDS = "tfrecord.*alt=media"
BURST_SHARE = 200  # one in so many faults is of a burst: 503 in a row, with Retry-After


class Proxy:
    """The proxy's process, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def set(self, **what: Any) -> None:
        """Changes its settings."""
        self._ask("POST", "/_proxy/set", json.dumps(what))

    def faults(self) -> dict[str, int]:
        """Those that it has made."""
        found: dict[str, int] = json.loads(self._ask("GET", "/_proxy/stats"))["faults"]
        return found

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection(self.url.rpartition("//")[2], timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            return connection.getresponse().read()


@contextlib.contextmanager
def proxying(upstream: str) -> Iterator[Proxy]:
    """Starts a proxy before a server, and has this process take it for Cloud Storage."""
    command = [sys.executable, str(PROXY), "--upstream", upstream]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("a process without pipes")
            proxy = Proxy(process.stdout.readline().strip())
            with object_server.as_storage(proxy.url):
                yield proxy
        finally:
            process.kill()


def compare(
    upstream: str, uri: Callable[[], str], cache: Callable[[], str], *, faults: int
) -> None:
    """Makes passes with faults until there were enough, each beside one without; prints.

    Every pass has an order of its own, and every second one a cold cache. Records are fetched
    singly, so that there are many requests.

    Args:
        upstream: URL of the server.
        uri: Gives the dataset a new name each time.
        cache: Makes a new cache directory.
        faults: How many.
    """
    wrong = samples = 0
    longest = 0.0
    calm_seconds = 0.0
    begin = time.perf_counter()
    with proxying(upstream) as proxy:
        proxy.set(stall_seconds=SILENCE_SECONDS)
        for seed in itertools.count():
            done = sum(proxy.faults().values())
            if done >= faults:
                break
            started = time.perf_counter()
            expected = fingerprints(uri(), None, seed)
            calm_seconds += time.perf_counter() - started
            left = max(1, faults - done)
            # Any request may fail, those for the manifest and the indexes included.
            proxy.set(
                inject={
                    "probability": PROBABILITY,
                    "faults": KINDS,
                    "seed": seed,
                    "match": "GET",
                    "limit": left,
                },
                script={
                    "fault": "503",
                    "count": min(-(-faults // BURST_SHARE), left),
                    "match": SHARDS,
                    "retry_after": 1,
                },
            )
            started = time.perf_counter()
            found = fingerprints(uri(), cache() if seed % 2 else None, seed)
            longest = max(longest, time.perf_counter() - started)
            proxy.set(calm=True)
            samples += len(expected)
            if len(found) != len(expected):
                wrong += 1
            wrong += sum(a != b for a, b in zip(expected, found, strict=False))
        made = proxy.faults()
    digest = hashlib.sha256(repr(expected).encode()).hexdigest()[:16]
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(made.items()))
    print(
        f"{sum(made.values())} faults ({kinds}) over {seed} passes of {samples // seed} samples: "
        f"{wrong} samples differ; the last pass is {digest} with and without\n"
        f"{time.perf_counter() - begin:.0f} s, of which {calm_seconds:.0f} s without faults; the "
        f"longest pass took {longest:.0f} s"
    )
    if wrong:
        raise SystemExit("the samples are not those of the passes without faults")


def fingerprints(uri: str, cache_dir: str | None, seed: int) -> list[tuple[str, int]]:
    """Key and CRC of the stored bytes of each sample, in the order of the stream."""
    data = tfstream.open(uri, cache_dir=cache_dir).split("train")
    ds = data.stream(
        batch_size=None,
        image=tfstream.RAW,
        elements="dict",
        seed=seed,
        block_size=1,
        read_ahead="16MB",
    )
    return [
        (row["key"].decode(), google_crc32c.value(row["image"])) for row in ds.as_numpy_iterator()
    ]

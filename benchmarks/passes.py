"""A pass over a dataset in a process of its own, for remote.py.

    python benchmarks/passes.py '{"uri": ..., ...}'

It imports, prints a line, waits for one, makes the pass and prints what came of it as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Pass:
    """What is read, and how.

    Attributes:
        uri: The dataset; its training split is read.
        cache_dir: None: nothing is kept.
        cache_limit: Bytes; None: no limit.
        world: See `PackedDataset.stream`.
        decode: To 224x224 pixels; otherwise the bytes as they are stored.
        read_ahead: Bytes.
        batches: After which it ends; None: at the end of the epoch.
    """

    uri: str
    cache_dir: str | None = None
    cache_limit: int | None = None
    world: tuple[int, int] = (0, 1)
    decode: bool = False
    read_ahead: int = 64_000_000
    batches: int | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a pass was like.

    Attributes:
        samples: Delivered.
        first: Seconds from `tfstream.open` to the first batch.
        seconds: To the last.
        imports: Seconds that the first `open` and `stream` would have taken beside that, for
            modules which only they need; TensorFlow is not among these.
        cpu: Seconds of all its threads, to the end.
        stats: Of the stream.
    """

    samples: int
    first: float
    seconds: float
    imports: float
    cpu: float
    stats: dict[str, float]


class Running:
    """A pass in another process."""

    def __init__(self, what: Pass) -> None:
        command = [sys.executable, __file__, json.dumps(dataclasses.asdict(what))]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def wait_ready(self) -> None:
        """Waits until all is imported."""
        self._line()

    def go(self) -> None:
        """Lets it begin."""
        if self.process.stdin is None:
            raise RuntimeError("a process without pipes")
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def outcome(self) -> Outcome:
        """Waits for its end."""
        return Outcome(**json.loads(self._line()))

    def _line(self) -> str:
        if self.process.stdout is None:
            raise RuntimeError("a process without pipes")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a pass ended with {self.process.wait()}")
        return line


@contextlib.contextmanager
def running(some: Sequence[Pass]) -> Iterator[list[Running]]:
    """Starts passes and has them begin together."""
    started: list[Running] = []
    try:
        started += map(Running, some)
        for each in started:
            each.wait_ready()
        for each in started:
            each.go()
        yield started
    finally:
        for each in started:
            each.process.kill()
            each.process.communicate()


def run(*some: Pass) -> list[Outcome]:
    """Makes passes, all at once."""
    with running(some) as started:
        return [each.outcome() for each in started]


def main() -> None:
    """Makes one pass."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    import tfstream

    begin = time.perf_counter()
    import pyarrow.parquet  # noqa: F401

    import tfstream.cache.pages
    import tfstream.storage.gcs
    import tfstream.stream

    imports = time.perf_counter() - begin
    what = Pass(**json.loads(sys.argv[1]))
    tf.constant(0)  # the runtime's own start is not tfstream's
    print("ready", flush=True)
    sys.stdin.readline()

    begin, busy = time.perf_counter(), time.process_time()
    data = tfstream.open(what.uri, cache_dir=what.cache_dir, cache_limit=what.cache_limit)
    ds = data.split("train").stream(
        batch_size=64,
        image=tfstream.ImageSpec(size=(224, 224)) if what.decode else tfstream.RAW,
        world=(what.world[0], what.world[1]),
        read_ahead=what.read_ahead,
    )
    samples, first = 0, 0.0
    for images, _ in ds.take(what.batches or -1):
        first = first or time.perf_counter() - begin
        samples += images.shape[0]
    seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    outcome = Outcome(samples, first, seconds, imports, cpu, ds.stats())
    print(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main()

"""A training that is killed again and again, and what resuming costs.

    python benchmarks/resume.py PACKED [--only kills ...] [--kills 100] [--rounds 5] [--quick]

PACKED is a dataset made by `tfstream pack`; small pictures will do. What is made of it, in a
directory beside it, is removed at the end.

- kills: a training, on 1, 2, 3 and 4 processes in turn, that is killed (SIGKILL) at random moments
  and started again. Each step, the workers put their parts of the global batch together; the first
  one updates a weight with it and writes its keys to a log, and every five steps saves the weight,
  the stream's position and the log's length. Whoever is started cuts the log to that length, as
  what came after it is in no weight. In the end, log and weight are compared with those of a
  training that nobody killed; and the log that each kill left, with what should have come.
- worlds: the global batches of 1 to 8, 12 and 16 workers, against the arithmetic of the order.
- first: the first batch (224x224, 64 images, uniform shuffle) after restoring a stream of 10
  million records at 99 % of its epoch, against 0 %: in processes of their own, from opening the
  dataset; and again and again within one process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import ten_million

GLOBAL = 12  # samples of a step, over all workers
EVERY = 5  # steps between two checkpoints
WORLDS = (1, 2, 3, 4)

CHILD = """
import faulthandler, json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
faulthandler.dump_traceback_later(600, exit=True)
import tensorflow as tf, tfstream
again = int(sys.argv[3])
begin = time.perf_counter()
ds = tfstream.open(sys.argv[1]).split("train").stream(batch_size=64)
states = [ds.state(batches_consumed=ds.steps_per_epoch * part // 100) for part in (0, 99)]
ds.restore(states[int(sys.argv[2])])
iterator = iter(ds)
next(iterator)
seconds = [time.perf_counter() - begin]
for place in [0, 1] * again:
    faulthandler.dump_traceback_later(600, exit=True)  # a hang, once seen: it shall say where
    del iterator
    begin = time.perf_counter()
    ds.restore(states[place])
    iterator = iter(ds)
    next(iterator)
    seconds.append(time.perf_counter() - begin)
print(json.dumps(seconds))
"""


def train(
    packed: Path,
    run: Path,
    world: tuple[int, int],
    steps: int,
    peers: Sequence[Connection],
    begun: Connection | None = None,
) -> None:
    """A worker of a training, from where the last one was saved to a number of steps.

    Args:
        packed: The dataset.
        run: Where the training keeps what it keeps.
        world: Which worker, of how many.
        steps: Since the training was first begun.
        peers: Of the first worker: the others; of the others: the first.
        begun: Is told of the first step.
    """
    import tensorflow as tf

    import tfstream

    rank, count = world
    ds = (
        tfstream.open(packed)
        .split("train")
        .stream(
            batch_size=GLOBAL // count,
            image=None,
            label=None,
            elements="dict",
            seed=7,
            block_size=4,
            world=world,
            drop_remainder=True,
            epochs=None,
        )
    )
    step, written, weight = (tf.Variable(0, dtype=tf.int64) for _ in range(3))
    checkpoint = tf.train.Checkpoint(
        step=step, written=written, weight=weight, stream=tfstream.StreamPosition(ds)
    )
    manager = tf.train.CheckpointManager(checkpoint, run / "checkpoints", max_to_keep=2)
    checkpoint.restore(manager.latest_checkpoint)
    batches = (b["key"].tolist() for b in ds.take(steps - int(step)).as_numpy_iterator())
    if rank:
        for keys in batches:
            peers[0].send(keys)
            peers[0].recv()
        return
    with open(run / "log", "ab", buffering=0) as log:
        log.truncate(int(written))
        for mine in batches:
            parts = [mine, *(peer.recv() for peer in peers)]
            line = b" ".join(key for keys in zip(*parts, strict=True) for key in keys) + b"\n"
            log.write(line)
            weight.assign(weight * 6364136223846793005 + zlib.crc32(line))
            step.assign_add(1)
            if int(step) % EVERY == 0:
                os.fsync(log.fileno())
                written.assign(log.tell())
                manager.save()
            for peer in peers:
                peer.send(None)
            if begun is not None:
                begun.send(None)
                begun = None
    (run / "weight").write_text(str(int(weight)))


def _worker(*arguments: Any) -> None:
    """The same, in a process of its own; where a peer was killed, it ends and says nothing."""
    with contextlib.suppress(EOFError, ConnectionError):
        train(*arguments)


class Training:
    """A training on several processes, which are started and killed.

    Args:
        packed: The dataset.
        run: Where the training keeps what it keeps.
    """

    def __init__(self, packed: Path, run: Path) -> None:
        self._packed, self._run = packed, run
        (run / "checkpoints").mkdir(parents=True)
        # Of a process that has TensorFlow loaded, and nothing done with it.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tensorflow"])

    @property
    def log(self) -> bytes:
        """The keys of a global batch a line."""
        path = self._run / "log"
        return path.read_bytes() if path.exists() else b""

    @property
    def weight(self) -> str:
        """That of a training that ended."""
        return (self._run / "weight").read_text()

    def start(self, world: int, steps: int) -> None:
        """Starts so many processes, to train up to a step."""
        pairs = [self._context.Pipe() for _ in range(world - 1)]
        self._begun, begun = self._context.Pipe(duplex=False)
        arguments: list[tuple[object, ...]] = [([first for first, _ in pairs], begun)]
        arguments += [([other],) for _, other in pairs]
        self._processes = [
            self._context.Process(
                target=_worker, args=(self._packed, self._run, (rank, world), steps, *rest)
            )
            for rank, rest in enumerate(arguments)
        ]
        for process in self._processes:
            process.start()
        for end in [begun, *(end for pair in pairs for end in pair)]:
            end.close()

    def kill(self, moment: random.Random) -> None:
        """Kills all at some moment, in any order."""
        if moment.random() < 0.8:  # else while they start, perhaps
            self._begun.poll(120)
        time.sleep(moment.uniform(0, 0.3))
        ended = [p.exitcode for p in self._processes if p.exitcode is not None]
        if ended:
            raise SystemExit(f"a worker ended by itself, with exit status {ended}")
        for process in moment.sample(self._processes, len(self._processes)):
            process.kill()
            time.sleep(moment.choice([0, 0.01]))
        for process in self._processes:
            process.join()

    def end(self) -> None:
        """Waits until all have done their steps."""
        for process in self._processes:
            process.join()
        if any(process.exitcode for process in self._processes):
            raise SystemExit("a worker failed")


def kills(packed: Path, root: Path, count: int) -> None:
    """Compares a training that is killed so many times with one that is not."""
    moment = random.Random(count)
    killed, left = Training(packed, root / "killed"), [b""]
    for number in range(count):
        killed.start(WORLDS[number % len(WORLDS)], steps=1 << 40)
        killed.kill(moment)
        left.append(killed.log)
    steps = max(log.count(b"\n") for log in left) + 2 * EVERY
    killed.start(WORLDS[count % len(WORLDS)], steps)
    killed.end()
    whole = Training(packed, root / "whole")
    whole.start(1, steps)
    whole.end()
    for number, log in enumerate(left):
        if not whole.log.startswith(log):
            raise SystemExit(f"what was trained before kill {number} is not what was due")
    if (killed.log, killed.weight) != (whole.log, whole.weight):
        raise SystemExit("the training that was killed has become another one")
    print(
        f"killed {count} times, on 1, 2, 3 and 4 processes in turn: {steps * GLOBAL:,} samples in "
        f"{steps:,} steps, and the weight, are those of a training that was not killed"
    )


def worlds(packed: Path, counts: Sequence[int], steps: int) -> None:
    """Compares the global batches of so many workers with the arithmetic of the order."""
    import tfstream
    from tfstream.order import Order

    data = tfstream.open(packed).split("train")
    keys = np.array(data.metadata["key"].to_pylist(), np.bytes_)
    samples = math.lcm(*counts)
    order = Order(len(keys), seed=7)
    whole = len(keys) // samples * samples  # of an epoch
    if whole == 0:
        raise SystemExit(f"{packed} has fewer than {samples:,} records for training: none a step")
    places = np.arange(steps * samples)
    numbers = np.concatenate(
        [
            order.records_at(places[begin : begin + whole] - begin, begin // whole)
            for begin in range(0, len(places), whole)
        ]
    )
    due = keys[numbers].reshape(steps, samples)
    for count in counts:
        for rank in range(count):
            ds = data.stream(
                batch_size=samples // count,
                image=None,
                label=None,
                elements="dict",
                seed=7,
                block_size=1,
                world=(rank, count),
                drop_remainder=True,
                epochs=None,
            )
            for step, batch in enumerate(ds.take(steps).as_numpy_iterator()):
                if (batch["key"].astype(np.bytes_) != due[step, rank::count]).any():
                    raise SystemExit(f"step {step} of worker {rank} of {count} is not what is due")
    print(
        f"{', '.join(map(str, counts))} workers: the same {steps:,} global batches of "
        f"{samples:,} samples, over {-(-len(places) // whole)} epochs"
    )


def first(packed: Path, root: Path, records: int, rounds: int, again: int) -> None:
    """Measures the first batch after restoring at 0 % and at 99 % of an epoch."""
    large = root / "large"
    ten_million.synthetic(packed, large, records)
    alone: list[list[float]] = []  # at 0 % and at 99 %, a round
    within: list[list[float]] = []
    for number in range(rounds):
        runs: list[list[float]] = [[], []]
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            command = [sys.executable, "-c", CHILD, str(large), str(place), str(again)]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            runs[place] = json.loads(out.splitlines()[-1])
        alone.append([runs[0][0], runs[1][0]])
        within += [[run[at], run[at + 1]] for run in runs for at in range(1, len(run), 2)]
    print(f"first batch of {records:,} records, s: 0 % (min–max), 99 % (min–max), 99 % ÷ 0 %")
    for name, pairs in {
        "a process each, from opening": alone,
        "within one process": within,
    }.items():
        ratio = statistics.median(late / early for early, late in pairs)
        early, late = (
            f"{statistics.median(each):.3f} ({min(each):.3f}–{max(each):.3f})"
            for each in zip(*pairs, strict=True)
        )
        print(f"{name:30}{early:>22}{late:>22}{ratio:7.2f}")


def main() -> None:
    """Runs what was asked for, one after another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = ("kills", "worlds", "first")
    parser.add_argument("packed", type=Path)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    arguments = parser.parse_args()
    packed, quick = arguments.packed.resolve(), arguments.quick
    with tempfile.TemporaryDirectory(dir=packed.parent) as scratch:
        root = Path(scratch)
        parts: dict[str, Callable[[], None]] = {
            "kills": lambda: kills(packed, root, arguments.kills),
            "worlds": lambda: (
                worlds(packed, (1, 2, 3, 4), 80)
                if quick
                else worlds(packed, (*range(1, 9), 12, 16), 1000)
            ),
            "first": lambda: (
                first(packed, root, 2000, 1, 2)
                if quick
                else first(packed, root, 10_000_000, arguments.rounds, 10)
            ),
        }
        for name in arguments.only:
            parts[name]()


if __name__ == "__main__":
    main()

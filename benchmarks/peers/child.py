"""Does one job of one peer, in the peer's environment, and writes what it measured to a file.

python child.py PEER pack|read RESULT.json SOURCE OUT SETTINGS
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import protocol
from ilsvrc import samples

__all__: list[str] = []

_PICKS = 200
_RESUMED_AT = 0.9


def pack(peer: protocol.Peer, tree: str, out: Path, processes: int) -> dict[str, float]:
    """What packing takes, from the call to the end, with all that is imported before.

    Some writers wait until the disk has everything, others leave that to the system: so it is
    measured as well until the disk has it.
    """
    chosen = samples(tree)
    begun = time.perf_counter()
    images = peer.pack(tree, chosen, out, processes)
    seconds = time.perf_counter() - begun
    os.sync()
    safe = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "pack images/s": images / seconds,
        "pack images/s, on disk": images / safe,
        "packed bytes an image": size / images,
    }


def read(peer: protocol.Peer, source: Path, config: protocol.Config) -> dict[str, float]:
    """An epoch, its rate behind the first batch, random records, going on at 90 %."""
    begun = time.perf_counter()
    batches = peer.epochs(source, config)()
    first = next(batches)
    first_seconds = time.perf_counter() - begun
    if first.shape != (config.batch, *config.size, 3) or first.dtype.name != "uint8":
        raise ValueError(f"a batch is {first.dtype} {first.shape}")
    images = len(first) + sum(len(batch) for batch in batches)
    seconds = time.perf_counter() - begun
    found = {
        "epoch images/s": images / seconds,
        "steady images/s": (images - len(first)) / (seconds - first_seconds),
        "first batch s": first_seconds,
    }

    begun = time.perf_counter()
    rest = peer.resume(source, config, int(images * _RESUMED_AT) // config.batch)
    next(rest)
    found["resume s"] = time.perf_counter() - begun
    del rest

    pick = peer.picker(source, config)
    if pick is not None:
        numbers = random.Random(0).sample(range(images), min(_PICKS, images))
        begun = time.perf_counter()
        for number in numbers:
            pick(number)
        found["random access ms"] = (time.perf_counter() - begun) / len(numbers) * 1e3
    return found


def main(arguments: list[str]) -> None:
    """Does the job."""
    name, job, result, source, out, text = arguments
    settings: dict[str, Any] = json.loads(text)
    peer = protocol.load(name)
    if job == "pack":
        found = pack(peer, source, Path(out), settings["processes"])
    else:
        config = protocol.Config(
            size=tuple(settings["size"]), batch=settings["batch"], workers=settings["processes"]
        )
        found = read(peer, Path(out if peer.writes else source), config)
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

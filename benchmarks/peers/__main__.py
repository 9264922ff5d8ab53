"""tfstream beside its peers: packing, epochs, first batches, random access, resume, memory.

    python benchmarks/peers TREE --work DIR [--rounds 3] [--peers NAME ...] [--only pack|read]

TREE has the layout of ILSVRC DET: Data/DET/train and Annotations/DET/train. Each peer has its own
virtual environment in DIR, made by pip when it is first needed (20 GB and some minutes, all
together), and its own copy of the data. In each round every peer takes its turn in a process of
its own, so what a peer imports is not measured, and what it starts is; before that its data and its
libraries are read once, so that none waits for the disk. DIR/results.json, table.md
and plot.png are what comes out; rounds are added to those that DIR/results.json has already, so
that they can be run one by one, when the machine is quiet. With --here, only peers that this
interpreter can import take part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from environments import attribute, interpreter, versions
from memory import peak_while_running
from protocol import PEERS
from report import plot, table

_CHILD = Path(__file__).parent / "child.py"
_LIMIT_SECONDS = 900  # of one job


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tree", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--only", choices=("pack", "read"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224))
    parser.add_argument("--here", action="store_true")
    return parser.parse_args()


def warm(*roots: Path) -> None:
    """Has the page cache hold all files below some directories."""
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file():
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 22):
                        pass


def job(python: str, name: str, kind: str, chosen: argparse.Namespace) -> dict[str, float]:
    """What one peer measured of one job, in a process of its own."""
    out = chosen.work / "data" / name
    result = chosen.work / "result.json"
    result.unlink(missing_ok=True)
    if kind == "pack":
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
    settings = {"processes": chosen.processes, "batch": chosen.batch, "size": chosen.size}
    command = [python, str(_CHILD), name, kind, str(result), str(chosen.tree), str(out)]
    if kind == "read":
        warm(out if out.exists() else chosen.tree)
        if not chosen.here:
            warm(Path(python).parent.parent / "lib")
    os.sync()  # nobody waits for the disk to write what the one before has left
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with open(chosen.work / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [*command, json.dumps(settings)], stdout=log, stderr=log, env=environment
        )
        peak = peak_while_running(process, _LIMIT_SECONDS)
    if process.returncode != 0:
        raise RuntimeError(f"{name} failed at {kind}: {log.name} says why")
    found: dict[str, float] = json.loads(result.read_text())
    if kind == "read":
        found["memory MB"] = peak / 1e6
    return found


def importable(name: str) -> bool:
    """Whether this interpreter has what a peer needs."""
    code = f"import sys; sys.path.insert(0, {str(_CHILD.parent)!r}); import protocol; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}protocol.load({name!r})"], capture_output=True, check=False
    )
    return done.returncode == 0


def earlier(work: Path) -> dict[str, Any]:
    """What results.json has of earlier rounds: `rounds` and `versions`, by peer."""
    kept = work / "results.json"
    return dict(json.loads(kept.read_text())) if kept.exists() else {"rounds": {}, "versions": {}}


def main() -> None:
    """Runs the rounds."""
    chosen = arguments()
    chosen.work.mkdir(parents=True, exist_ok=True)
    pythons = {}
    for name in chosen.peers:
        if not chosen.here:
            pythons[name] = interpreter(name, chosen.work / "venvs")
        elif importable(name):
            pythons[name] = sys.executable
    kept = earlier(chosen.work)
    rounds = {
        name: kept["rounds"].get(name, {})
        for name in PEERS
        if name in kept["rounds"] or name in pythons
    }
    kinds = (chosen.only,) if chosen.only else ("pack", "read")
    for number in range(chosen.rounds):
        for kind in kinds:
            for name, python in pythons.items():
                if kind == "pack" and not attribute(name, "writes"):
                    continue
                try:
                    found = job(python, name, kind, chosen)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(error, file=sys.stderr)
                    continue
                for what, value in found.items():
                    rounds[name].setdefault(what, []).append(value)
                told = ", ".join(f"{what} {value:,.4g}" for what, value in found.items())
                print(f"round {number + 1}: {name}: {told}", flush=True)
    installed = {name: versions(python, name) for name, python in pythons.items()}
    save(rounds, kept["versions"] | installed, chosen)


def save(
    rounds: dict[str, dict[str, list[float]]],
    installed: dict[str, dict[str, str]],
    chosen: argparse.Namespace,
) -> None:
    """Writes what came out, and prints the table."""
    titles = {name: str(attribute(name, "title")) for name in rounds}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    document: dict[str, Any] = {
        "machine": machine,
        "load": os.getloadavg(),
        "settings": {
            "batch": chosen.batch,
            "size": list(chosen.size),
            "processes": chosen.processes,
        },
        "versions": installed,
        "about": {name: attribute(name, "about") for name in rounds},
        "rounds": rounds,
    }
    (chosen.work / "results.json").write_text(json.dumps(document, indent=2))
    lines = table(rounds, titles)
    (chosen.work / "table.md").write_text(lines)
    plot(rounds, titles, chosen.work / "plot.png")
    print(f"{machine}; load {os.getloadavg()[0]:.1f}\n{lines}")


if __name__ == "__main__":
    main()

"""Installs a wheel in fresh environments and runs smoke.py in each.

    python tools/release/matrix.py WHEEL [--python 3.10 ...] [--tensorflow 2.16 ...]

Environments are made below --work, one at a time, and deleted (2.5 GB each). Results are kept in
--results, so that the matrix can be run in parts; the table of all that is in there is printed as
Markdown. The exit status is 1 if any of them failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["PYTHONS", "TENSORFLOWS", "Cell", "table"]

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
TENSORFLOWS = ("2.16", "2.17", "2.19", "2.21")
_SMOKE = Path(__file__).with_name("smoke.py")
_NO_WHEEL = "No matching distribution found for tensorflow"
_INSTALL_SECONDS, _SMOKE_SECONDS = 1200, 300


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one environment came to.

    Attributes:
        python, tensorflow: The versions asked for, such as "3.10" and "2.16".
        found: What smoke.py said; None where it did not end well.
        trouble: Why not, in a line; "" where it did.
    """

    python: str
    tensorflow: str
    found: Mapping[str, Any] | None = None
    trouble: str = ""

    @property
    def has_no_wheel(self) -> bool:
        """Whether there is no such TensorFlow for this Python."""
        return self.found is None and _NO_WHEEL in self.trouble


def interpreter(version: str) -> str | None:
    """A CPython of a version such as "3.10", of the PATH or of pyenv; None: there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for found in (*sorted(map(str, pyenv.glob(f"{version}.*/bin/python"))), f"python{version}"):
        asked = [found, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return found
    return None


def last_line(text: str) -> str:
    r"""The last line that says something.

    >>> last_line("Traceback\n  File\nValueError: no\n\n")
    'ValueError: no'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a word"


def tried(wheel: Path, python: str, tensorflow: str, work: Path | None) -> Cell:
    """Makes an environment, runs the smoke test there, and deletes it."""
    base = interpreter(python)
    if base is None:
        return Cell(python, tensorflow, trouble=f"there is no CPython {python} on this machine")
    scratch = Path(tempfile.mkdtemp(prefix=f"tfstream-{python}-{tensorflow}-", dir=work))
    # Nothing of whoever runs this must be found in there.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    inside = str(scratch / "venv/bin/python")
    pip = [inside, "-m", "pip", "install", "-q", str(wheel), f"tensorflow=={tensorflow}.*"]
    commands = (
        ([base, "-m", "venv", str(scratch / "venv")], _INSTALL_SECONDS),
        (pip, _INSTALL_SECONDS),
        ([inside, str(_SMOKE)], _SMOKE_SECONDS),
    )
    try:
        for command, limit in commands:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd=scratch,
                env=environment,
                timeout=limit,
            )
            if done.returncode != 0:
                return Cell(python, tensorflow, trouble=last_line(done.stderr))
        return Cell(python, tensorflow, json.loads(last_line(done.stdout)))
    except subprocess.TimeoutExpired as error:
        return Cell(python, tensorflow, trouble=f"it took longer than {error.timeout:.0f} s")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def table(cells: list[Cell]) -> str:
    """Markdown: a row an environment, with the versions that pip chose and the seconds."""
    lines = [
        "| CPython | TensorFlow | Keras | NumPy | protobuf | pyarrow | smoke test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in sorted(cells, key=lambda each: (_parts(each.python), _parts(each.tensorflow))):
        if cell.found is None:
            what = "there is no such wheel" if cell.has_no_wheel else f"**failed**: {cell.trouble}"
            lines.append(f"| {cell.python} | {cell.tensorflow} | | | | | {what} |")
            continue
        names = ("python", "tensorflow", "keras", "numpy", "protobuf", "pyarrow")
        seconds = sum(cell.found["seconds"].values())
        shown = " | ".join(str(cell.found[name]) for name in names)
        lines.append(f"| {shown} | passed, {seconds:.1f} s |")
    return "\n".join(lines) + "\n"


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=PYTHONS)
    parser.add_argument("--tensorflow", nargs="+", choices=TENSORFLOWS, default=TENSORFLOWS)
    parser.add_argument("--results", type=Path, default=Path("dist/matrix.json"))
    parser.add_argument("--work", type=Path, help="where environments are made")
    return parser.parse_args()


def main() -> int:
    """Runs what was asked for."""
    chosen = arguments()
    if not chosen.wheel.is_file():
        print(f"there is no wheel {chosen.wheel}: make it with tools/release/build.sh")
        return 2
    if chosen.work is not None:
        chosen.work.mkdir(parents=True, exist_ok=True)
    kept = json.loads(chosen.results.read_text()) if chosen.results.exists() else []
    cells = {(each["python"], each["tensorflow"]): Cell(**each) for each in kept}
    failed = False
    for python in chosen.python:
        for tensorflow in chosen.tensorflow:
            cell = tried(chosen.wheel.resolve(), python, tensorflow, chosen.work)
            failed |= cell.found is None and not cell.has_no_wheel
            cells[python, tensorflow] = cell
            print(f"{python} {tensorflow}: {cell.trouble or 'passed'}", file=sys.stderr, flush=True)
            chosen.results.parent.mkdir(parents=True, exist_ok=True)
            kept = [dataclasses.asdict(each) for each in cells.values()]
            chosen.results.write_text(json.dumps(kept, indent=1))
    print(table(list(cells.values())), end="")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

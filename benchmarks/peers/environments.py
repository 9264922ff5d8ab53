"""A virtual environment a peer, made when it is first needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["attribute", "interpreter", "versions"]

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def attribute(name: str, wanted: str) -> object:
    """A constant of a peer's class, without importing what the peer needs."""
    tree = ast.parse((_HERE / "known" / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and line.targets[0].id == wanted:  # type: ignore[attr-defined]
                    return ast.literal_eval(line.value)
    if wanted == "writes":
        return True
    raise LookupError(f"the peer {name} has no {wanted}")


def interpreter(name: str, venvs: Path) -> str:
    """The Python of a peer's environment, in which its requirements are installed.

    Raises:
        subprocess.CalledProcessError: They cannot be; pip says why.
    """
    place = venvs / name
    python = place / "bin" / "python"
    required = list(attribute(name, "requirements"))  # type: ignore[call-overload]
    done = place / "requirements.txt"
    if not done.exists() or done.read_text().split() != required:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        for each in required:
            what = ["-e", str(_ROOT)] if each == "tfstream" else [each]
            subprocess.run([str(python), "-m", "pip", "install", "-q", *what], check=True)
        done.write_text("\n".join(required))
    return str(python)


def versions(python: str, name: str) -> dict[str, str]:
    """The versions of what a peer requires, as they are installed."""
    required = [each.partition("==")[0] for each in attribute(name, "requirements")]  # type: ignore[attr-defined]
    code = (
        "import importlib.metadata as m, sys\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(*(f'{n}={found.get(n, \"\")}' for n in sys.argv[1:]), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [python, "-c", code, *required], capture_output=True, text=True, check=True, env=environment
    )
    found = (line.partition("=") for line in done.stdout.split())
    return {package: version for package, _, version in found if version}

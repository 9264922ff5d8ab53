"""Looks at what is in a source distribution and in a wheel: all that is needed, and nothing else.

    python tools/release/contents.py dist/*

The exit status is 1 if something is missing, or there that should not be.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["names_in", "wrong"]

_EVERYWHERE = ("tfstream/__init__.py", "tfstream/py.typed", "tfstream/query/grammar.lark")
# What each kind must have, and what it may have: patterns, in which * matches slashes as well.
_NEEDED = {
    "sdist": (
        *_EVERYWHERE,
        "LICENSE",
        "README.md",
        "PKG-INFO",
        "pyproject.toml",
        "setup.py",
        "native/module.cc",
        "native/packing/*.cc",
        "native/samples/*.cc",
        "protos/tfstream/v1/manifest.proto",
    ),
    "wheel": (
        *_EVERYWHERE,
        "tfstream/lib/libtfstream_ops.so",
        "tfstream/lib/libtfstream_pack.so",
        "tfstream/lib/libtfstream_samples.so",
        "tfstream/view/static/index.html",
        "*.dist-info/licenses/LICENSE",
    ),
}
_PACKAGE = tuple(
    f"tfstream/*.{ending}" for ending in ("py", "pyi", "typed", "lark", "js", "css", "html", "svg")
)
_ALLOWED = {
    "sdist": (
        *_NEEDED["sdist"],
        *_PACKAGE,
        "native/*.cc",
        "native/*.h",
        "protos/*.proto",
        "MANIFEST.in",
        "setup.cfg",
        "tfstream.egg-info/*",
    ),
    "wheel": (*_NEEDED["wheel"], *_PACKAGE, "*.dist-info/*"),
}


def names_in(path: Path) -> tuple[str, list[str]]:
    """("sdist" or "wheel", the names of its files; a source distribution's below its directory).

    Raises:
        ValueError: It is neither.
    """
    if path.name.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel:
            return "wheel", [each for each in wheel.namelist() if not each.endswith("/")]
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as sdist:
            files = [each.name for each in sdist.getmembers() if each.isfile()]
        return "sdist", [each.partition("/")[2] for each in files]
    raise ValueError(f"{path} is no source distribution (.tar.gz) and no wheel (.whl)")


def wrong(kind: str, names: Iterable[str]) -> list[str]:
    """What is wrong with a distribution's files, a sentence each.

    >>> wrong("wheel", ["tfstream/__init__.py", "tests/test_it.py"])[-1]
    'tests/test_it.py should not be in the wheel'
    """
    there = sorted(names)
    found = [
        f"{pattern} is not in the {kind}"
        for pattern in _NEEDED[kind]
        if not any(fnmatchcase(name, pattern) for name in there)
    ]
    found += [
        f"{name} should not be in the {kind}"
        for name in there
        if not any(fnmatchcase(name, pattern) for pattern in _ALLOWED[kind])
    ]
    return found


def main(arguments: list[str]) -> int:
    """Looks at each, and says what was found."""
    status = 0
    for path in map(Path, arguments):
        kind, names = names_in(path)
        complaints = wrong(kind, names)
        print(f"{path.name}: {len(names)} files, {path.stat().st_size:,} bytes")
        for each in complaints:
            print(f"  {each}")
        status |= bool(complaints)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

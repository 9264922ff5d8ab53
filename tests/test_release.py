"""The tools that make a release: what is in its files, and what their tables say."""

from __future__ import annotations

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools/release"


def _load(name):
    spec = importlib.util.spec_from_file_location(f"release_{name}", TOOLS / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def contents():
    return _load("contents")


@pytest.fixture(scope="module")
def matrix():
    return _load("matrix")


WHEEL = (
    "tfstream/__init__.py",
    "tfstream/py.typed",
    "tfstream/query/grammar.lark",
    "tfstream/lib/libtfstream_ops.so",
    "tfstream/lib/libtfstream_pack.so",
    "tfstream/lib/libtfstream_samples.so",
    "tfstream/view/static/index.html",
    "tfstream-0.1.0.dist-info/licenses/LICENSE",
    "tfstream-0.1.0.dist-info/RECORD",
)
SDIST = (
    "LICENSE",
    "README.md",
    "PKG-INFO",
    "pyproject.toml",
    "setup.py",
    "native/module.cc",
    "native/packing/scan.cc",
    "native/samples/render.cc",
    "protos/tfstream/v1/manifest.proto",
    *WHEEL[:3],
)


def _wheel(path, names):
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            wheel.writestr(name, "x")
    return path


def _sdist(path, names):
    with tarfile.open(path, "w:gz") as sdist:
        for name in names:
            info = tarfile.TarInfo(f"tfstream-0.1.0/{name}")
            info.size = 1
            sdist.addfile(info, io.BytesIO(b"x"))
    return path


def test_files_with_all_that_is_needed_pass(contents, tmp_path, capsys):
    made = [_wheel(tmp_path / "a.whl", WHEEL), _sdist(tmp_path / "a.tar.gz", SDIST)]
    assert contents.main([str(path) for path in made]) == 0
    assert capsys.readouterr().out == (
        f"a.whl: 9 files, {made[0].stat().st_size:,} bytes\n"
        f"a.tar.gz: 12 files, {made[1].stat().st_size:,} bytes\n"
    )


@pytest.mark.parametrize("left_out", WHEEL[:-1])
def test_a_wheel_without_something_does_not_pass(contents, tmp_path, capsys, left_out):
    path = _wheel(tmp_path / "a.whl", [name for name in WHEEL if name != left_out])
    assert contents.main([str(path)]) == 1
    assert "is not in the wheel" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra", ["tests/test_order.py", "tfstream/lib/libtfstream_ops.so", "site/index.html"]
)
def test_a_source_distribution_with_junk_does_not_pass(contents, tmp_path, capsys, extra):
    path = _sdist(tmp_path / "a.tar.gz", [*SDIST, extra])
    assert contents.main([str(path)]) == 1
    assert f"  {extra} should not be in the sdist\n" in capsys.readouterr().out


def test_what_is_no_distribution_is_an_error(contents, tmp_path):
    with pytest.raises(ValueError, match=r"no source distribution \(\.tar\.gz\) and no wheel"):
        contents.names_in(tmp_path / "notes.txt")


def test_the_table_tells_what_passed_what_failed_and_what_does_not_exist(matrix):
    names = ("keras", "numpy", "protobuf", "pyarrow")
    found = {"python": "3.10.13", "tensorflow": "2.16.2", **dict.fromkeys(names, "1.2")}
    missing = "ERROR: No matching distribution found for tensorflow==2.16.*"
    cells = [
        matrix.Cell("3.13", "2.16", trouble=missing),
        matrix.Cell("3.10", "2.17", trouble="RuntimeError: the kernel is not loaded"),
        matrix.Cell("3.10", "2.16", {**found, "seconds": {"pack": 1.0, "fit": 0.5}}),
    ]
    assert matrix.table(cells).splitlines()[2:] == [
        "| 3.10.13 | 2.16.2 | 1.2 | 1.2 | 1.2 | 1.2 | passed, 1.5 s |",
        "| 3.10 | 2.17 | | | | | **failed**: RuntimeError: the kernel is not loaded |",
        "| 3.13 | 2.16 | | | | | there is no such wheel |",
    ]


def test_a_python_that_is_not_there_is_told(matrix, tmp_path):
    cell = matrix.tried(tmp_path / "a.whl", "3.99", "2.16", None)
    assert cell.trouble == "there is no CPython 3.99 on this machine"
    assert not cell.has_no_wheel

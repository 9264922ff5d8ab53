"""Tests of tfstream/cli/app.py: what is the same for every verb."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_dataset

import tfstream as package

VERBS = (
    "pack",
    "append",
    "info",
    "cat",
    "query",
    "split",
    "remove",
    "relabel",
    "versions",
    "verify",
    "demo",
)


def test_without_arguments_the_help_lists_the_verbs(tfstream) -> None:
    result = tfstream("--help")
    assert result.status == 0
    for verb in VERBS:
        assert f"\n  {verb} " in result.out
    assert "\n      tfstream info packed\n" in result.out
    assert tfstream().status == 2


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_shows_an_example(tfstream, verb: str) -> None:
    result = tfstream(verb, "--help")
    assert result.status == 0
    assert f"Usage: tfstream {verb} " in result.out
    # On lines of their own, not run together.
    assert any(line.strip().startswith(f"tfstream {verb}") for line in result.out.splitlines())


def test_the_version_is_printed(tfstream) -> None:
    assert tfstream("--version").out == f"tfstream {package.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["infos"], ["info"], ["info", "--nope"], ["cat", "x"], ["verify", "x", "--processes", "a"]],
)
def test_wrong_usage_is_status_2(tfstream, arguments: list[str]) -> None:
    result = tfstream(*arguments)
    assert result.status == 2
    assert "Error: " in result.err


@pytest.mark.parametrize("arguments", [["info"], ["verify"], ["cat", "key"]])
def test_where_there_is_no_dataset_one_line_says_so(
    tfstream, tmp_path: Path, arguments: list[str]
) -> None:
    verb, *rest = arguments
    result = tfstream(verb, tmp_path / "gone", *rest)
    assert result.status == 2
    assert result.err.startswith(f"error: There is no dataset at {tmp_path / 'gone'}: ")
    assert result.err.count("\n") == 1
    assert result.out == ""


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_a_damaged_manifest_is_status_1(tfstream, tmp_path: Path, verb: str) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "00000001.json").write_text("{")
    result = tfstream(verb, tmp_path)
    assert result.status == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("verb", "unwanted"),
    [
        (["info"], {"tensorflow", "numpy", "pyarrow", "PIL", "tqdm"}),
        (["versions"], {"tensorflow", "numpy", "pyarrow", "PIL", "tqdm", "duckdb"}),
        (["versions", "diff", "1"], {"tensorflow", "PIL", "tqdm"}),
        (["remove", "number = 1", "-m", ""], {"tensorflow"}),
        (["simulate"], {"tensorflow", "duckdb", "matplotlib", "PIL", "tqdm"}),
        (["cat", "train/0"], {"tensorflow", "PIL", "tqdm"}),
        (["verify", "--processes", "1"], {"tensorflow", "PIL"}),
    ],
)
def test_a_verb_loads_no_more_than_it_needs(
    tmp_path: Path, verb: list[str], unwanted: set[str]
) -> None:
    tiny_dataset.tiny(tmp_path / "data")
    script = (
        "import sys\n"
        "from tfstream.cli import app\n"
        "try:\n"
        "    app.main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print('loaded', *sys.modules)\n"
    )
    command = [sys.executable, "-c", script, verb[0], str(tmp_path / "data"), *verb[1:]]
    paths = [str(Path(package.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not unwanted & loaded

"""The benchmarks still run; what they measure of so little says nothing."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trees

import tfstream

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.kernel
def test_the_remote_benchmark_runs(tmp_path):
    trees.make_ilsvrc_tree(tmp_path / "tree", train=60, val=4)
    tfstream.pack(tmp_path / "tree", tmp_path / "packed", progress=False)
    command = [sys.executable, str(BENCHMARKS / "remote.py"), str(tmp_path / "packed"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(r"full pass, no cache: 60 records of .* shards 1\.0000 of that", done.stdout)
    assert "60 samples: 0 samples differ" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "tree"]


@pytest.mark.kernel
def test_the_benchmark_of_queries_runs(tmp_path):
    trees.make_ilsvrc_tree(tmp_path / "tree", train=100, val=4)
    tfstream.pack(tmp_path / "tree", tmp_path / "packed", progress=False)
    command = [sys.executable, str(BENCHMARKS / "query.py"), str(tmp_path / "packed"), "--quick"]
    command += ["--only", "ten", "questions", "slice"]  # "hundred" is "ten" of more shards
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(r"selects [1-9]\d* of 1,000", done.stdout)
    assert re.search(r"slice of a slice .*\d", done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "tree"]


def test_the_benchmark_of_peers_runs_with_those_that_are_installed(tmp_path):
    trees.make_ilsvrc_tree(tmp_path / "tree", train=40, val=4)
    work = tmp_path / "work"
    options = "--here --rounds 1 --batch 8 --size 32 32 --peers tfstream_stream keras_directory"
    command = [sys.executable, str(BENCHMARKS / "peers"), str(tmp_path / "tree"), "--work", work]
    done = subprocess.run([*command, *options.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((work / "results.json").read_text())["rounds"]
    reading = {"epoch images/s", "steady images/s", "first batch s", "resume s", "memory MB"}
    assert found["keras_directory"].keys() == reading
    packing = {
        "pack images/s",
        "pack images/s, on disk",
        "packed bytes an image",
        "random access ms",
    }
    assert found["tfstream_stream"].keys() == reading | packing
    for part in (work / "table.md").read_text().split("\n\n"):  # a few measures each
        rows = part.splitlines()
        assert len({row.count("|") for row in rows}) == 1
        assert [row.split("|")[1].strip() for row in rows[2:]] == [
            "**tfstream**",
            "Keras `image_dataset_from_directory`",
        ]
    assert (work / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_peers_shows_losses_as_it_shows_wins():
    spec = importlib.util.spec_from_file_location("report", BENCHMARKS / "peers" / "report.py")
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    rounds = {
        "ours": {"epoch images/s": [10.0, 12.0, 11.0], "resume s": [0.5]},
        "slower": {"epoch images/s": [5.0, 6.0, 5.5], "resume s": [1.0]},
        "faster": {"epoch images/s": [20.0, 24.0, 22.0]},
    }
    table = report.table(rounds, {name: name for name in rounds}).splitlines()
    assert table[2] == "| ours | 11 (10–12) | 1.00 | 0.5 | 1.00 |"
    assert table[3] == "| slower | 5.5 (5–6) | 2.00 | 1 | 2.00 |"
    assert table[4] == "| faster | 22 (20–24) | 0.50 | — |  |"

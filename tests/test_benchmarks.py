"""The benchmarks still run; what they measure of so little says nothing."""

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
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(r"selects [1-9]\d* of 1,000", done.stdout)
    assert re.search(r"slice of a slice .*\d", done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "tree"]

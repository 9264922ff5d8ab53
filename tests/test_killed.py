"""A training that is killed at random moments, as in the benchmark of resuming, but briefly."""

import subprocess
import sys
from pathlib import Path

import numbered
import pytest

RESUME = Path(__file__).resolve().parent.parent / "benchmarks" / "resume.py"


def run(packed, *arguments):
    command = [sys.executable, str(RESUME), str(packed), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def packed(tmp_path):
    return numbered.write(tmp_path / "packed", train=600, shard=100)


def test_a_training_killed_on_one_to_four_processes_goes_on_as_if_nothing_had_been(packed):
    assert "are those of a training that was not killed" in run(
        packed, "--only", "kills", "--kills", "4"
    )


def test_the_rest_of_the_benchmark_runs(packed):
    out = run(packed, "--only", "worlds", "first", "--quick")
    assert "1, 2, 3, 4 workers: the same 80 global batches of 12 samples, over 2 epochs" in out
    assert "within one process" in out
    assert [path.name for path in packed.parent.iterdir()] == ["packed"]

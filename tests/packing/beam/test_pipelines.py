"""What a runner and its options are refused for, before anything is read."""

import builtins
import os
import re
import signal
import subprocess
import sys
import time

import packed
import pytest
import trees
from typer.testing import CliRunner

from tfstream import errors
from tfstream.cli.app import app
from tfstream.packing.beam import pipelines
from tfstream.packing.beam.pipelines import Pipelines
from tfstream.packing.packer import pack

DIRECT = ["--runner", "DirectRunner"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.make_ilsvrc_tree(tmp_path_factory.mktemp("tree"), train=60, val=6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runner", "FlinkRuner"], r"'FlinkRuner' is not a runner\. Nearest: 'FlinkRunner'"),
        (["--", "--direct_num_workers=2"], r"are for a runner of Apache Beam: name it with"),
        ([*DIRECT, "--processes", "2"], r"processes=2 is for packing without a runner"),
    ],
)
def test_what_does_not_go_together_is_told_without_beam(tree, tmp_path, arguments, message):
    done = CliRunner().invoke(app, ["pack", str(tree), str(tmp_path / "out"), *arguments])
    assert isinstance(done.exception, errors.InvalidArgumentError)
    assert re.search(message, str(done.exception))
    assert not (tmp_path / "out").exists()


def test_a_missing_beam_is_told_with_the_command_that_installs_it(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("apache_beam"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(errors.InvalidArgumentError, match=r"pip install 'tfstream\[beam\]'"):
        Pipelines("DirectRunner", [])


@pytest.mark.parametrize(
    ("runner", "flags", "message"),
    [
        ("DirectRunner", ["--direct_num_wrkers=2"], "is not a pipeline option.*'--direct_num_work"),
        ("DirectRunner", ["nonsense"], "'nonsense' is not a pipeline option of Beam's"),
        ("DirectRunner", ["--direct_num_workers=two"], "invalid int value: 'two'"),
        ("DirectRunner", ["--runner=X"], "'--runner=X' is among the pipeline options"),
        ("DirectRunner", ["--help"], "'--help' is no option of a pipeline"),
        ("FlinkRunner", ["nonsense"], "'nonsense' is not a pipeline option of Beam's"),
    ],
)
def test_options_that_are_none_are_told_before_anything_is_read(runner, flags, message):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    with pytest.raises(errors.InvalidArgumentError, match=message):
        Pipelines(runner, flags)


def test_dataflow_without_its_part_of_beam_is_told(monkeypatch):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    monkeypatch.setattr(pipelines, "_OF_GCP", "no_such_package")
    with pytest.raises(errors.InvalidArgumentError, match=r"pip install 'apache-beam\[gcp\]'"):
        Pipelines("DataflowRunner", [])


def test_options_that_dataflow_lacks_are_told(monkeypatch):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    monkeypatch.setattr(pipelines, "_OF_GCP", "apache_beam")
    with pytest.raises(errors.InvalidArgumentError, match=r"DataflowRunner: .*temp_location"):
        Pipelines("DataflowRunner", ["--project=my-project"])


def test_a_job_server_that_is_not_there_is_told(tree, tmp_path):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    flags = ["--job_endpoint=localhost:1", "--job_server_timeout=1"]
    with pytest.raises(errors.PackError, match="PortableRunner: its job server does not answer"):
        pack(tree, tmp_path / "out", runner="PortableRunner", pipeline_options=flags)
    assert not (tmp_path / "out").exists()


def test_a_job_server_runs_the_pipelines_as_well(tree, tmp_path):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    from apache_beam.runners.portability.local_job_service import LocalJobServicer

    server = LocalJobServicer()
    port = server.start_grpc_server(0)
    try:
        flags = [f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]
        pack(tree, tmp_path / "beam", runner="PortableRunner", pipeline_options=flags)
    finally:
        server.stop()
    pack(tree, tmp_path / "local", processes=1)
    assert packed.digests(tmp_path / "beam") == packed.digests(tmp_path / "local")


def workers_of(process):
    """The Python processes of the pipeline's workers, each the child of a shell."""
    found = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in found.stdout.splitlines()]
    shells = {pid for pid, parent, _ in rows if parent == str(process.pid)}
    return [int(pid) for pid, parent, args in rows if parent in shells and "sdk_worker" in args]


HELD = """
import os, time

replace = os.replace


def replace_and_wait(source, target):
    replace(source, target)
    if str(target).endswith(".tfrecord"):
        time.sleep(600)


os.replace = replace_and_wait
"""


def caught(command, out, tmp_path):
    """A pipeline with its two workers, held where the first shard has been delivered."""
    (tmp_path / "sitecustomize.py").write_text(HELD)
    search = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    log = tmp_path / "pipeline.log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, stdout=told, stderr=told, env={**os.environ, "PYTHONPATH": search}
        )
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        workers = workers_of(process)
        if len(workers) == 2 and list(out.glob("shards/*.tfrecord")):
            return process, workers
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no pipeline was caught at work: {log.read_text()}")


def test_with_two_worker_processes_of_which_one_is_killed_a_rerun_ends_well(tree, tmp_path):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    out = tmp_path / "out"
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    command = [sys.executable, "-c", "from tfstream.cli.app import main; main()"]
    command += ["pack", str(tree), str(out), "--shard-size", "2kB", *DIRECT, "--", *flags]
    first, workers = caught(command, out, tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    # The DirectRunner waits for a dead worker for ever, so whoever launched it goes as well.
    first.kill()
    first.wait()
    os.kill(workers[1], signal.SIGKILL)
    assert not list(out.glob("manifests/*"))
    pack(tree, out, shard_bytes=2_000, runner="DirectRunner")
    pack(tree, tmp_path / "local", shard_bytes=2_000, processes=1)
    assert packed.digests(out) == packed.digests(tmp_path / "local")

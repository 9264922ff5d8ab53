"""What a runner and its options are refused for, before anything is read."""

import builtins
import contextlib
import os
import pathlib
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
        ("DirectRunner", "--streaming", "a list of options .got '--streaming'"),
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


def test_a_job_server_is_waited_for_no_longer_than_it_is_said_or_20_s():
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    for given, expected in (([], "=20"), (["--job_server_timeout=3"], "=3")):
        pipelines = Pipelines("PortableRunner", ["--job_endpoint=localhost:1", *given])
        found = [flag for flag in pipelines._flags if flag.startswith("--job_server_timeout")]
        assert found == [f"--job_server_timeout{expected}"]


def _interrupted(number):
    raise KeyboardInterrupt


def test_ctrl_c_within_a_step_is_an_interruption():
    beam = pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    with (
        pytest.raises(KeyboardInterrupt),
        Pipelines("DirectRunner", [])._pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create([1]) | beam.Map(_interrupted)


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


HELD = """
import os, pathlib, sys, time

if any("sdk_worker" in word for word in sys.orig_argv):
    pathlib.Path(__file__).with_name(f"worker-{os.getpid()}").touch()
replace = os.replace


def replace_and_wait(source, target):
    replace(source, target)
    if str(target).endswith(".tfrecord"):
        pathlib.Path(__file__).with_name(f"held-{os.getpid()}").touch()
        time.sleep(600)


os.replace = replace_and_wait
"""


def is_worker(pid):
    with contextlib.suppress(OSError):
        return b"sdk_worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def numbers(folder, kind):
    return [int(path.name.rpartition("-")[2]) for path in folder.glob(f"{kind}-*")]


def caught(command, tmp_path):
    """A pipeline, held where a worker has delivered a shard, and that worker."""
    (tmp_path / "sitecustomize.py").write_text(HELD)
    search = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    log = tmp_path / "pipeline.log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, stdout=told, stderr=told, env={**os.environ, "PYTHONPATH": search}
        )
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if held := numbers(tmp_path, "held"):
            return process, held[0]
        time.sleep(0.05)
    process.kill()
    there = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    raise AssertionError(f"no worker was caught at work: {there}\n{log.read_text()}")


def test_with_two_worker_processes_of_which_one_is_killed_a_rerun_ends_well(tree, tmp_path):
    pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")
    out = tmp_path / "out"
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    command = [sys.executable, "-c", "from tfstream.cli.app import main; main()"]
    command += ["pack", str(tree), str(out), "--shard-size", "2kB", *DIRECT, "--", *flags]
    first, worker = caught(command, tmp_path)
    os.kill(worker, signal.SIGKILL)
    # The DirectRunner waits for a dead worker for ever, so whoever launched it goes as well.
    first.kill()
    first.wait()
    others = [pid for pid in numbers(tmp_path, "worker") if pid != worker and is_worker(pid)]
    for other in others:
        os.kill(other, signal.SIGKILL)
    assert len(others) == 1
    assert not list(out.glob("manifests/*"))
    pack(tree, out, shard_bytes=2_000, runner="DirectRunner")
    pack(tree, tmp_path / "local", shard_bytes=2_000, processes=1)
    assert packed.digests(out) == packed.digests(tmp_path / "local")

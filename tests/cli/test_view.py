"""Tests of tfstream/cli/view.py and view/serving.py: the command, and what it refuses."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import tiny_dataset

from tfstream.view import serving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_dataset.tiny(tmp_path / "data").root


def test_the_command_prints_an_address_that_works_and_ends_when_told_to(root: Path) -> None:
    command = [sys.executable, "-m", "tfstream.cli.app", "view", str(root), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.fullmatch(
            rf"look at {re.escape(str(root))}: (http://127.0.0.1:\d+/)\?token=([\w-]{{32}})\n", line
        )
        assert found is not None, line
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"{found[1]}?token={found[2]}") as answer:
            assert b"<title>tfstream</title>" in answer.read()
            assert "server" not in answer.headers
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(found[1])
    finally:
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)
    assert (server.returncode, err) == (0, "")


def test_a_port_that_is_taken_is_told(tfstream, root: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        result = tfstream("view", root, "--port", port)
    assert result.status == 2
    assert result.err == (
        f"error: port {port} of 127.0.0.1 is taken by another program: name another --port, or "
        "leave it out for a free one\n"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_told(tfstream, root: Path, host: str) -> None:
    result = tfstream("view", root, "--host", host)
    assert result.status == 2
    assert f"--host {host} is no address of this machine" in result.err


def test_without_the_extra_the_command_that_installs_it_is_named(
    tfstream, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = tfstream("view", root)
    assert result.status == 2
    assert result.err == (
        "error: tfstream view needs starlette and uvicorn: pip install 'tfstream[view]'\n"
    )


def test_a_dataset_or_version_that_is_not_there_is_told(tfstream, root: Path) -> None:
    assert "There is no dataset at" in tfstream("view", root / "none").err
    result = tfstream("view", root, "--version", "7")
    assert result.status == 2
    assert "version 7" in result.err


def test_other_machines_are_let_in_only_when_asked_for() -> None:
    assert not serving.is_loopback("0.0.0.0")
    assert serving.address("0.0.0.0", 80, "x") == f"http://{socket.gethostname()}:80/?token=x"

"""The storage emulator and what stands before it, for tests of gs:// (fixtures in conftest.py).

    def test_x(bucket):                       # a fresh bucket; STORAGE_EMULATOR_HOST is set
        bucket.upload(local_directory)        # its files, below bucket.uri
        data = tfstream.open(bucket.uri)      # gs://test-0123abcd/data
        bucket.proxy.script("503", count=2)   # see fault_proxy.py
        bucket.put("x", b"..."), bucket.get("x"), bucket.names(), bucket.delete("x")

`upload`, `put`, `get`, `names` and `delete` go past the proxy: they neither suffer from faults nor
count. The emulator is a process of its own, one for all tests of a run, and holds everything in
memory, of one test at a time; the proxy runs in the test's process, one for each test. The emulator
alone, until its standard input ends: `python tests/emulator.py PORT`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import secrets
import shlex
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_proxy import FaultProxy

_PREFIX = "data"


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket of the emulator, used below one prefix."""

    name: str
    emulator: str
    proxy: FaultProxy

    @property
    def uri(self) -> str:
        """Of the prefix that names are relative to."""
        return f"gs://{self.name}/{_PREFIX}"

    def upload(self, directory: Path) -> None:
        """Puts all files of a local directory there."""
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self.put(path.relative_to(directory).as_posix(), path.read_bytes())

    def put(self, name: str, data: bytes) -> str:
        """Makes or replaces an object; its generation."""
        if not data:
            raise ValueError("the emulator takes no empty body: make the object by tfstream")
        query = urllib.parse.urlencode({"uploadType": "media", "name": f"{_PREFIX}/{name}"})
        path = f"/upload/storage/v1/b/{self.name}/o?{query}"
        made = json.loads(self._ask("POST", path, data))
        self.proxy.forget()
        return str(made["generation"])

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        return self._ask("GET", f"{self._path(name)}?alt=media")

    def delete(self, name: str) -> None:
        """Deletes an object."""
        self._ask("DELETE", self._path(name))
        self.proxy.forget()

    def names(self) -> list[str]:
        """All objects' names, sorted."""
        found = json.loads(self._ask("GET", f"/storage/v1/b/{self.name}/o?prefix={_PREFIX}/"))
        return sorted(item["name"][len(_PREFIX) + 1 :] for item in found["items"])

    def _path(self, name: str) -> str:
        return f"/storage/v1/b/{self.name}/o/{urllib.parse.quote(f'{_PREFIX}/{name}', safe='')}"

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        return _ask(self.emulator, method, path, body, "application/octet-stream")


def _ask(url: str, method: str, path: str, body: bytes, kind: str) -> bytes:
    connection = http.client.HTTPConnection(url.rpartition("//")[2], timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body or None, {"Content-Type": kind} if body else {})
        response = connection.getresponse()
        data = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{method} {path}: {response.status} {data[:200]!r}")
    return data


@contextlib.contextmanager
def run_emulator() -> Iterator[str]:
    """Starts the emulator; its URL."""
    command = [sys.executable, __file__, "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, text=True) as process:
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError(f"the emulator does not start: {shlex.join(command)}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """The emulator's URL."""
    pytest.importorskip("gcp_storage_emulator")
    with run_emulator() as url:
        yield url


@pytest.fixture
def proxy(emulator: str) -> Iterator[FaultProxy]:
    """A proxy before the emulator."""
    with FaultProxy(emulator) as made:
        yield made


@pytest.fixture
def bucket(emulator: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A fresh bucket, which tfstream reaches through the proxy."""
    name = f"test-{secrets.token_hex(4)}"
    body = json.dumps({"name": name}).encode()
    _ask(emulator, "POST", "/storage/v1/b?project=test", body, "application/json")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
    yield Bucket(name, emulator, proxy)
    _ask(emulator, "GET", "/wipe", b"", "")  # or its objects would stay in memory


def main(port: int) -> None:
    """Runs the emulator until standard input ends; prints its port, where 0 is given any."""
    import http.server
    import logging

    from gcp_storage_emulator.server import create_server

    logging.disable()
    http.server.HTTPServer.request_queue_size = 256
    with create_server("127.0.0.1", port, in_memory=True) as server:
        print(server._api._httpd.server_address[1], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))

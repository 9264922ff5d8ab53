"""A directory of files as Cloud Storage would serve it: read-only, fast, with a link as told.

    python benchmarks/object_server.py ROOT [--latency 0.05] [--bandwidth 200MB] [--port 0]

prints its URL, for STORAGE_EMULATOR_HOST, and serves until standard input ends. From Python:

    with object_server.serving(root, latency=0.05, bandwidth=200_000_000) as server:
        data = tfstream.open("gs://any-bucket/photos")      # ROOT/photos
        server.counts().bytes

It answers what tfstream's reading asks of the JSON API: objects' metadata, lists, whole
objects and ranges, of the generation that is asked for. All buckets hold the same, the files
below ROOT; so a benchmark takes a new bucket where no cache of whatever kind shall know its
objects. A file's generation is its time of change; CRCs are not stated.

`latency` is waited before the first byte of every answer. `bandwidth` is that of one link which
all connections share: bytes/s of bodies.

It stands in for the Python emulator where that would be what limits. Bodies go from the page
cache to the socket by sendfile. It takes some 0.1 ms of CPU a request and 0.3 s a GB: with a core
for itself it answers 10,000 requests a second, or sends 3 GB/s (in ranges of 4 MiB). A cap of
200 MB/s is delivered within 1 %, for 7 % of a core.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path

from tfstream.sizes import parse_size

PIECE = 256 << 10  # bytes that have the link to themselves
CREDIT_SECONDS = 0.01  # for which an idle link may be made up for, as sleeps last too long
LARGEST_HEAD = 64 << 10  # bytes
_ROUTE = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a server has done.

    Attributes:
        requests: Answered.
        downloads: Of them, for objects or parts of them.
        bytes: Of objects, sent.
        by_kind: The same by the ends of their names, ".tfrecord" and such.
        cpu: Seconds of all its threads.
    """

    requests: int
    downloads: int
    bytes: int
    by_kind: dict[str, int]
    cpu: float

    def __sub__(self, before: Counts) -> Counts:
        """What was done since."""
        return Counts(
            self.requests - before.requests,
            self.downloads - before.downloads,
            self.bytes - before.bytes,
            {kind: n - before.by_kind.get(kind, 0) for kind, n in self.by_kind.items()},
            self.cpu - before.cpu,
        )


class Link:
    """So many bytes a second, for all who send."""

    def __init__(self, bandwidth: float | None) -> None:
        self._bandwidth = bandwidth
        self._lock = threading.Lock()
        self._free_at = 0.0  # when what was taken on so far is through

    def send(self, count: int) -> None:
        """Waits for as long as so many bytes, and those before them, take."""
        if self._bandwidth is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - CREDIT_SECONDS) + count / self._bandwidth
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)


class ObjectServer:
    """The server: a thread for each connection."""

    def __init__(
        self, root: Path, *, latency: float = 0.0, bandwidth: float | None = None, port: int = 0
    ) -> None:
        """Listens, on loopback.

        Args:
            root: What all buckets hold.
            latency: Seconds before each answer.
            bandwidth: Bytes/s of bodies; None: as fast as it goes.
            port: 0: a free one.
        """
        self._root = root.resolve()
        self._latency = latency
        self._link = Link(bandwidth)
        self._lock = threading.Lock()
        self._requests = self._downloads = 0
        self._bytes: collections.Counter[str] = collections.Counter()
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def counts(self) -> Counts:
        """What it has done so far."""
        with self._lock:
            total = sum(self._bytes.values())
            by_kind = dict(self._bytes)
            return Counts(self._requests, self._downloads, total, by_kind, time.process_time())

    def _accept(self) -> None:
        while True:
            client, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        with client, contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in received:
                    more = client.recv(LARGEST_HEAD)
                    if not more or len(received) > LARGEST_HEAD:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                line, *fields = head.decode("latin-1").split("\r\n")
                method, target, _ = line.split(" ", 2)
                headers = dict(field.lower().split(": ", 1) for field in fields if ": " in field)
                if method != "GET":
                    self._answer(client, 405, _error(405, f"{method}: this server is read-only"))
                    return  # a body may follow
                self._get(client, target, headers)

    def _get(self, client: socket.socket, target: str, headers: dict[str, str]) -> None:
        if target == "/_counts":
            self._answer(client, 200, dataclasses.asdict(self.counts()))
            return
        time.sleep(self._latency)
        with self._lock:
            self._requests += 1
        path, _, query = target.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        route = _ROUTE.fullmatch(path)
        if route is None:
            self._answer(client, 404, _error(404, f"{path}: no such thing here"))
        elif route[2] is None:
            self._answer(client, 200, self._list(route[1], asked))
        else:
            self._get_object(client, route[1], urllib.parse.unquote(route[2]), asked, headers)

    def _get_object(
        self,
        client: socket.socket,
        bucket: str,
        name: str,
        asked: dict[str, str],
        headers: dict[str, str],
    ) -> None:
        missing = _error(404, f"No such object: {bucket}/{name}")
        if ".." in name.split("/") or name.startswith("/"):
            self._answer(client, 404, missing)
            return
        try:
            file = os.open(self._root / name, os.O_RDONLY)
        except OSError:
            self._answer(client, 404, missing)
            return
        try:
            found = _describe(bucket, name, os.fstat(file))
            if asked.get("generation", found["generation"]) != found["generation"]:
                self._answer(client, 404, missing)
            elif asked.get("alt") == "media":
                self._send(client, file, name, int(found["size"]), headers.get("range"))
            else:
                self._answer(client, 200, found)
        finally:
            os.close(file)

    def _send(
        self, client: socket.socket, file: int, name: str, size: int, asked: str | None
    ) -> None:
        """Sends an object, or the range of it that is asked for."""
        begin, end, status, place = 0, size, 200, ""
        match = _RANGE.fullmatch(asked or "")
        if match:
            begin, end = int(match[1]), min(int(match[2] or size) + 1, size)
            if begin >= end:
                self._answer(client, 416, _error(416, f"{asked}: not within {size} bytes"))
                return
            status, place = 206, f"Content-Range: bytes {begin}-{end - 1}/{size}\r\n"
        head = (
            f"HTTP/1.1 {status} {http.client.responses[status]}\r\n"
            f"Content-Type: application/octet-stream\r\n{place}"
            f"Content-Length: {end - begin}\r\n\r\n"
        )
        client.sendall(head.encode(), socket.MSG_MORE if end > begin else 0)
        with self._lock:
            self._downloads += 1
        kind = os.path.splitext(name)[1]
        while begin < end:
            self._link.send(min(PIECE, end - begin))
            stop = min(begin + PIECE, end)
            while begin < stop:
                count = os.sendfile(client.fileno(), file, begin, stop - begin)
                if count == 0:
                    raise OSError(f"{name} became shorter")
                begin += count
                with self._lock:
                    self._bytes[kind] += count

    def _list(self, bucket: str, asked: dict[str, str]) -> dict[str, object]:
        prefix, after = asked.get("prefix", ""), asked.get("pageToken", "")
        count = int(asked.get("maxResults", 1000))
        names = [
            name
            for directory, _, files in os.walk(self._root / os.path.dirname(prefix))
            for file in files
            if (name := os.path.relpath(os.path.join(directory, file), self._root)) > after
            and name.startswith(prefix)
        ]
        names.sort()
        items = [_describe(bucket, name, os.stat(self._root / name)) for name in names[:count]]
        page: dict[str, object] = {"kind": "storage#objects", "items": items}
        return page if len(names) <= count else {**page, "nextPageToken": names[count - 1]}

    def _answer(self, client: socket.socket, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status} {http.client.responses[status]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        client.sendall(head.encode() + data)


def _describe(bucket: str, name: str, status: os.stat_result) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": str(status.st_size),
        "generation": str(status.st_mtime_ns),
    }


def _error(status: int, message: str) -> dict[str, object]:
    return {"error": {"code": status, "message": message, "errors": []}}


@dataclasses.dataclass(frozen=True)
class Serving:
    """A server in a process of its own."""

    url: str

    def counts(self) -> Counts:
        """What it has done so far."""
        connection = http.client.HTTPConnection(self.url.rpartition("//")[2], timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/_counts")
            return Counts(**json.loads(connection.getresponse().read()))


@contextlib.contextmanager
def serving(
    root: Path,
    *,
    latency: float = 0.0,
    bandwidth: float | None = None,
    cores: Collection[int] = (),
) -> Iterator[Serving]:
    """Starts a server, which this process and its children take for Cloud Storage meanwhile.

    Args:
        root: What all buckets hold.
        latency: Seconds before each answer.
        bandwidth: Bytes/s of bodies; None: as fast as it goes.
        cores: That it runs on; empty: all.
    """
    command = [sys.executable, __file__, str(root), "--latency", str(latency)]
    if bandwidth is not None:
        command += ["--bandwidth", str(int(bandwidth))]
    if cores:
        command += ["--cores", *map(str, cores)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes")
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"{command} did not start")
        with as_storage(url):
            yield Serving(url)
        process.stdin.close()


@contextlib.contextmanager
def as_storage(url: str) -> Iterator[None]:
    """Has this process and its children take a server for Cloud Storage meanwhile."""
    name = "STORAGE_EMULATOR_HOST"
    before = os.environ.get(name)
    os.environ[name] = url
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--cores", type=int, nargs="+", help="those to run on; all if left out")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument(
        "--bandwidth", help="bytes/s, such as 200MB; as fast as it goes if left out"
    )
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.cores:
        os.sched_setaffinity(0, arguments.cores)
    bandwidth = arguments.bandwidth and parse_size(arguments.bandwidth, "--bandwidth")
    server = ObjectServer(
        arguments.root, latency=arguments.latency, bandwidth=bandwidth, port=arguments.port
    )
    print(server.url, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()


if __name__ == "__main__":
    main()

"""A proxy before the storage emulator that is slow, breaks off and refuses, as told.

In a test, by the fixture `proxy` (see emulator.py), which is one of these:

    proxy.latency = 0.05                # seconds before each answer
    proxy.bandwidth = 200e6             # bytes/s of bodies, over all connections; None: no cap
    proxy.script("503", count=3, match="manifests", retry_after=1)    # the next 3 such requests
    proxy.inject(0.1, ("reset", "truncate", "503"), seed=7, limit=10_000)    # one in ten, by chance
    proxy.calm()                        # no faults any more
    proxy.stats()                       # {"requests": …, "downloads": …, "bytes": …, "faults": {…}}
    proxy.log                           # every request: method, path, range, what it got

`match` is a regular expression, searched in "METHOD path?query"; `inject` meets downloads alone
unless told otherwise. Faults: a status ("503", "429", "401", "403", "404", "500" …), "reset" (the
connection breaks before the answer), "lost" (the request is carried out, the answer lost),
"truncate" and "break" (the body ends early: closed, or reset), "stall" (silence amid the body, for
`stall_seconds`), "silence" (as long, before the answer), "slow" (`slow_seconds` before the answer),
"flip" (a bit of the body is wrong).

It also does what the emulator leaves out: preconditions (`ifGenerationMatch`: 412), downloads of
a generation that is gone (404), the messages of 404s. Objects overwritten past the proxy go
unnoticed, unless `forget()` is called.

As a program, with the same knobs as options; faults and figures over HTTP:

    python tests/fault_proxy.py --upstream http://127.0.0.1:9023 --port 9024 --latency 0.05
    curl http://127.0.0.1:9024/_proxy/stats
    curl http://127.0.0.1:9024/_proxy/set -d '{"latency": 0.1}'
    curl http://127.0.0.1:9024/_proxy/set -d '{"inject": {"probability": 0.1, "faults": ["503"]}}'
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import http.client
import json
import random
import re
import select
import socket
import socketserver
import ssl
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

_PIECE = 64 << 10  # bytes of a body sent at once
_MEDIA = re.compile(r"GET .*alt=media")
_OBJECT = re.compile(r"/b/([^/]+)/o/([^/]+)$")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o$")
_BUCKET = re.compile(r"/b/([^/]+)")
_BODY_FAULTS = {"truncate", "break", "stall", "flip"}


@dataclasses.dataclass(frozen=True)
class Logged:
    """A request and what came of it: a status, or the name of a fault."""

    method: str
    path: str
    range: str
    outcome: str


@dataclasses.dataclass
class _Rule:
    fault: str
    count: int
    match: re.Pattern[str]
    retry_after: float | str | None


@dataclasses.dataclass
class _Chance:
    probability: float
    faults: tuple[str, ...]
    match: re.Pattern[str]
    random: random.Random
    left: float


@dataclasses.dataclass
class _Request:
    method: str
    path: str  # with the query
    headers: dict[str, str]  # names in small letters
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclasses.dataclass
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class _Broken(Exception):
    """The connection to the client is to end, or has."""


class FaultProxy:
    """The proxy, listening on a port of its own; a context manager that ends it."""

    def __init__(self, upstream: str, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream
        self._tls = tls
        self.latency = 0.0
        self.bandwidth: float | None = None
        self.stall_seconds = 30.0
        self.slow_seconds = 1.0
        self.log: list[Logged] = []
        self.most_at_once = 0  # requests that were answered at the same time
        self._answering = 0
        self._lock = threading.Lock()
        self._writes = threading.RLock()
        self._upstream_slots = threading.Semaphore(8)
        self._rules: list[_Rule] = []
        self._chance: _Chance | None = None
        self._counts: collections.Counter[str] = collections.Counter()
        self._faults: collections.Counter[str] = collections.Counter()
        self._free_at = 0.0  # when the link has sent what was given to it
        self._generations: dict[tuple[str, str], str] = {}
        self._uploads: dict[str, tuple[str, str, str]] = {}
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", port), self._serve)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        """Ends all connections that clients have open."""
        for client in list(self._open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def settle(self, timeout: float = 30.0) -> None:
        """Waits until what clients that are gone had asked for is done, and no client is left."""
        until = time.monotonic() + timeout
        quiet = 0
        while quiet < 5:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self._open)} connections are still open")
            quiet = 0 if self._open else quiet + 1
            time.sleep(0.01)

    def script(
        self,
        fault: str,
        *,
        count: int = 1,
        match: str = "",
        retry_after: float | str | None = None,
    ) -> None:
        """Lets the next `count` requests that match have a fault; earlier scripts come first."""
        with self._lock:
            self._rules.append(_Rule(fault, count, re.compile(match), retry_after))

    def inject(
        self,
        probability: float,
        faults: Sequence[str],
        *,
        seed: int = 0,
        match: str = _MEDIA.pattern,
        limit: float = float("inf"),
    ) -> None:
        """Gives requests that match one of the faults, by chance, `limit` times at most."""
        with self._lock:
            self._chance = _Chance(
                probability, tuple(faults), re.compile(match), random.Random(seed), limit
            )

    def calm(self) -> None:
        """Ends all faults; latency and bandwidth stay."""
        with self._lock:
            self._rules, self._chance = [], None

    def stats(self) -> dict[str, Any]:
        """What was done so far; `bytes` are those of downloaded objects."""
        with self._lock:
            counts = {name: self._counts[name] for name in ("requests", "downloads", "bytes")}
            return {**counts, "faults": dict(self._faults)}

    def reset_stats(self) -> None:
        """Counts from 0 again, with an empty log."""
        with self._lock:
            self._counts.clear()
            self._faults.clear()
            self.log = []

    def forget(self) -> None:
        """Asks for the generations of objects again, as they were overwritten past the proxy."""
        with self._lock:
            self._generations.clear()

    # One connection of a client.

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:
                return
        self._open.add(client)
        try:
            with client.makefile("rb") as file:
                while (request := _receive(file)) is not None:
                    with self._counted():
                        self._answer(client, request)
        except (_Broken, OSError):
            pass
        finally:
            self._open.discard(client)
            client.close()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._answering += 1
            self.most_at_once = max(self.most_at_once, self._answering)
        try:
            yield
        finally:
            with self._lock:
                self._answering -= 1

    def _answer(self, client: socket.socket, request: _Request) -> None:
        if request.path.startswith("/_proxy/"):
            self._send(client, self._control(request), None)
            return
        fault, retry_after, chance = self._choose(request)
        media = _MEDIA.search(request.line) is not None
        self._wait(client, self.latency)
        if fault == "slow":
            self._wait(client, self.slow_seconds)
        elif fault == "silence":
            self._note(request, fault, media)
            self._wait(client, self.stall_seconds)
            raise _Broken
        elif fault == "reset":
            self._note(request, fault, media)
            _break(client)
        if fault is not None and fault.isdigit():
            answer = _refusal(int(fault), retry_after)
        else:
            answer = self._ask(request)
        # Before the answer: whoever has it may look at the figures at once.
        self._note(request, fault, media, answer.status)
        if fault == "lost":
            _break(client)
        body_fault = fault if fault in _BODY_FAULTS else None
        self._send(client, answer, body_fault, chance, media=media)

    def _note(
        self, request: _Request, fault: str | None, media: bool, status: int | None = None
    ) -> None:
        with self._lock:
            self._counts["requests"] += 1
            self._counts["downloads"] += media
            if fault is not None:
                self._faults[fault] += 1
            outcome = fault or str(status)
            asked = request.headers.get("range", "")
            self.log.append(Logged(request.method, request.path, asked, outcome))

    def _choose(self, request: _Request) -> tuple[str | None, float | str | None, float]:
        with self._lock:
            for rule in self._rules:
                if rule.count > 0 and rule.match.search(request.line):
                    rule.count -= 1
                    return rule.fault, rule.retry_after, 0.5
            chance = self._chance
            if chance is None or chance.left < 1 or not chance.match.search(request.line):
                return None, None, 0.0
            if chance.random.random() >= chance.probability:
                return None, None, 0.0
            chance.left -= 1
            return chance.random.choice(chance.faults), None, chance.random.random()

    def _wait(self, client: socket.socket, seconds: float) -> None:
        """Sleeps, unless the client hangs up or the proxy ends."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if left < 0.2:
                time.sleep(left)
                continue
            poll = select.poll()
            poll.register(client, select.POLLIN | select.POLLRDHUP)
            if self._closing.is_set() or poll.poll(200):
                raise _Broken

    def _send(
        self,
        client: socket.socket,
        answer: _Answer,
        fault: str | None,
        chance: float = 0.0,
        *,
        media: bool = False,
    ) -> None:
        phrase = http.client.responses.get(answer.status, "")
        head = [f"HTTP/1.1 {answer.status} {phrase}"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        head += [f"Content-Length: {len(answer.body)}", "", ""]
        body = memoryview(answer.body)
        end = len(body)
        if fault == "flip" and end:
            changed = bytearray(body)
            changed[int(chance * end)] ^= 1 << (int(chance * 1e6) % 8)
            body = memoryview(changed)
        elif fault is not None:
            end = min(int(chance * end), end - 1)
        begin = "\r\n".join(head).encode()
        for place in range(0, max(end, 1), _PIECE):
            piece = body[place : min(place + _PIECE, end)]
            self._take_turn(len(piece))
            if media:
                with self._lock:
                    self._counts["bytes"] += len(piece)
            client.sendall(b"".join((begin, piece)))
            begin = b""
        if fault == "stall":
            self._wait(client, self.stall_seconds)
        if fault == "break":
            _break(client)
        if fault in ("truncate", "stall"):
            raise _Broken

    def _take_turn(self, count: int) -> None:
        """Waits until the link has room for so many bytes."""
        if self.bandwidth is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 0.005) + count / self.bandwidth
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)

    # What the emulator is asked, and what it leaves out.

    def _ask(self, request: _Request) -> _Answer:
        if request.method == "GET":
            return self._read(request)
        with self._writes:
            refused = self._check_precondition(request)
            if refused is not None:
                return refused
            answer = self._forward(request)
            self._note_write(request, answer)
            return self._repaired(request, answer)

    def _read(self, request: _Request) -> _Answer:
        wanted = request.query.get("generation")
        match = _OBJECT.search(urllib.parse.urlsplit(request.path).path)
        if match and wanted is not None and self._generation(*match.groups()) != wanted:
            # The object may be newer than what is remembered of it.
            self._generations.pop((match[1], match[2]), None)
            if self._generation(*match.groups()) != wanted:
                return self._not_found(request)
        return self._repaired(request, self._forward(request))

    def _generation(self, bucket: str, name: str) -> str:
        """Of an object, its name as it is in a URL; "0" where there is none."""
        known = self._generations.get((bucket, name))
        if known is None:
            path = f"/storage/v1/b/{bucket}/o/{name}"
            answer = self._forward(_Request("GET", path, {}, b""))
            known = json.loads(answer.body)["generation"] if answer.status == 200 else "0"
            if known != "0":
                self._generations[bucket, name] = known
        return known

    def _target(self, request: _Request) -> tuple[str, str, str] | None:
        """(bucket, name, precondition) of a write that may be refused for its precondition."""
        url, query = urllib.parse.urlsplit(request.path), request.query
        upload = query.get("upload_id")
        if upload is not None:
            span = re.fullmatch(r"bytes (?:\d+-(\d+)|\*)/(\d+)", request.headers["content-range"])
            last = span and int(span[1] or -1) + 1 == int(span[2])
            return self._uploads.get(upload) if last else None
        wanted = query.get("ifGenerationMatch")
        if wanted is None:
            return None
        begun = _UPLOAD.search(url.path)
        if begun:
            return begun[1], urllib.parse.quote(_uploaded_name(request), safe=""), wanted
        match = _OBJECT.search(url.path)
        return (match[1], match[2], wanted) if match else None

    def _check_precondition(self, request: _Request) -> _Answer | None:
        target = self._target(request)
        if target is None:
            return None
        bucket, name, wanted = target
        self._generations.pop((bucket, name), None)
        found = self._generation(bucket, name)
        if found == wanted:
            return None
        return _error(412, "conditionNotMet", "At least one of the pre-conditions did not hold.")

    def _note_write(self, request: _Request, answer: _Answer) -> None:
        url = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qs(url.query)
        if query.get("uploadType") == ["resumable"] and "upload_id" not in query:
            begun = _UPLOAD.search(url.path)
            place = urllib.parse.urlsplit(answer.headers.get("Location", "")).query
            upload = urllib.parse.parse_qs(place).get("upload_id", [""])[0]
            if begun and "ifGenerationMatch" in query:
                name = urllib.parse.quote(_uploaded_name(request), safe="")
                self._uploads[upload] = (begun[1], name, query["ifGenerationMatch"][0])
            return
        # Whatever was written is another generation now.
        self._generations.clear()

    def _repaired(self, request: _Request, answer: _Answer) -> _Answer:
        """What Google would have answered where the emulator's answer is not that."""
        if answer.status == 404 and not answer.body:
            return self._not_found(request)
        asked = request.headers.get("content-range", "").startswith("bytes *")
        if answer.status == 308 and asked and answer.headers.get("Range") == "bytes=0-0":
            del answer.headers["Range"]  # the emulator says that it has a byte where it has none
        return answer

    def _not_found(self, request: _Request) -> _Answer:
        url = urllib.parse.urlsplit(request.path)
        if "upload_id" in request.query:
            return _error(404, "notFound", "Not Found")
        bucket = _BUCKET.search(url.path)
        if bucket:
            there = self._forward(_Request("GET", f"/storage/v1/b/{bucket[1]}", {}, b""))
            if there.status == 404:
                return _error(404, "notFound", "The specified bucket does not exist.")
        match = _OBJECT.search(url.path)
        name = f"{match[1]}/{urllib.parse.unquote(match[2])}" if match else url.path
        if "alt=media" in url.query:
            return _Answer(404, {"Content-Type": "text/html"}, f"No such object: {name}".encode())
        return _error(404, "notFound", f"No such object: {name}")

    def _forward(self, request: _Request) -> _Answer:
        host, port = self.upstream.rpartition("//")[2].split(":")
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in ("connection", "accept-encoding")
        }
        with self._upstream_slots:
            connection = http.client.HTTPConnection(host, int(port), timeout=60)
            try:
                connection.putrequest(
                    request.method,
                    request.path,
                    skip_host="host" in headers,
                    skip_accept_encoding=True,
                )
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(request.body or None)
                response = connection.getresponse()
                kept = ("Content-type", "Content-Range", "Range", "Location", "X-Goog-Hash")
                found = {name: response.headers[name] for name in kept if name in response.headers}
                return _Answer(response.status, found, response.read())
            except (http.client.HTTPException, OSError) as error:
                raise _Broken from error
            finally:
                connection.close()

    def _control(self, request: _Request) -> _Answer:
        if request.path == "/_proxy/set":
            for name, value in json.loads(request.body).items():
                if name in ("script", "inject"):
                    getattr(self, name)(**value)
                elif name in ("calm", "reset_stats", "forget"):
                    getattr(self, name)()
                elif name in ("latency", "bandwidth", "stall_seconds", "slow_seconds"):
                    setattr(self, name, value)
                else:
                    return _error(400, "invalid", f"no setting {name!r}")
        return _Answer(200, {"Content-Type": "application/json"}, json.dumps(self.stats()).encode())


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], serve: Any) -> None:
        self._serve = serve
        super().__init__(address, socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._serve(request)

    def shutdown_request(self, request: Any) -> None:
        request.close()  # without a FIN of its own first: a reset must stay one


def _receive(file: Any) -> _Request | None:
    """The next request; None where the client has hung up."""
    line = file.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    body = file.read(length)
    if len(body) < length:  # killed in the midst of it: the emulator would wait for the rest
        return None
    return _Request(method, path, headers, body)


def _break(client: socket.socket) -> None:
    """Ends a connection by a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise _Broken


def _error(status: int, reason: str, message: str) -> _Answer:
    error = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
    }
    body = json.dumps({"error": error}).encode()
    return _Answer(status, {"Content-Type": "application/json; charset=UTF-8"}, body)


def _refusal(status: int, retry_after: float | str | None) -> _Answer:
    reasons = {401: "required", 403: "forbidden", 404: "notFound", 429: "rateLimitExceeded"}
    message = {
        401: "Anonymous caller does not have storage.objects.get access.",
        403: "tester@example.com does not have storage.objects.get access.",
    }.get(status, f"the proxy was told to answer {status}")
    answer = _error(status, reasons.get(status, "backendError"), message)
    if retry_after is not None:
        answer.headers["Retry-After"] = f"{retry_after}"
    return answer


def _uploaded_name(request: _Request) -> str:
    """The object's name in the request that makes it, or begins to."""
    name = request.query.get("name")
    if name is not None:
        return name
    match = re.search(rb'\{.*?"name": *("(?:[^"\\]|\\.)*")', request.body, re.DOTALL)
    return json.loads(match[1]) if match else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="A proxy before a storage emulator.")
    parser.add_argument("--upstream", required=True, help="URL of the emulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a request")
    parser.add_argument("--bandwidth", type=float, help="bytes/s")
    options = parser.parse_args()
    with FaultProxy(options.upstream, port=options.port) as proxy:
        proxy.latency, proxy.bandwidth = options.latency, options.bandwidth
        print(proxy.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()

"""Tests of tfstream/storage/gcs_client.py: with what credentials, and over TLS."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import selectors
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from emulator import Bucket
from fault_proxy import FaultProxy

from tfstream import errors
from tfstream.storage.directory import Access, Attempt, ObjectInfo
from tfstream.storage.gcs import GcsDirectory

DATA = os.urandom(1_000_000)


def _read(directory: GcsDirectory, info: ObjectInfo) -> bytes:
    buffer = bytearray(info.size)
    directory.read_range(info, 0, memoryview(buffer), Attempt())
    return bytes(buffer)


@pytest.fixture
def authenticated(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    """A bucket that is reached as Google's own are: by whatever credentials there are."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", bucket.proxy.url)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    # Where there may be a metadata server, or nobody who answers at all.
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:9")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    return bucket


class _Tokens(http.server.BaseHTTPRequestHandler):
    """Gives out access tokens: "token-1", "token-2" ..."""

    given = 0
    refuses = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        cls = type(self)
        cls.given += 1
        body = {"access_token": f"token-{cls.given}", "expires_in": 3600, "token_type": "Bearer"}
        if cls.refuses:
            body = {"error": "invalid_grant", "error_description": "Account has been deleted"}
        data = json.dumps(body).encode()
        self.send_response(400 if cls.refuses else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service_account(
    authenticated: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[type[_Tokens]]:
    """A key file of a service account, and the server that takes it for tokens."""

    class Tokens(_Tokens):
        pass

    with http.server.HTTPServer(("127.0.0.1", 0), Tokens) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file = tmp_path / "key.json"
        file.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "client_email": "packer@project.iam.gserviceaccount.com",
                    "private_key": pem.decode(),
                    "private_key_id": "1",
                    "project_id": "project",
                    "token_uri": f"http://127.0.0.1:{server.server_address[1]}/token",
                }
            )
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        yield Tokens
        server.shutdown()


def test_credentials_are_sent_along_and_renewed_when_they_are_refused(
    authenticated: Bucket, service_account: type[_Tokens]
) -> None:
    authenticated.put("x", DATA)
    directory = GcsDirectory(authenticated.uri)
    info = directory.stat("x")
    assert _read(directory, info) == DATA
    assert service_account.given == 1
    authenticated.proxy.script("401")
    assert _read(directory, info) == DATA
    assert service_account.given == 2
    authenticated.proxy.script("401")
    assert directory.stat("x") == info
    assert service_account.given == 3


def test_an_account_without_the_role_is_named(
    authenticated: Bucket, service_account: type[_Tokens]
) -> None:
    directory = GcsDirectory(authenticated.uri)
    authenticated.proxy.script("403", count=2)
    for call in (
        lambda: directory.stat("x"),
        lambda: _read(directory, ObjectInfo("x", 5, "1")),
    ):
        message = r"/x may not be read by the service account packer@.*roles/storage.objectViewer"
        with pytest.raises(errors.AccessDeniedError, match=message):
            call()


def test_an_account_that_gets_no_token_is_told(
    authenticated: Bucket, service_account: type[_Tokens]
) -> None:
    service_account.refuses = True
    directory = GcsDirectory(authenticated.uri)
    for call in (
        lambda: directory.stat("x"),
        lambda: _read(directory, ObjectInfo("x", 5, "1")),
    ):
        with pytest.raises(errors.AccessDeniedError, match=r"has been deleted.*gcloud auth"):
            call()


def test_a_machine_without_credentials_reads_what_is_public(authenticated: Bucket) -> None:
    authenticated.put("x", DATA)
    begun = time.monotonic()
    directory = GcsDirectory(authenticated.uri)
    assert _read(directory, directory.stat("x")) == DATA
    assert time.monotonic() - begun < 8


def test_a_machine_without_credentials_is_told_how_to_get_some(authenticated: Bucket) -> None:
    directory = GcsDirectory(authenticated.uri)
    authenticated.proxy.script("401", count=2)
    for call in (
        lambda: directory.stat("x"),
        lambda: _read(directory, ObjectInfo("x", 5, "1")),
    ):
        with pytest.raises(errors.AccessDeniedError) as caught:
            call()
        assert "no Google credentials on this machine" in str(caught.value)
        assert "gcloud auth application-default login" in str(caught.value)
    with pytest.raises(errors.AccessDeniedError, match=r"no Google credentials.*gcloud auth"):
        GcsDirectory(authenticated.uri, Access(anonymous=False)).stat("x")


def test_a_key_file_that_cannot_be_used_is_named(
    authenticated: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text in (None, "{}", "no json"):
        path = tmp_path / f"key-{text}.json"
        if text is not None:
            path.write_text(text)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        with pytest.raises(errors.AccessDeniedError, match=r"GOOGLE_APPLICATION_CREDENTIALS.*key"):
            GcsDirectory(authenticated.uri).stat("x")


def test_anonymous_access_sends_no_credentials(
    authenticated: Bucket, service_account: type[_Tokens]
) -> None:
    authenticated.put("x", DATA)
    directory = GcsDirectory(authenticated.uri, Access(anonymous=True))
    assert _read(directory, directory.stat("x")) == DATA
    assert service_account.given == 0
    authenticated.proxy.script("401")
    with pytest.raises(errors.AccessDeniedError, match=r"by nobody \(anonymous\).*public"):
        directory.stat("x")


def test_looking_for_credentials_is_quick_and_silent_where_there_are_none(
    authenticated: Bucket,
) -> None:
    program = (
        "import time; from tfstream.storage.uri import open_directory\n"
        "from tfstream.storage import gcs_client\n"
        "begun = time.monotonic()\n"
        "gcs_client.connect(gcs_client.Access())\n"
        "print(time.monotonic() - begun)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 6
    assert done.stderr == ""


def test_a_child_process_has_connections_of_its_own(bucket: Bucket) -> None:
    bucket.put("x", DATA)
    directory = GcsDirectory(bucket.uri)
    info = directory.stat("x")
    assert _read(directory, info) == DATA
    pid = os.fork()
    if pid == 0:
        os._exit(0 if all(_read(directory, info) == DATA for _ in range(20)) else 1)
    assert all(_read(directory, info) == DATA for _ in range(20))
    assert os.waitpid(pid, 0)[1] == 0


# Over TLS.


@pytest.fixture
def tls(
    authenticated: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FaultProxy]:
    """A proxy that speaks TLS, with a certificate that this machine trusts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    with FaultProxy(authenticated.emulator, tls=context) as proxy:
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", proxy.url)
        yield proxy


def test_ranges_are_read_over_tls(authenticated: Bucket, tls: FaultProxy) -> None:
    authenticated.put("x", DATA)
    directory = GcsDirectory(authenticated.uri, Access(anonymous=True), stall=1.0)
    info = directory.stat("x")
    for _ in range(3):
        assert _read(directory, info) == DATA
        tls.hang_up()
    assert _read(directory, info) == DATA
    for fault in ("reset", "truncate", "break", "stall"):
        tls.script(fault, count=2 if fault == "reset" else 1)
        with pytest.raises(errors.TransientError):
            _read(directory, info)
        assert _read(directory, info) == DATA


def test_a_read_over_tls_that_waits_can_be_cut_short(
    authenticated: Bucket, tls: FaultProxy
) -> None:
    authenticated.put("x", DATA)
    directory = GcsDirectory(authenticated.uri, Access(anonymous=True), stall=600.0)
    tls.stall_seconds = 600
    info = directory.stat("x")
    for fault in ("stall", "silence"):
        tls.script(fault)
        attempt = Attempt()
        threading.Timer(0.3, attempt.cancel).start()
        begun = time.monotonic()
        with pytest.raises(errors.TransientError):
            directory.read_range(info, 0, memoryview(bytearray(info.size)), attempt)
        assert time.monotonic() - begun < 60


class _Tunnel(socketserver.StreamRequestHandler):
    """A proxy for HTTPS: answers CONNECT, then passes bytes on."""

    asked: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.asked.append(self.rfile.readline().decode())
        while self.rfile.readline().strip():
            pass
        host, port = self.asked[-1].split()[1].split(":")
        with socket.create_connection((host, int(port))) as far:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            ends = {self.connection: far, far: self.connection}
            # Not select(), which knows the first 1,024 descriptors alone.
            with selectors.DefaultSelector() as waiting:
                for end in ends:
                    waiting.register(end, selectors.EVENT_READ)
                while True:
                    for key, _ in waiting.select():
                        end = self.connection if key.fileobj is self.connection else far
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        ends[end].sendall(data)


def test_a_proxy_for_https_is_gone_through(
    authenticated: Bucket, tls: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticated.put("x", DATA)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tunnel) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        directory = GcsDirectory(authenticated.uri, Access(project="tunnel", anonymous=True))
        assert _read(directory, directory.stat("x")) == DATA
        asked = [line.split()[:2] for line in _Tunnel.asked]
        assert asked == [["CONNECT", f"127.0.0.1:{tls.port}"]] * 2
        tls.hang_up()
        server.shutdown()


def test_a_server_that_is_not_trusted_gets_no_second_try(
    authenticated: Bucket, tls: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    directory = GcsDirectory(authenticated.uri, Access(project="another", anonymous=True))
    with pytest.raises(errors.StorageError, match=r"certificate is not trusted") as caught:
        directory.stat("x")
    assert not isinstance(caught.value, errors.TransientError)
    with pytest.raises(errors.StorageError, match=r"certificate is not trusted") as caught:
        _read(directory, ObjectInfo("x", 5, "1"))
    assert not isinstance(caught.value, errors.TransientError)

"""Tests of tfstream/view/guard.py: who is let in, and what a page of the server may do."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from view_server import ADDRESS, TOKEN, app_of

from tfstream.view.guard import is_own_name


@pytest.fixture(scope="module")
def stranger(packed: Path) -> TestClient:
    """A browser without the token."""
    return TestClient(app_of(packed), base_url=ADDRESS, follow_redirects=False)


@pytest.mark.parametrize(
    "path",
    ["/", "/?token=", "/?token=wrong", "/api/about", "/static/main.js", "/picture/1-ab/0/160"],
)
def test_without_the_token_nothing_is_told(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "open the whole address that `tfstream view` printed" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_wrong_cookie_is_no_token(stranger: TestClient) -> None:
    for cookie in ("tfstream-view-8765=x", "tfstream-view-8765=\xe9", f"other={TOKEN}", ";;=,"):
        answer = stranger.get("/", headers={"cookie": cookie.encode("latin-1")})
        assert answer.status_code == 401


def test_the_token_becomes_a_cookie_that_other_sites_cannot_use(packed: Path) -> None:
    stranger = TestClient(app_of(packed), base_url=ADDRESS, follow_redirects=False)
    answer = stranger.get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"  # the token does not stay in the address
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/api/about").status_code == 200


def test_a_strange_name_that_leads_here_is_refused(client: TestClient) -> None:
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example:8765", ""):
        answer = client.get("/api/about", headers={"host": host})
        assert answer.status_code == 421
        assert "is not a name of this server" in answer.text
    assert client.get("/api/about", headers={"host": "localhost:8765"}).status_code == 200


@pytest.mark.parametrize(
    ("header", "host", "own"),
    [
        ("[::1]:80", "127.0.0.1", True),
        ("[::1]evil.example", "127.0.0.1", False),
        ("10.1.2.3:80", "127.0.0.1", False),
        ("10.1.2.3:80", "0.0.0.0", True),
        ("evil.example:80", "0.0.0.0", False),
        ("Box.Example:80", "box.example", True),
    ],
)
def test_names_are_the_servers_own(header: str, host: str, own: bool) -> None:
    assert is_own_name(header, host) is own


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null", None])
def test_another_page_changes_nothing(client: TestClient, packed: Path, origin: str | None) -> None:
    headers = {"origin": origin or ""}
    answer = client.post("/api/slices", json={"name": "stolen"}, headers=headers)
    assert answer.status_code == 403
    assert not (packed / "slices").exists()


def test_every_answer_forbids_foreign_scripts_and_sharing(client: TestClient) -> None:
    for path in ("/", "/api/about", "/static/main.js", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fopening.py",
        "/static//etc/passwd",
        "/picture/1-../../../etc/passwd/0/160",
    ],
)
def test_no_file_beside_the_page_can_be_read(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404

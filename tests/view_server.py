"""The server of `tfstream view`, within the test's own process."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from tfstream.view.app import make_app
from tfstream.view.session import Session, Source

TOKEN = "a-secret"
PORT = 8765
ADDRESS = f"http://127.0.0.1:{PORT}"


def app_of(path: Path | str, **source: str) -> Starlette:
    """The application for a dataset."""
    session = Session(Source(str(path), **source))
    return make_app(session, token=TOKEN, host="127.0.0.1", port=PORT)


def client_of(path: Path | str, **source: str) -> TestClient:
    """A browser that has opened the address of the page of a dataset."""
    client = TestClient(app_of(path, **source), base_url=ADDRESS)
    assert client.get("/", params={"token": TOKEN}).status_code == 200
    client.headers["origin"] = ADDRESS
    return client

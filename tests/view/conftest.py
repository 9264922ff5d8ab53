"""A dataset to look at, and the server of its page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import scenes
from starlette.testclient import TestClient
from view_server import client_of


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes, for tests that change nothing."""
    return scenes.write(tmp_path_factory.mktemp("view") / "scenes")


@pytest.fixture
def own(packed: Path, tmp_path: Path) -> Path:
    """The scenes, for a test that changes them."""
    return Path(shutil.copytree(packed, tmp_path / "scenes"))


@pytest.fixture(scope="session")
def client(packed: Path) -> TestClient:
    """A browser that looks at the scenes."""
    return client_of(packed)

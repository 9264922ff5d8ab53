"""What tests of exports share."""

from __future__ import annotations

from pathlib import Path

import exportable
import pytest


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed dataset whose records have all that records may have."""
    return exportable.pack(tmp_path_factory.mktemp("everything"))

"""A selection as files of other formats: one writer a format, behind `export`."""

from __future__ import annotations

from tfstream.export.exporting import Exported, export
from tfstream.export.registry import FORMATS

__all__ = ["FORMATS", "Exported", "export"]

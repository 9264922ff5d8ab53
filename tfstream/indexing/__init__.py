"""TFRecord files that are there already, as a dataset in place."""

from __future__ import annotations

from tfstream.indexing.indexer import index as _index
from tfstream.packing import opening

__all__ = ["index"]

index = opening(_index)

"""The page cache on local disk, shared by all processes of a host."""

from __future__ import annotations

from tfstream.cache.cached_object import CachedObject, Claim
from tfstream.cache.layout import PAGE
from tfstream.cache.pages import PageCache

__all__ = ["PAGE", "CachedObject", "Claim", "PageCache"]

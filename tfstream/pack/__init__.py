"""Packing: a tree of annotated images in, the first version of a dataset out."""

from __future__ import annotations

from tfstream.pack.packer import PackResult, pack

__all__ = ["PackResult", "pack"]

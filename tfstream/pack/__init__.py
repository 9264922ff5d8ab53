"""Packing: a tree of annotated images in, the first version of a dataset out."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from tfstream.pack import packer
from tfstream.pack.packer import PackResult

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["PackResult", "pack"]

_Parameters = ParamSpec("_Parameters")


def _opening(
    function: Callable[_Parameters, PackResult],
) -> Callable[_Parameters, PackedDataset]:
    @functools.wraps(function)
    def pack(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> PackedDataset:
        from tfstream.dataset import open_dataset

        return open_dataset(function(*args, **kwargs).dest)

    return pack


pack = _opening(packer.pack)


class _Room(types.ModuleType):
    """The room, callable: importing it puts it where `tfstream.pack(...)` finds the function."""

    __call__ = staticmethod(pack)


sys.modules[__name__].__class__ = _Room

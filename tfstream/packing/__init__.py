"""Packing: a tree of annotated images in, the first version of a dataset out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from tfstream.packing import packer

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["pack"]

_Parameters = ParamSpec("_Parameters")


def _opening(
    function: Callable[_Parameters, packer.PackResult],
) -> Callable[_Parameters, PackedDataset]:
    """The same function, returning the dataset that was made instead of how it went."""

    @functools.wraps(function)
    def pack(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> PackedDataset:
        from tfstream.opening import open_dataset

        project = kwargs.get("project")  # billed for reading, too
        dest = function(*args, **kwargs).dest
        return open_dataset(dest, project=project if isinstance(project, str) else None)

    return pack


pack = _opening(packer.pack)

"""Packing: a tree of annotated images in, the first or the next version of a dataset out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from tfstream.packing.appending import append as _append
from tfstream.packing.job import PackResult
from tfstream.packing.packer import pack as _pack

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["append", "pack"]

_Parameters = ParamSpec("_Parameters")


def _opening(
    function: Callable[_Parameters, PackResult],
) -> Callable[_Parameters, PackedDataset]:
    """The same function, returning the version that was made instead of how it went."""

    @functools.wraps(function)
    def opening(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> PackedDataset:
        from tfstream.opening import open_dataset

        project = kwargs.get("project")  # billed for reading, too
        made = function(*args, **kwargs)
        return open_dataset(
            made.dest,
            version=made.version,
            project=project if isinstance(project, str) else None,
        )

    return opening


pack = _opening(_pack)
append = _opening(_append)

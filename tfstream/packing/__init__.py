"""Packing: a tree of annotated images in, the first or the next version of a dataset out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol

from tfstream.packing.appending import append as _append
from tfstream.packing.packer import pack as _pack

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["append", "opening", "pack"]

_Parameters = ParamSpec("_Parameters")


class _Made(Protocol):
    """What says how the making of a version went."""

    @property
    def dest(self) -> Path | str: ...
    @property
    def version(self) -> int: ...


def opening(
    function: Callable[_Parameters, _Made],
) -> Callable[_Parameters, PackedDataset]:
    """The same function, returning the version that was made instead of how it went."""

    @functools.wraps(function)
    def opened(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> PackedDataset:
        from tfstream.opening import open_dataset

        project = kwargs.get("project")  # billed for reading, too
        made = function(*args, **kwargs)
        return open_dataset(
            made.dest,
            version=made.version,
            project=project if isinstance(project, str) else None,
        )

    return opened


pack = opening(_pack)
append = opening(_append)

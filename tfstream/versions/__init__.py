"""The versions of a dataset: making new ones, telling them apart, and freeing what none needs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfstream.versions.difference import Changed, Difference, diff
    from tfstream.versions.garbage import Garbage, delete_garbage, find_garbage, retire
    from tfstream.versions.history import VersionInfo, resolve, rollback, versions
    from tfstream.versions.relabelling import relabel
    from tfstream.versions.removing import remove
    from tfstream.versions.tags import Tag, tag

__all__ = [
    "Changed",
    "Difference",
    "Garbage",
    "Tag",
    "VersionInfo",
    "delete_garbage",
    "diff",
    "find_garbage",
    "relabel",
    "remove",
    "resolve",
    "retire",
    "rollback",
    "tag",
    "versions",
]

# Loaded when they are asked for: listing versions needs no numpy.
_HOMES = {
    "Changed": "difference",
    "Difference": "difference",
    "Garbage": "garbage",
    "Tag": "tags",
    "VersionInfo": "history",
    "delete_garbage": "garbage",
    "diff": "difference",
    "find_garbage": "garbage",
    "relabel": "relabelling",
    "remove": "removing",
    "resolve": "history",
    "retire": "garbage",
    "rollback": "history",
    "tag": "tags",
    "versions": "history",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tfstream.versions' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tfstream.versions.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The versions of a dataset: making new ones, telling them apart, and freeing what none needs."""

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

"""Diffgram's way: datasets by name, below a directory that holds several."""

from __future__ import annotations

import datetime
import difflib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfstream.errors import DatasetNotFoundError, InvalidArgumentError
from tfstream.file_names import path_fault
from tfstream.format import manifest
from tfstream.storage.directory import Access
from tfstream.storage.uri import open_directory

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset

__all__ = ["DatasetDirectory", "directory"]

_MANIFEST = re.compile(r"(.+)/manifests/\d{8,}\.json")


def directory(
    root: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: int | str | None = None,
    project: str | None = None,
    anonymous: bool | None = None,
) -> DatasetDirectory:
    """A directory, or prefix of a bucket, with datasets in it.

    Args:
        root: Its path or URI.
        cache_dir: As for `tfstream.open`, as all that follows.
        cache_limit: See there.
        project: See there.
        anonymous: See there.

    >>> data = directory("gs://bucket/datasets").get("my dir")      # doctest: +SKIP
    >>> data[0], len(data.slice("labels.cars > 3"))                 # doctest: +SKIP
    """
    return DatasetDirectory(
        root, cache_dir=cache_dir, cache_limit=cache_limit, project=project, anonymous=anonymous
    )


class DatasetDirectory:
    """Datasets by name: their paths below a directory, "/" between the parts.

    Iterating gives the names, sorted.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        cache_dir: str | os.PathLike[str] | None,
        cache_limit: int | str | None,
        project: str | None,
        anonymous: bool | None,
    ) -> None:
        self._cache_dir = cache_dir
        self._cache_limit = cache_limit
        self._project = project
        self._anonymous = anonymous
        self._directory = open_directory(root, Access(project, anonymous))

    def get(
        self, name: str, *, version: int | str | datetime.datetime | None = None
    ) -> PackedDataset:
        """A dataset by its name.

        Args:
            name: Such as "my dir", or "2024/street scenes".
            version: As for `tfstream.open`; None: the newest.

        Raises:
            DatasetNotFoundError: There is none of that name; says which one is near.
            InvalidArgumentError: The name leads out of the directory.
        """
        from tfstream.opening import open_dataset

        fault = path_fault(name)
        if fault is not None:
            raise InvalidArgumentError(
                f"{name!r} {fault}, and is no name of a dataset in {self._directory}: names are "
                "paths below it, such as 'street scenes' or '2024/street scenes'"
            )
        path = self._directory.locate(name)
        if not manifest.versions(open_directory(path, Access(self._project, self._anonymous))):
            raise DatasetNotFoundError(self._unknown(name))
        return open_dataset(
            path,
            version=version,
            cache_dir=self._cache_dir,
            cache_limit=self._cache_limit,
            project=self._project,
            anonymous=self._anonymous,
        )

    def _unknown(self, name: str) -> str:
        names = list(self)
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif names:
            hint = f"there are {', '.join(map(repr, names[:8]))}{' ...' * (len(names) > 8)}"
        else:
            hint = "there is no dataset in it"
        return f"{self._directory} has no dataset {name!r}: {hint}"

    def __iter__(self) -> Iterator[str]:
        if self._directory.path is not None:
            return iter(sorted(_below(str(self._directory.path), "")))
        found = (_MANIFEST.fullmatch(info.name) for info in self._directory.list())
        return iter(sorted({match[1] for match in found if match is not None}))

    def __repr__(self) -> str:
        return f"<DatasetDirectory {self._directory}>"


def _below(root: str, prefix: str) -> Iterator[str]:
    """The names of datasets in a local directory; those inside a dataset are not looked for."""
    try:
        found = sorted(os.scandir(os.path.join(root, prefix)), key=lambda entry: entry.name)
    except OSError:  # gone, or not ours to see
        return
    for entry in found:
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        name = f"{prefix}{entry.name}"
        if manifest.versions(os.path.join(root, name)):
            yield name
        elif not entry.is_symlink():  # which may lead back
            yield from _below(root, f"{name}/")

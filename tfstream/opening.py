"""Opening a dataset: which version, with what rights, cached where."""

from __future__ import annotations

import dataclasses
import datetime
import os
import secrets

from tfstream.cache.directory import place
from tfstream.dataset import PackedDataset
from tfstream.errors import InvalidArgumentError, ManifestError
from tfstream.fetch.source import Spec
from tfstream.format import manifest, slices
from tfstream.opened import OpenedVersion
from tfstream.selection import Selection
from tfstream.sizes import parse_size
from tfstream.storage.directory import Access, Directory
from tfstream.storage.uri import open_directory

__all__ = ["open_dataset", "open_version"]


def open_dataset(
    path: str | os.PathLike[str],
    *,
    version: int | str | datetime.datetime | None = None,
    slice: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: int | str | None = None,
    project: str | None = None,
    anonymous: bool | None = None,
    connections: int = 32,
) -> PackedDataset:
    """Opens a packed dataset.

    Args:
        path: The dataset's directory, `gs://bucket/prefix`, or a URI that TensorFlow's file
            systems know. What follows `slice` is for datasets that are not on local disk.
        version: A version's number, its tag, or a time (a `datetime`, or text such as
            "2026-01-31" or "2026-01-31T12:00:00Z"), for the newest that there was then; None: the
            newest.
        slice: The name of a slice that was kept by `PackedDataset.save`; it belongs to a version.
        cache_dir: Where bytes are kept once they were fetched, for all processes of this host;
            None: they are not kept.
        cache_limit: What the cache may take of the disk: bytes, or such as "100GB"; None: all.
        project: Billed for the requests, if the bucket is "requester pays".
        anonymous: Use no credentials, for public buckets; None: none where there are none.
        connections: Requests at once, at most.

    Returns:
        All its splits, one after the other; `.split(name)` gives one.

    Raises:
        DatasetNotFoundError: There is no dataset there, or no such version or slice.
        ManifestError: Its manifest is damaged, or of a newer tfstream.
        AccessDeniedError: It may not be read.
        CacheError: The cache directory cannot be used.
        InvalidArgumentError: An argument cannot be used.
    """
    directory = open_directory(path, Access(project, anonymous))
    saved = None if slice is None else slices.load(directory, slice)
    number = version if version is None else _number(directory, version)
    if saved is not None and number not in (None, saved.version):
        raise InvalidArgumentError(
            f"slice {slice!r} of {directory} is of version {saved.version}, and version "
            f"{version!r} was asked for: leave the version out"
        )
    loaded = manifest.load(directory, number if saved is None else saved.version)
    spec = None
    if connections < 1:
        raise InvalidArgumentError(f"connections must be positive (got {connections})")
    if directory.path is None:
        cache = None if cache_dir is None else place(cache_dir)
        spec = Spec(
            uri=directory.uri,
            version=loaded.version,
            generation=directory.stat(manifest.name_of(loaded.version)).generation,
            opened=secrets.token_hex(4),
            splits=(),
            project=project,
            anonymous=anonymous,
            cache_dir=cache,
            cache_limit=None if cache_limit is None else parse_size(cache_limit, "cache_limit"),
            connections=connections,
        )
    opened = OpenedVersion(directory, loaded, spec)
    if saved is None:
        return PackedDataset(opened, opened.names)
    if loaded.commit != saved.commit:
        raise ManifestError(
            f"slice {slice!r} of {directory} was saved from commit {saved.commit} as version "
            f"{saved.version}, which is commit {loaded.commit} now: it is of another dataset"
        )
    selection = Selection(saved.records, saved.parts)
    return PackedDataset(
        opened, opened.names, lambda: selection, query=saved.query, draws=saved.draws
    )


def open_version(opened: OpenedVersion, version: str) -> OpenedVersion:
    """Another version of a dataset that is open, read in the same way.

    Args:
        opened: Any version of it.
        version: A number, a tag or a time.

    Raises:
        DatasetNotFoundError: There is no such version.
    """
    directory, spec = opened.directory, opened.spec
    number = _number(directory, int(version) if version.isdecimal() else version)
    if spec is not None:
        generation = directory.stat(manifest.name_of(number)).generation
        spec = dataclasses.replace(spec, version=number, generation=generation)
    return OpenedVersion(directory, manifest.load(directory, number), spec)


def _number(directory: Directory, version: int | str | datetime.datetime) -> int:
    """A version by whatever names it."""
    if isinstance(version, int):
        return version
    from tfstream.versions import history

    return history.resolve(directory, version)

"""What no version needs: finding it, deleting it, and forgetting versions so that more is."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tfstream import errors
from tfstream.format import manifest, slices
from tfstream.storage.directory import Directory, ObjectInfo
from tfstream.storage.uri import as_directory
from tfstream.versions import tags

__all__ = [
    "GRACE_SECONDS",
    "Garbage",
    "delete_garbage",
    "find_garbage",
    "may_retire",
    "retire",
]

GRACE_SECONDS = 7 * 86400.0
_SHARDS = "shards/"
# What packing and editing put there; all else is somebody's own.
_OURS = re.compile(
    rf"{_SHARDS}.+-(?P<commit>[0-9a-f]{{12}})(?:-\d{{5,}})?\.(?:tfrecord|parquet)", re.DOTALL
)
_PACKING = ".packing"  # what an interrupted pack needs to go on; see tfstream/packing/workspace.py
_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Garbage:
    """Files that no version needs.

    Attributes:
        directory: The dataset's.
        files: Those that may be deleted, sorted by name.
        spared: Files that no version names, but that are younger than the grace time, or beside
            such: somebody may be about to commit them.
    """

    directory: Directory
    files: tuple[ObjectInfo, ...]
    spared: tuple[ObjectInfo, ...]

    @property
    def bytes(self) -> int:
        """How many bytes the files have."""
        return sum(info.size for info in self.files)


def find_garbage(
    dest: Directory | str | os.PathLike[str], *, grace: float = GRACE_SECONDS
) -> Garbage:
    """Finds shards and indexes that no version names; deletes nothing.

    They are left by packs and edits that were given up, and by versions that were retired.
    Files of one commit age together: as long as the youngest is younger than the grace time, none
    is garbage. Nothing is that an interrupted pack to this directory could go on with.

    Args:
        dest: The dataset's directory or URI.
        grace: Seconds. Shorter than the longest time that a pack or an edit takes, it endangers
            what these are about to commit.

    Raises:
        InvalidArgumentError: The grace time is negative.
        DatasetNotFoundError: There is no dataset.
        ManifestError: A version cannot be read: so nobody knows what it needs.
        StorageError: The directory cannot be read.
    """
    if not grace >= 0:
        raise errors.InvalidArgumentError(f"grace={grace!r} must be seconds, 0 or more.")
    directory = as_directory(dest)
    # Files before manifests: one that is committed meanwhile is known to be needed.
    found = [(info, _OURS.fullmatch(info.name)) for info in directory.list(_SHARDS)]
    needed = _needed(directory)
    by_commit: dict[str, list[ObjectInfo]] = defaultdict(list)
    for info, match in found:
        if match is not None and info.name not in needed:
            by_commit[match["commit"]].append(info)
    resumable = _resumable(directory)
    latest = time.time() - grace
    files: list[ObjectInfo] = []
    spared: list[ObjectInfo] = []
    for commit, infos in by_commit.items():
        old = all(info.modified is not None and info.modified <= latest for info in infos)
        (files if old and commit not in resumable else spared).extend(infos)
    return Garbage(directory, _by_name(files), _by_name(spared))


def delete_garbage(garbage: Garbage) -> int:
    """Deletes what `find_garbage` found, but for what a version has come to need since.

    Returns:
        Bytes that were freed.

    Raises:
        ManifestError: A version cannot be read; nothing was deleted.
        StorageError: A file cannot be deleted.
    """
    needed = _needed(garbage.directory)
    useless = [info for info in garbage.files if info.name not in needed]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(garbage.directory.delete, useless))
    return sum(info.size for info in useless)


def retire(dest: Directory | str | os.PathLike[str], versions: Iterable[int]) -> list[int]:
    """Forgets versions, so that what only they need becomes garbage.

    Nobody can open them any more, or go back to them. Streams that read one go on until their
    files are deleted.

    Args:
        dest: The dataset's directory or URI.
        versions: Their numbers: not the newest one's, and none that has a tag or a saved slice.

    Returns:
        The numbers, ascending.

    Raises:
        InvalidArgumentError: A version must stay; says why. None was forgotten.
        DatasetNotFoundError: There is no such version. None was forgotten.
        StorageError: A manifest cannot be deleted.
    """
    directory = as_directory(dest)
    numbers = may_retire(directory, versions)
    for number in numbers:
        directory.delete(directory.stat(manifest.name_of(number)))
    return numbers


def may_retire(dest: Directory | str | os.PathLike[str], versions: Iterable[int]) -> list[int]:
    """Finds out whether versions may be forgotten; see `retire`."""
    directory = as_directory(dest)
    numbers = sorted(set(versions))
    newest = manifest.load(directory).version
    known = manifest.versions(directory)
    reasons = {newest: "it is the newest"}
    for name, version in slices.versions(directory).items():
        reasons[version] = f"the slice {name!r} is of it"
    for each in tags.tags(directory):
        reasons[each.version] = f"it has the tag {each.name!r}"
    for number in numbers:
        if number not in known:
            manifest.load(directory, number)  # raises, and says which there are
        if number in reasons:
            raise errors.InvalidArgumentError(
                f"Version {number} of {directory} cannot be retired: {reasons[number]}. No version "
                "was."
            )
    return numbers


def _needed(directory: Directory) -> set[str]:
    """The names of all files that any version names."""
    numbers = manifest.versions(directory)
    if not numbers:
        manifest.load(directory)  # raises: there is no dataset
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        loaded = list(pool.map(lambda number: manifest.load(directory, number), numbers))
    splits = [split for each in loaded for split in each.splits]
    shards = (shard for split in splits for shard in split.shards)
    needed = {name for shard in shards for name in (shard.path, shard.index_path)}
    return needed | {each.path for split in splits for each in split.merged}


def _resumable(directory: Directory) -> set[str]:
    """Commits that a pack here was interrupted at."""
    if directory.path is None:
        return set()
    try:
        return set(os.listdir(directory.path / _PACKING))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise errors.StorageError(
            error.errno, f"Cannot read {directory.path / _PACKING}: {error.strerror}."
        ) from error


def _by_name(infos: list[ObjectInfo]) -> tuple[ObjectInfo, ...]:
    return tuple(sorted(infos, key=lambda info: info.name))

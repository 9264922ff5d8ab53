"""What versions a dataset has, which one is meant, and going back to one."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tfstream import errors
from tfstream.format import change, manifest
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.v1 import manifest_pb2
from tfstream.versions import tags

__all__ = ["VersionInfo", "commit_next", "load", "resolve", "rollback", "versions"]

# A day alone, or with the time of day; of UTC, where no zone is named.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE
)
_UTC = datetime.timezone.utc
_AT_ONCE = 16  # manifests


@dataclasses.dataclass(frozen=True)
class VersionInfo:
    """What a version is, and how it came about.

    Attributes:
        number: Of the version.
        time: When it was made, in UTC; None where its manifest does not say.
        author: Who made it.
        message: What for.
        operation: "pack", "append", "remove", "relabel" or "rollback".
        parent: The version that it was made from; 0: none.
        commit: Names its content.
        records: How many it has.
        bytes: Of its shards, which other versions may share.
        splits: How many records each split has, in their order.
        tags: Its names.
    """

    number: int
    time: datetime.datetime | None
    author: str
    message: str
    operation: str
    parent: int
    commit: str
    records: int
    bytes: int
    splits: dict[str, int]
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, made: manifest_pb2.Manifest, named: Iterable[str] = ()) -> VersionInfo:
        """What a manifest says.

        Args:
            made: The manifest.
            named: The version's tags.
        """
        splits = {split.name: split.statistics.records for split in made.splits}
        return cls(
            number=made.version,
            time=_time_of(made),
            author=made.change.author,
            message=made.change.message,
            operation=made.change.operation,
            parent=made.change.parent,
            commit=made.commit,
            records=sum(splits.values()),
            bytes=sum(shard.bytes for split in made.splits for shard in split.shards),
            splits=splits,
            tags=tuple(named),
        )


def versions(dest: Directory | str | os.PathLike[str]) -> list[VersionInfo]:
    """The versions of a dataset, oldest first.

    Args:
        dest: The dataset's directory or URI.

    Raises:
        DatasetNotFoundError: There is no dataset.
        ManifestError: A manifest or a tag is damaged.
        StorageError: One cannot be read.
    """
    directory = as_directory(dest)
    numbers = manifest.versions(directory)
    if not numbers:
        manifest.load(directory)  # raises, and says what is missing
    named: dict[int, list[str]] = {}
    for each in tags.tags(directory):
        named.setdefault(each.version, []).append(each.name)

    def info(number: int) -> VersionInfo:
        return VersionInfo.of(manifest.load(directory, number), named.get(number, ()))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(info, numbers))


def resolve(
    dest: Directory | str | os.PathLike[str],
    version: int | str | datetime.datetime | None,
) -> int:
    """The number of the version that is meant.

    Args:
        dest: The dataset's directory or URI.
        version: A number; a tag; a time, for the newest version that is not younger: a
            `datetime`, or text such as "2026-01-31" (all of that day) or "2026-01-31T12:00:00Z".
            Times without a zone are of UTC. None: the newest.

    Raises:
        InvalidArgumentError: It is none of these.
        DatasetNotFoundError: There is no dataset, no such tag, or no version so old.
        ManifestError: A manifest or a tag is damaged, or the tag is of another dataset.
        StorageError: One cannot be read.
    """
    directory = as_directory(dest)
    if version is None:
        return manifest.load(directory).version
    if isinstance(version, datetime.datetime):
        return _not_after(directory, version)
    if isinstance(version, int) and not isinstance(version, bool):
        return version
    if not isinstance(version, str):
        raise errors.InvalidArgumentError(
            f"version={version!r} must be a number, a tag, or a time."
        )
    text = version.strip()
    if text.isdecimal():
        return int(text)
    named = tags.load(directory, text)
    if named is not None:
        return _checked(directory, named)
    match = _TIME.fullmatch(text)
    if match is None:
        raise tags.not_found(directory, text)
    return _not_after(directory, _parse_time(text, match))


def load(
    dest: Directory | str | os.PathLike[str], version: int | str | datetime.datetime | None
) -> manifest_pb2.Manifest:
    """The manifest of the version that is meant; see `resolve`."""
    directory = as_directory(dest)
    return manifest.load(directory, None if version is None else resolve(directory, version))


def _checked(directory: Directory, named: tags.Tag) -> int:
    """The version that a tag names, if it is still the one that was tagged."""
    commit = manifest.load(directory, named.version).commit
    if commit != named.commit:
        raise errors.ManifestError(
            f"The tag {named.name!r} of {directory} was given to commit {named.commit} as version "
            f"{named.version}, which is commit {commit} now: it is of another dataset."
        )
    return named.version


def _parse_time(text: str, match: re.Match[str]) -> datetime.datetime:
    day, clock, zone = match.groups()
    zone = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        if clock is not None:
            return datetime.datetime.fromisoformat(f"{day}T{clock}{zone}")
        begin = datetime.datetime.fromisoformat(f"{day}T00:00:00{zone}")
        return begin + datetime.timedelta(days=1, seconds=-1)
    except (ValueError, OverflowError) as error:
        raise errors.InvalidArgumentError(f"version={text!r} is no time: {error}.") from error


def _not_after(directory: Directory, time: datetime.datetime) -> int:
    """The newest version that was made at that time or before."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=_UTC)
    numbers = manifest.versions(directory)
    if not numbers:
        manifest.load(directory)
    oldest = "no version says when it was made"
    for number in reversed(numbers):
        made_at = _time_of(manifest.load(directory, number))
        if made_at is None:
            continue
        if made_at <= time:
            return number
        oldest = f"version {number} is of {made_at.isoformat()}"
    raise errors.DatasetNotFoundError(
        f"The dataset at {directory} has no version of {time.isoformat()} or before: {oldest}. "
        "Ask for a version by its number."
    )


def _time_of(made: manifest_pb2.Manifest) -> datetime.datetime | None:
    match = _TIME.fullmatch(made.change.time)
    if match is None or match[2] is None:
        return None
    return _parse_time(made.change.time, match).astimezone(_UTC)


def rollback(
    dest: Directory | str | os.PathLike[str],
    version: int | str | datetime.datetime,
    *,
    message: str,
    author: str | None = None,
) -> VersionInfo:
    """Commits an old version anew, as the newest; the ones between stay as they are.

    Args:
        dest: The dataset's directory or URI.
        version: A number, a tag or a time; see `resolve`.
        message: What for.
        author: Who; None: $TFSTREAM_AUTHOR, or the user's name and the host's.

    Raises:
        InvalidArgumentError: It is the newest version.
        DatasetNotFoundError: There is no such version.
        DatasetExistsError: Another writer was first; nothing was changed.
        StorageError: The version cannot be written.
    """
    directory = as_directory(dest)
    newest = manifest.load(directory)
    made = load(directory, version)
    if made.version == newest.version:
        raise errors.InvalidArgumentError(
            f"Version {newest.version} is the newest version of {directory}: there is nothing to "
            "go back to."
        )
    told = change.change("rollback", message=message, author=author, parent=newest.version)
    return commit_next(directory, made, newest, told)


def commit_next(
    directory: Directory,
    made: manifest_pb2.Manifest,
    parent: manifest_pb2.Manifest,
    told: manifest_pb2.Change,
) -> VersionInfo:
    """Commits what follows a version.

    Args:
        directory: The dataset's.
        made: The manifest; its number, change, writer and merged indexes are set here.
        parent: That of the version which it follows.
        told: How it came about.

    Raises:
        DatasetExistsError: Another writer was first; nothing was changed.
        StorageError: It cannot be written.
    """
    from tfstream import __version__
    from tfstream.format import merged  # it imports numpy by and by

    made.version = parent.version + 1
    made.tfstream_version = __version__
    made.change.CopyFrom(told)
    merged.merge(directory, made)
    manifest.commit(directory, made)
    return VersionInfo.of(made)

"""Tags: names for versions, small files that never change."""

from __future__ import annotations

import dataclasses
import json
import os

from tfstream import errors
from tfstream.format import change, manifest
from tfstream.format.names import is_name, nearest, require_name
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory

__all__ = ["Tag", "load", "not_found", "tag", "tags"]

_DIRECTORY = "tags"
_SUFFIX = ".json"


@dataclasses.dataclass(frozen=True)
class Tag:
    """A name for a version.

    Attributes:
        name: The tag.
        version: That it names.
        commit: That version's.
        time: When it was made, RFC 3339 in UTC.
        author: Who made it.
    """

    name: str
    version: int
    commit: str
    time: str
    author: str


def tag(
    dest: Directory | str | os.PathLike[str],
    name: str,
    version: int | None = None,
    *,
    author: str | None = None,
) -> Tag:
    """Gives a version a name, which it keeps.

    Args:
        dest: The dataset's directory or URI.
        name: The tag: letters, digits, ".", "_" and "-", and not digits alone.
        version: The number of the version; None: the newest.
        author: Who; None: $TFSTREAM_AUTHOR, or the user's name and the host's.

    Returns:
        The tag; the one that there was, where it names that version already.

    Raises:
        InvalidArgumentError: The name is none.
        DatasetNotFoundError: There is no such version.
        DatasetExistsError: Another version has that tag; nothing was changed.
        StorageError: It cannot be written.
    """
    require_name(name, "tag")
    if name.isdecimal():
        raise errors.InvalidArgumentError(
            f"{name!r} cannot be a tag: a number means the version of that number."
        )
    directory = as_directory(dest)
    loaded = manifest.load(directory, version)
    who, when = change.signature(author)
    made = Tag(name, loaded.version, loaded.commit, when, who)
    plain = dataclasses.asdict(made)
    del plain["name"]  # the file's
    try:
        directory.create(_file(name), json.dumps(plain, indent=1).encode() + b"\n")
    except errors.ObjectExistsError as error:
        there = load(directory, name)
        if there is not None and there.version == made.version:
            return there
        raise errors.DatasetExistsError(
            f"The tag {name!r} is taken: {directory.locate(_file(name))} gives it to version "
            f"{there.version if there else 'unknown'}, and tags are never changed. Choose another "
            "name."
        ) from error
    return made


def load(directory: Directory, name: str) -> Tag | None:
    """Reads a tag; None where there is none of that name.

    Raises:
        ManifestError: The tag's file is damaged.
        StorageError: It cannot be read.
    """
    if not is_name(name):
        return None
    try:
        data = directory.read(_file(name))
    except errors.BucketNotFoundError:
        raise
    except errors.ObjectNotFoundError:
        return None
    try:
        plain = json.loads(data)
        version, commit = plain["version"], plain["commit"]
        if type(version) is not int or type(commit) is not str:
            raise ValueError("its version is no number, or its commit no text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.ManifestError(
            f"The tag {directory.locate(_file(name))} is damaged: {error}. Ask for the version by "
            "its number."
        ) from error
    return Tag(name, version, commit, str(plain.get("time", "")), str(plain.get("author", "")))


def tags(directory: Directory) -> list[Tag]:
    """All tags, sorted by name.

    Raises:
        ManifestError: A tag's file is damaged.
        StorageError: One cannot be read.
    """
    prefix = f"{_DIRECTORY}/"
    found = (info.name[len(prefix) :] for info in directory.list(prefix))
    names = sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
    return [each for each in (load(directory, name) for name in names) if each is not None]


def not_found(directory: Directory, name: str) -> errors.DatasetNotFoundError:
    """The error of a name that no version has."""
    if not manifest.versions(directory):
        manifest.load(directory)  # raises: there is no dataset
    known = [each.name for each in tags(directory)]
    return errors.DatasetNotFoundError(
        f"The dataset at {directory} has no version {name!r}: that is neither a number, nor a "
        f"time such as 2026-01-31T12:00:00Z, nor a tag. {nearest(name, known, 'tags')}"
    )


def _file(name: str) -> str:
    return f"{_DIRECTORY}/{name}{_SUFFIX}"

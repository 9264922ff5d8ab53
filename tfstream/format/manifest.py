"""The manifest: one immutable version of a dataset, a JSON file with a number for a name."""

from __future__ import annotations

import json
import os
import re
from pathlib import PurePosixPath
from typing import Any

from google.protobuf import json_format

from tfstream import errors
from tfstream.format.label_map import LabelMap
from tfstream.format.names import is_name
from tfstream.storage.directory import Directory
from tfstream.storage.uri import as_directory
from tfstream.v1 import manifest_pb2

__all__ = ["FORMAT_VERSION", "commit", "load", "name_of", "path_of", "versions"]

# Of the manifest's layout and all it points at; a reader refuses newer ones. 2 is of datasets with
# records that tfstream did not write: who does not know of those would take them for its own.
FORMAT_VERSION = 2
_OWN_RECORDS = 1

_DIRECTORY = "manifests"
_SHARD = {"path", "index_path", "records", "bytes"}
_NAME = re.compile(r"(\d{8})\.json")


def name_of(version: int) -> str:
    """The name of a version's manifest within its dataset.

    >>> name_of(3)
    'manifests/00000003.json'
    """
    return f"{_DIRECTORY}/{version:08d}.json"


def path_of(root: Directory | str | os.PathLike[str], version: int) -> str:
    """The path or URI of a version's manifest.

    >>> path_of("photos", 3)
    'photos/manifests/00000003.json'
    """
    return as_directory(root).locate(name_of(version))


def versions(root: Directory | str | os.PathLike[str]) -> list[int]:
    """The numbers of a dataset's versions, oldest first; none where there is no dataset.

    Raises:
        BucketNotFoundError: The bucket does not exist.
        StorageError: The directory cannot be read.
    """
    prefix = f"{_DIRECTORY}/"
    names = (info.name[len(prefix) :] for info in as_directory(root).list(prefix))
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(int(match[1]) for match in matches if match and int(match[1]) > 0)


def load(
    root: Directory | str | os.PathLike[str], version: int | None = None
) -> manifest_pb2.Manifest:
    """Reads a version's manifest.

    Args:
        root: The dataset's directory.
        version: Its number; None: the newest.

    Raises:
        DatasetNotFoundError: There is no dataset at `root`, or no such version of it.
        ManifestError: The manifest is damaged, contradicts itself, names a file
            outside the dataset, or was written by a newer tfstream.
        BucketNotFoundError: The bucket does not exist.
        StorageError: It cannot be read.
    """
    directory = as_directory(root)
    known: list[int] = []
    if version is None:
        known = versions(directory)
    if version is None and known:
        version = known[-1]
    data = None
    if version is not None and version > 0:
        # Without a list of what is there, which not everybody may ask for.
        try:
            data = directory.read(name_of(version))
        except errors.BucketNotFoundError:
            raise
        except errors.ObjectNotFoundError:
            data = None
    if version is None or data is None:
        raise _not_found(directory, version, known or versions(directory))
    path = path_of(directory, version)
    manifest = _parse(data, path)
    _check(manifest, path, version, local=directory.path is not None)
    return manifest


def _not_found(
    directory: Directory, version: int | None, known: list[int]
) -> errors.DatasetNotFoundError:
    if known:
        return errors.DatasetNotFoundError(
            f"The dataset at {directory} has no version {version}: it has "
            f"{', '.join(map(str, known))}."
        )
    return errors.DatasetNotFoundError(
        f"There is no dataset at {directory}: {directory.locate(_DIRECTORY)} holds no "
        "manifest such as 00000001.json. Check the path, or make a dataset with "
        "`tfstream pack`."
    )


def commit(root: Directory | str | os.PathLike[str], manifest: manifest_pb2.Manifest) -> str:
    """Makes a version visible, once its shards and indexes are in place.

    Args:
        root: The dataset's directory.
        manifest: The version; `format_version` is set here.

    Returns:
        The manifest's path or URI.

    Raises:
        DatasetExistsError: There is a version of that number; it is left as it was.
        ManifestError: The manifest contradicts itself.
        StorageError: It cannot be written.
    """
    directory = as_directory(root)
    path = path_of(directory, manifest.version)
    written = manifest_pb2.Manifest()
    written.CopyFrom(manifest)
    foreign = manifest.schema.HasField("features")
    written.format_version = FORMAT_VERSION if foreign else _OWN_RECORDS
    _check(written, path, manifest.version, local=directory.path is not None)
    text = json_format.MessageToJson(
        written, preserving_proto_field_name=True, sort_keys=True, indent=1
    )
    try:
        directory.create(name_of(manifest.version), text.encode() + b"\n")
    except errors.ObjectExistsError as error:
        way_out = "Pack to another directory, or look at what is there with `tfstream info`."
        if manifest.version > 1:
            way_out = "Nothing was changed: run it again, and it starts from that version."
        raise errors.DatasetExistsError(
            f"{path} exists already: another writer made version {manifest.version} first, and it "
            f"is left as it was. {way_out}"
        ) from error
    return path


def _parse(data: bytes, path: str) -> manifest_pb2.Manifest:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise errors.ManifestError(f"{path} is damaged: it is not JSON ({error}).") from error
    if not isinstance(plain, dict):
        raise errors.ManifestError(f"{path} is damaged: it holds a {type(plain).__name__}.")
    # First of all: what a newer one holds may not parse.
    number = plain.get("format_version")
    if not isinstance(number, int) or number < 1:
        raise errors.ManifestError(
            f"{path} is not a manifest: its format_version is {number!r}, where 1 or more is "
            "expected."
        )
    if number > FORMAT_VERSION:
        raise errors.ManifestError(
            f"{path} has format version {number}, and this tfstream reads up to "
            f"{FORMAT_VERSION}: it was written by tfstream "
            f"{plain.get('tfstream_version', 'of a later version')}. Upgrade tfstream."
        )
    try:
        # Unknown fields within one format version are ones that may be passed over.
        return _from_json(plain)
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise errors.ManifestError(f"{path} is damaged: {error}.") from error


def _from_json(plain: dict[str, Any]) -> manifest_pb2.Manifest:
    """What `json_format` makes of it, sooner where there are thousands of shards."""
    splits = plain.get("splits")
    if not isinstance(splits, list) or not all(isinstance(split, dict) for split in splits):
        return json_format.ParseDict(plain, manifest_pb2.Manifest(), ignore_unknown_fields=True)
    without = [{name: split[name] for name in split if name != "shards"} for split in splits]
    manifest = json_format.ParseDict(
        {**plain, "splits": without}, manifest_pb2.Manifest(), ignore_unknown_fields=True
    )
    for split, message in zip(splits, manifest.splits, strict=True):
        shards = split.get("shards", [])
        if isinstance(shards, list) and all(map(_is_plain, shards)):
            message.shards.extend(
                manifest_pb2.Shard(
                    path=shard["path"],
                    index_path=shard["index_path"],
                    records=int(shard["records"]),
                    bytes=int(shard["bytes"]),
                )
                for shard in shards
            )
        else:
            json_format.ParseDict({"shards": shards}, message, ignore_unknown_fields=True)
    return manifest


def _is_plain(shard: Any) -> bool:
    """Whether this is a shard as tfstream writes most of them, and json_format reads them."""
    return (
        isinstance(shard, dict)
        and shard.keys() == _SHARD
        and all(isinstance(value, str) for value in shard.values())
        and shard["records"].isascii()
        and shard["records"].isdigit()
        and shard["bytes"].isascii()
        and shard["bytes"].isdigit()
    )


def _check(manifest: manifest_pb2.Manifest, path: str, version: int, *, local: bool) -> None:
    """Refuses what the other rooms rely on not to meet."""
    if version < 1 or manifest.version != version:
        raise errors.ManifestError(
            f"{path} says it is version {manifest.version}. A version has the number in its "
            "manifest's name, 1 or more."
        )
    try:
        LabelMap.from_proto(manifest.labels)
    except errors.InvalidArgumentError as error:
        raise errors.ManifestError(f"{path}: {error}") from error
    _check_features(manifest, path)
    names: set[str] = set()
    files: set[str] = set()
    for split in manifest.splits:
        if not split.name or split.name in names:
            raise errors.ManifestError(f"{path} has two splits, or none, named {split.name!r}.")
        names.add(split.name)
        for shard in split.shards:
            if shard.name and not is_name(shard.name):
                raise errors.ManifestError(
                    f"{path} names a shard {shard.name!r}, which is no name."
                )
            for file in (shard.path, shard.index_path):
                # Of the files that were there before, some are elsewhere on the same disk.
                outside = local and shard.name and file == shard.path and _is_absolute(file)
                if not (outside or _is_inside(file)):
                    raise errors.ManifestError(
                        f"{path} names the file {file!r}: a dataset's files have relative paths "
                        "inside its directory."
                    )
                if file in files:
                    raise errors.ManifestError(f"{path} names the file {file!r} twice.")
                files.add(file)
        _check_merged(split, path)
        records = sum(shard.records for shard in split.shards)
        if records != split.statistics.records:
            raise errors.ManifestError(
                f"{path}: the shards of split {split.name!r} hold {records} records, and its "
                f"statistics say {split.statistics.records}."
            )


def _check_merged(split: manifest_pb2.Split, path: str) -> None:
    if not split.merged:
        return
    # Here: it imports numpy by and by.
    from tfstream.format import merged

    known = {run.path for run in merged.covered(split)}
    for each in split.merged:
        if each.path not in known or not _is_inside(each.path):
            raise errors.ManifestError(
                f"{path} names the merged index {each.path!r}, which is not of shards that split "
                f"{split.name!r} has."
            )


def _check_features(manifest: manifest_pb2.Manifest, path: str) -> None:
    if not manifest.schema.HasField("features"):
        return
    # Here: it imports numpy by and by, and few datasets have such records.
    from tfstream.format.feature_map import FeatureMap

    try:
        features = FeatureMap.from_proto(manifest.schema.features)
    except errors.InvalidArgumentError as error:
        raise errors.ManifestError(f"{path}: {error}") from error
    if features.numbers and len(features.numbers) != len(manifest.labels.labels):
        raise errors.ManifestError(
            f"{path} has {len(features.numbers)} numbers for {len(manifest.labels.labels)} labels."
        )


def _is_absolute(file: str) -> bool:
    """Whether a path says plainly which file of this machine it means."""
    posix = PurePosixPath(file)
    return posix.is_absolute() and "\0" not in file and ".." not in posix.parts


def _is_inside(file: str) -> bool:
    """Whether a relative path stays below the directory it starts from, on any system."""
    if not file or "\0" in file or "\\" in file or "://" in file:
        return False
    # Not by pathlib, which is slow for the files of 20,000 shards.
    return not (file.startswith("/") or file[1:2] == ":" or ".." in file.split("/"))

"""What a directory of TensorFlow Datasets says of its files: dataset_info.json and label names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from tfstream.errors import InvalidArgumentError, ObjectNotFoundError
from tfstream.storage.directory import Directory

__all__ = ["TfdsInfo", "check_counts", "read_info", "read_labels"]

_INFO = "dataset_info.json"


@dataclasses.dataclass(frozen=True)
class TfdsInfo:
    """What dataset_info.json says.

    Attributes:
        place: The file, for messages.
        name: Of the dataset.
        splits: By name, how many records each shard has.
    """

    place: str
    name: str
    splits: Mapping[str, tuple[int, ...]]


def read_info(directory: Directory, below: str) -> TfdsInfo | None:
    """Reads dataset_info.json, where there is one.

    Args:
        directory: By which the shards are read.
        below: The directory that they are in: "" or with a "/" at its end.

    Raises:
        InvalidArgumentError: It cannot be understood, or the records are in another format.
        StorageError: It cannot be read.
    """
    name = f"{below}{_INFO}"
    try:
        data = directory.read(name)
    except ObjectNotFoundError:
        return None
    place = directory.locate(name)
    try:
        plain = json.loads(data)
        told = plain.get("fileFormat", "tfrecord")
        splits = {
            str(split["name"]): tuple(int(count) for count in split.get("shardLengths", ()))
            for split in plain.get("splits", ())
        }
        named = str(plain.get("name", ""))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidArgumentError(
            f"{place} is not what TensorFlow Datasets writes ({type(error).__name__}: {error}): "
            "remove it, or name the files by a glob and another directory by --into."
        ) from error
    if told not in ("tfrecord", "FILE_FORMAT_UNSPECIFIED", ""):
        raise InvalidArgumentError(
            f"{place} says that the files are {told!r}: only TFRecord files can be indexed. "
            "Prepare the dataset with file_format='tfrecord'."
        )
    return TfdsInfo(place, named, splits)


def labels_name(below: str, feature: str) -> str:
    """What the file of a ClassLabel feature's names is called.

    >>> labels_name("5.0.0/", "objects/label")
    '5.0.0/objects-label.labels.txt'
    """
    return f"{below}{feature.replace('/', '-')}.labels.txt"


def read_labels(directory: Directory, below: str, feature: str) -> list[str] | None:
    """The names of a ClassLabel feature, in the order of their numbers; None without any.

    Args:
        directory: By which the shards are read.
        below: The directory that they are in: "" or with a "/" at its end.
        feature: Its name: "label", "objects/label".

    Raises:
        InvalidArgumentError: The file is not UTF-8.
        StorageError: It cannot be read.
    """
    name = labels_name(below, feature)
    try:
        text = directory.read(name).decode()
    except ObjectNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"{directory.locate(name)} is not a text file in UTF-8: {error.reason}."
        ) from error
    return [line.strip() for line in text.rstrip().split("\n")]


def check_counts(info: TfdsInfo, counts: Mapping[str, Sequence[int]]) -> None:
    """Compares the records that were found with what dataset_info.json says.

    Args:
        info: What it says.
        counts: By split, the records of each shard, in their order.

    Raises:
        InvalidArgumentError: A split has other shards or records.
    """
    for split, found in counts.items():
        told = info.splits.get(split)
        if told and tuple(found) != told:
            raise InvalidArgumentError(
                f"{info.place} says that split {split!r} has {sum(told)} records in {len(told)} "
                f"files, and there are {sum(found)} in {len(found)}: files are missing, or of "
                "another version. Download or prepare the dataset again, or remove that file."
            )

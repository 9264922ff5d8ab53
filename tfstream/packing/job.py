"""What one pack or append is asked to do, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from tfstream.annotations import AnnotationReader
from tfstream.format.change import change
from tfstream.format.label_map import LabelMap
from tfstream.packing.destination import Destination
from tfstream.packing.options import Options
from tfstream.v1 import manifest_pb2

__all__ = ["Job", "PackResult", "to_json"]


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked for.

    Attributes:
        reader: Of the tree's format.
        root: The tree.
        options: How to pack.
        labels: The label map; None: the labels that occur, behind those that the dataset has.
        background: Whether a label map made of what occurs has a background class.
        metadata: A file of metadata to join with the records; None: there is none.
        destination: Where the dataset is, or is to be.
        rejects: Where to say what is wrong; None: where the destination says, if there is need.
        message: What for, in the user's words.
        author: Who asks; None: the environment says.
        processes: How many to use.
        progress: Whether to tell of the progress.
    """

    reader: AnnotationReader
    root: str
    options: Options
    labels: LabelMap | None
    background: bool
    metadata: Path | None
    destination: Destination
    rejects: Path | None
    message: str
    author: str | None
    processes: int
    progress: bool

    def __post_init__(self) -> None:
        self.change(0)  # what cannot be written down is told before there is work in it

    def change(self, parent: int) -> manifest_pb2.Change:
        """What the manifest says of how its version came about, at this moment.

        Args:
            parent: The version that it was made from; 0: none.
        """
        operation = "append" if self.destination.growing else "pack"
        return change(operation, message=self.message, author=self.author, parent=parent)

    @property
    def request(self) -> str:
        """What two jobs have in common that do the same to one destination."""
        return json.dumps(
            [
                self.destination.growing,
                os.path.realpath(self.root),
                dataclasses.asdict(self.options),
                self.labels.content if self.labels is not None else self.background,
                os.path.realpath(self.metadata) if self.metadata is not None else None,
            ]
        )


@dataclasses.dataclass(frozen=True)
class PackResult:
    """What a pack or an append made.

    Attributes:
        dest: The dataset's directory, or its URI.
        version: That was made.
        commit: Part of the new shards' names.
        format: The annotation format that was read.
        splits: Records that were packed, by split.
        total: Records of the version: these, and those that were there before.
        classes: Labels, and the background where there is one.
        shards: How many were packed.
        bytes: Of these shards.
        rejected: Records left out because something was wrong with them.
        rejects: The file that says what was wrong; None where nothing was.
        left_out: Files that made no record though nothing is wrong with them, by reason.
        unmatched: Rows of the file of metadata that no image of the tree has the key of.
        resumed: Shards that an interrupted pack had finished before.
        seconds: That it took.
    """

    dest: Path | str
    version: int
    commit: str
    format: str
    splits: dict[str, int]
    total: int
    classes: int
    shards: int
    bytes: int
    rejected: int
    rejects: Path | None
    left_out: dict[str, int]
    unmatched: int
    resumed: int
    seconds: float

    @property
    def records(self) -> int:
        """That were packed, over all splits."""
        return sum(self.splits.values())


def to_json(result: PackResult) -> dict[str, object]:
    """A result as plain values that JSON can hold."""
    return {
        **dataclasses.asdict(result),
        "dest": str(result.dest),
        "rejects": str(result.rejects) if result.rejects else None,
    }

"""Packs a tree of annotated images into a dataset that is there, as its next version."""

from __future__ import annotations

import os
from pathlib import Path

from tfstream.annotations import Source, locate
from tfstream.errors import InvalidArgumentError
from tfstream.format import manifest
from tfstream.format.label_map import LabelMap
from tfstream.packing.destination import open_destination
from tfstream.packing.job import Job, PackResult
from tfstream.packing.options import DEFAULT_QUALITY, Options, process_count
from tfstream.packing.run import run
from tfstream.sizes import parse_size
from tfstream.v1 import manifest_pb2

__all__ = ["append"]


def append(
    source: Source,
    dest: str | os.PathLike[str],
    *,
    message: str = "",
    author: str | None = None,
    format: str = "auto",
    labels: LabelMap | str | os.PathLike[str] | None = None,
    metadata: str | os.PathLike[str] | None = None,
    shard_bytes: int | str | None = None,
    seed: int | None = None,
    on_invalid: str = "error",
    rejects: str | os.PathLike[str] | None = None,
    max_side: int | None = None,
    quality: int | None = None,
    processes: int | None = None,
    workspace: str | os.PathLike[str] | None = None,
    project: str | None = None,
    progress: bool = True,
) -> PackResult:
    """Adds a tree of annotated images to a dataset, as a new version of it.

    The new version has the shards of the newest one, as they are, and new ones: behind the others
    in their splits, or in new splits behind the others. Older versions stay what they were. An
    append that is interrupted leaves nothing visible behind; called again in the same way, it goes
    on where it stopped, unless somebody else has made a version since.

    Labels that the dataset lacks are added behind its own, whose indices stay; only that of the
    background class, always the last, moves on. Metadata may have new columns, null in the records
    that were there before.

    Args:
        source: As for `pack`.
        dest: The dataset: a directory, or a URI such as `gs://bucket/prefix`.
        message: What for; the manifest keeps it.
        author: Who appends; None: $TFSTREAM_AUTHOR, or the user's name and the host's.
        format: As for `pack`, whatever was packed before.
        labels: The labels that there may be, or a file with a label a line: the dataset's in their
            order, and what follows them. None: whatever labels occur.
        metadata: As for `pack`. What a text in it means follows from the type that its column has
            in the dataset, where it is there.
        shard_bytes: As for `pack`; None: as the newest version was packed.
        seed: Of the shuffle of what is added; None: as the newest version was packed.
        on_invalid: As for `pack`; also where the dataset has a record of the same key, which can
            be left out by "skip" or "clip".
        rejects: As for `pack`.
        max_side: As for `pack`; None: as the newest version was packed.
        quality: As for `pack`; None: as the newest version was packed.
        processes: How many to use; None: one a core.
        workspace: As for `pack`.
        project: As for `pack`.
        progress: Whether to tell of the progress, on standard error.

    Returns:
        What was made; `tfstream.append` returns the new version itself, opened.

    Raises:
        DatasetNotFoundError: There is no dataset, no source, or no tree of the format in it.
        DatasetExistsError: Another writer is at work there, or made the next version first:
            nothing was appended.
        AnnotationError: Something is wrong with the input, and `on_invalid` is "error"; or no
            record is left. MissingImageError, where all that is wrong is missing images.
        InvalidArgumentError: An argument cannot be used; or a column of the file of metadata has
            another type than in the dataset.
        StorageError: A file cannot be read or written, or no space is left.
        PackError: The input changed meanwhile, or a worker died.
    """
    reader, root = locate(source, format)
    destination = open_destination(dest, workspace=workspace, project=project, growing=True)
    before = manifest.load(destination.directory)
    if before.schema.HasField("features"):
        raise InvalidArgumentError(
            f"{destination} is of TFRecord files that tfstream did not write: nothing can be "
            "appended to them. Pack what is new into a dataset of its own, and mix the streams of "
            "both (tfstream.mix)."
        )
    packed = before.pack
    options = Options(
        format=reader.name,
        seed=packed.seed if seed is None else seed,
        shard_bytes=(
            packed.shard_bytes if shard_bytes is None else parse_size(shard_bytes, "shard_bytes")
        ),
        on_invalid=on_invalid,
        max_side=(packed.max_side or None) if max_side is None else max_side,
        quality=_quality(packed) if quality is None else quality,
    )
    workers = process_count(processes)
    background = before.labels.background
    if labels is not None and not isinstance(labels, LabelMap):
        labels = LabelMap.from_file(labels, background=background)
    return run(
        Job(
            reader=reader,
            root=root,
            options=options,
            labels=labels,
            background=background,
            metadata=None if metadata is None else Path(metadata),
            destination=destination,
            rejects=None if rejects is None else Path(rejects),
            message=message,
            author=author,
            processes=workers,
            progress=progress,
        )
    )


def _quality(packed: manifest_pb2.PackParameters) -> int | None:
    """The quality that was asked for, of the one that images have."""
    if packed.max_side and packed.quality == DEFAULT_QUALITY:
        return None  # of those that were made smaller alone
    return packed.quality or None

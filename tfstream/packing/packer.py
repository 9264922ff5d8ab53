"""Packs a tree of annotated images into a dataset: scan, plan, write, commit."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

from tfstream.annotations import AnnotationReader, locate
from tfstream.errors import (
    AnnotationError,
    InvalidArgumentError,
)
from tfstream.format import manifest
from tfstream.format.label_map import LabelMap
from tfstream.packing import steps
from tfstream.packing.options import DEFAULT_SHARD_BYTES, Options, process_count
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import RejectsFile
from tfstream.packing.workspace import Workspace, exists_already
from tfstream.sizes import parse_size

__all__ = ["PackResult", "pack", "to_json"]


@dataclasses.dataclass(frozen=True)
class PackResult:
    """What a pack made.

    Attributes:
        dest: The dataset's directory.
        version: Of the dataset.
        commit: Part of the shards' names.
        format: The annotation format that was read.
        splits: Records by split.
        classes: Labels, and the background where there is one.
        shards: How many there are.
        bytes: Of all shards.
        rejected: Records left out because something was wrong with them.
        rejects: The file that says what was wrong; None where nothing was.
        left_out: Files that made no record though nothing is wrong with them, by reason.
        resumed: Shards that an interrupted pack had finished before.
        seconds: That it took.
    """

    dest: Path
    version: int
    commit: str
    format: str
    splits: dict[str, int]
    classes: int
    shards: int
    bytes: int
    rejected: int
    rejects: Path | None
    left_out: dict[str, int]
    resumed: int
    seconds: float

    @property
    def records(self) -> int:
        """Over all splits."""
        return sum(self.splits.values())


def pack(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    format: str = "auto",
    labels: LabelMap | str | os.PathLike[str] | None = None,
    background: bool = True,
    shard_bytes: int | str = DEFAULT_SHARD_BYTES,
    seed: int = 0,
    on_invalid: str = "error",
    rejects: str | os.PathLike[str] | None = None,
    max_side: int | None = None,
    quality: int | None = None,
    processes: int | None = None,
    progress: bool = True,
) -> PackResult:
    """Packs a tree of annotated images into a new dataset.

    Equal input, labels, seed and sizes give equal bytes, with however many processes. A pack that
    is interrupted, by a kill or a full disk, leaves nothing visible behind; called again in the
    same way, it goes on where it stopped.

    Args:
        source: The tree's directory, or one that holds it up to three levels below.
        dest: The dataset's directory: new or empty.
        format: "ilsvrc-det" or "voc"; "auto" takes the one that is there.
        labels: The label map, or a file with a label a line; None: the labels that occur, sorted.
        background: Whether one more class, the last, stands for images without an object. A
            `LabelMap` says that itself.
        shard_bytes: No shard is larger, unless a single record is: bytes, or such as "64MB".
            Where images are re-encoded, their size is guessed.
        seed: Of the shuffle, from 0 to 2**64 - 1.
        on_invalid: What to do where something is wrong with a file: "error" packs nothing,
            "skip" leaves the record out, "clip" cuts boxes to the image, leaves out objects whose
            box is empty then, and leaves out records that cannot be mended.
        rejects: Where to say what was wrong, a JSON object a line. By default the file
            `DEST.rejects.jsonl`, where there is anything to say.
        max_side: Images with a longer side are made smaller, to so many pixels.
        quality: JPEG quality to re-encode all images with, 1 to 100. By default image files
            are stored as they are; those made smaller get 90.
        processes: How many to use; None: one a core.
        progress: Whether to tell of the progress, on standard error.

    Returns:
        What was made; `tfstream.pack` returns the dataset itself, opened.

    Raises:
        DatasetNotFoundError: There is no source, or no tree of the format in it.
        DatasetExistsError: The destination holds a dataset, or another packer is at work there.
        AnnotationError: Something is wrong with the input, and `on_invalid` is "error"; or no
            record is left. MissingImageError, where all that is wrong is missing images.
        InvalidArgumentError: An argument cannot be used.
        StorageError: A file cannot be read or written, or no space is left.
        PackError: The input changed meanwhile, or a worker died.
    """
    begun = time.monotonic()
    reader, root = locate(source, format)
    options = Options(
        format=reader.name,
        seed=seed,
        shard_bytes=parse_size(shard_bytes, "shard_bytes"),
        on_invalid=on_invalid,
        max_side=max_side,
        quality=quality,
    )
    workers = process_count(processes)
    if labels is not None and not isinstance(labels, LabelMap):
        labels = LabelMap.from_file(labels, background=background)
    target = _destination(dest, reader, root)
    rejects_path = Path(rejects) if rejects is not None else Path(f"{target}.rejects.jsonl")
    request = json.dumps(
        [
            os.path.realpath(root),
            dataclasses.asdict(options),
            dataclasses.asdict(labels) if labels is not None else background,
        ]
    )
    with Workspace(target) as workspace:
        if versions := manifest.versions(target):
            return _finish(workspace, request, versions[-1])
        with (
            RejectsFile(workspace.rejects, rejects_path, always=rejects is not None) as found,
            Progress(show=progress) as show,
            Pool(workers, keep_open=[workspace.lock]) as pool,
        ):
            return _run(
                reader,
                root,
                options,
                labels=labels,
                background=background,
                request=request,
                workspace=workspace,
                rejects=found,
                pool=pool,
                show=show,
                begun=begun,
            )


def _destination(dest: str | os.PathLike[str], reader: AnnotationReader, root: str) -> Path:
    """The destination as a path, if one may be made there."""
    text = os.fspath(dest)
    if "://" in text:
        raise InvalidArgumentError(
            f"dest={text!r} is not a local directory: pack to one, and copy it where it shall be."
        )
    target = Path(os.path.abspath(text))
    for walked in reader.guarded(root):
        if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(walked)):
            raise InvalidArgumentError(
                f"{target} lies inside {walked}, which is being packed: give a directory elsewhere."
            )
    return target


def _run(
    reader: AnnotationReader,
    root: str,
    options: Options,
    *,
    labels: LabelMap | None,
    background: bool,
    request: str,
    workspace: Workspace,
    rejects: RejectsFile,
    pool: Pool,
    show: Progress,
    begun: float,
) -> PackResult:
    """All steps of a pack, in a workspace that is ours."""
    with steps.space_errors(None, workspace):
        scanned = steps.scan_tree(
            reader,
            root,
            options,
            labels=labels,
            background=background,
            spool=workspace.spool,
            rejects=rejects,
            pool=pool,
            show=show,
        )
        plan = steps.plan_shards(scanned, options, workspace, rejects)
    if rejects.count and options.on_invalid == "error":
        raise rejects.publish_as_error()
    if plan.records == 0:
        raise AnnotationError(
            f"Nothing was packed: no record is left. {rejects.publish()} says why."
        )
    steps.require_space(plan, workspace)
    with steps.space_errors(plan, workspace):
        shards = steps.write_shards(plan, scanned.commit, workspace, rejects, pool, show)
        made = steps.make_manifest(scanned, plan, shards, options)
        result = PackResult(
            dest=workspace.dest,
            version=made.version,
            commit=made.commit,
            format=options.format,
            splits={split.name: split.statistics.records for split in made.splits},
            classes=scanned.labels.classes,
            shards=sum(len(split.shards) for split in made.splits),
            bytes=sum(shard.bytes for shard in shards),
            rejected=scanned.rejected + plan.repeated + sum(len(shard.rejects) for shard in shards),
            rejects=rejects.publish(),
            left_out=scanned.left_out,
            resumed=sum(shard.resumed for shard in shards),
            seconds=time.monotonic() - begun,
        )
        workspace.note(made.commit, {"request": request, "result": to_json(result)})
        manifest.commit(workspace.dest, made)
    workspace.remove_leftovers(made.commit)
    return result


def _finish(workspace: Workspace, request: str, version: int) -> PackResult:
    """Ends a pack that was interrupted after its dataset had become visible.

    Raises:
        DatasetExistsError: It was another pack than this one.
    """
    commit = manifest.load(workspace.dest, version).commit
    noted = workspace.noted(commit)
    workspace.remove_leftovers(commit)
    workspace.discard()
    if noted.get("request") != request:
        raise exists_already(workspace.dest, version)
    plain = noted["result"]
    return PackResult(
        **{
            **plain,
            "dest": workspace.dest,
            "rejects": Path(plain["rejects"]) if plain["rejects"] else None,
            "resumed": plain["shards"],
        }
    )


def to_json(result: PackResult) -> dict[str, object]:
    """A result as plain values that JSON can hold."""
    return {
        **dataclasses.asdict(result),
        "dest": str(result.dest),
        "rejects": str(result.rejects) if result.rejects else None,
    }

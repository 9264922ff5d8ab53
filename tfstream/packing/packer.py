"""Packs a tree of annotated images into a dataset: scan, plan, write, commit."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import warnings
from pathlib import Path

from tfstream.annotations import AnnotationReader, locate
from tfstream.errors import AnnotationError, DatasetExistsError, InvalidArgumentError, StorageError
from tfstream.format import manifest
from tfstream.format.label_map import LabelMap
from tfstream.packing import steps
from tfstream.packing.delivery import find_delivered, remove_leftovers
from tfstream.packing.destination import Destination, exists_already, open_destination
from tfstream.packing.options import DEFAULT_SHARD_BYTES, Options, process_count
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import RejectsFile
from tfstream.packing.scan import scan_tree
from tfstream.packing.space import require_space, space_errors
from tfstream.packing.workspace import Workspace
from tfstream.sizes import parse_size

__all__ = ["PackResult", "pack", "to_json"]


@dataclasses.dataclass(frozen=True)
class PackResult:
    """What a pack made.

    Attributes:
        dest: The dataset's directory, or its URI.
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

    dest: Path | str
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
    workspace: str | os.PathLike[str] | None = None,
    project: str | None = None,
    progress: bool = True,
) -> PackResult:
    """Packs a tree of annotated images into a new dataset.

    Equal input, labels, seed and sizes give equal bytes, with however many processes. A pack that
    is interrupted, by a kill or a full disk, leaves nothing visible behind; called again in the
    same way, it goes on where it stopped.

    Args:
        source: The tree's directory, or one that holds it up to three levels below.
        dest: The dataset's directory, new or empty; or a URI such as `gs://bucket/prefix` with
            nothing below it. Shards are uploaded while others are being written.
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
            `DEST.rejects.jsonl`, where there is anything to say; for `gs://bucket/prefix`,
            `prefix.rejects.jsonl` in the current directory.
        max_side: Images with a longer side are made smaller, to so many pixels.
        quality: JPEG quality to re-encode all images with, 1 to 100. By default image files
            are stored as they are; those made smaller get 90.
        processes: How many to use; None: one a core.
        workspace: For a remote `dest`: a directory for the shards that are not uploaded yet, 8
            and one a process at most. None: `packing` in $TFSTREAM_CACHE, or in
            ~/.cache/tfstream.
        project: For a remote `dest`: the project billed for requests ("requester pays").
        progress: Whether to tell of the progress, on standard error.

    Returns:
        What was made; `tfstream.pack` returns the dataset itself, opened.

    Raises:
        DatasetNotFoundError: There is no source, or no tree of the format in it.
        DatasetExistsError: The destination holds a dataset, or another packer is at work there or
            was first.
        AnnotationError: Something is wrong with the input, and `on_invalid` is "error"; or no
            record is left. MissingImageError, where all that is wrong is missing images.
        InvalidArgumentError: An argument cannot be used.
        StorageError: A file cannot be read or written, or no space is left. AccessDeniedError and
            ObjectNotFoundError, where that is why a bucket cannot be.
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
    destination = open_destination(dest, workspace=workspace, project=project)
    _refuse_inside(destination, reader, root)
    rejects_path = destination.rejects if rejects is None else Path(rejects)
    request = json.dumps(
        [
            os.path.realpath(root),
            dataclasses.asdict(options),
            dataclasses.asdict(labels) if labels is not None else background,
        ]
    )
    with Workspace(destination) as work:
        if versions := manifest.versions(destination.directory):
            return _finish(work, request, versions[-1])
        with (
            RejectsFile(work.rejects, rejects_path, always=rejects is not None) as found,
            Progress(show=progress) as show,
            Pool(workers, keep_open=[work.lock]) as pool,
        ):
            return _run(
                reader,
                root,
                options,
                labels=labels,
                background=background,
                request=request,
                workspace=work,
                rejects=found,
                pool=pool,
                processes=workers,
                show=show,
                begun=begun,
            )


def _refuse_inside(destination: Destination, reader: AnnotationReader, root: str) -> None:
    """A pack must not meet what it writes itself."""
    written = destination.directory.path or destination.workspace
    for walked in reader.guarded(root):
        if Path(os.path.realpath(written)).is_relative_to(os.path.realpath(walked)):
            raise InvalidArgumentError(
                f"{written} lies inside {walked}, which is being packed: give a directory "
                "elsewhere."
            )


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
    processes: int,
    show: Progress,
    begun: float,
) -> PackResult:
    """All steps of a pack, in a workspace that is ours."""
    destination = workspace.destination
    with space_errors(workspace):
        scanned = scan_tree(
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
    delivered = find_delivered(workspace, scanned.commit)
    left = [task.bytes for task in plan.tasks if task.stem not in delivered.known]
    require_space(workspace, destination.space_needed(left, processes))
    with space_errors(workspace):
        shards = steps.write_shards(
            plan,
            scanned.commit,
            delivered,
            workspace=workspace,
            rejects=rejects,
            pool=pool,
            show=show,
        )
        made = steps.make_manifest(scanned, plan, shards, options)
        result = PackResult(
            dest=destination.name,
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
        try:
            manifest.commit(destination.directory, made)
        except DatasetExistsError:
            _clear(workspace, manifest.load(destination.directory, made.version).commit)
            raise
    _clear(workspace, made.commit)
    return result


def _clear(workspace: Workspace, commit: str) -> None:
    """Removes what no manifest names; the dataset is there, whether or not that succeeds."""
    try:
        remove_leftovers(workspace, commit)
    except StorageError as error:
        warnings.warn(
            f"Shards that were begun here and are of no use could not be deleted: {error}",
            RuntimeWarning,
            stacklevel=2,
        )


def _finish(workspace: Workspace, request: str, version: int) -> PackResult:
    """Ends a pack that was interrupted after its dataset had become visible.

    Raises:
        DatasetExistsError: It was another pack than this one.
    """
    destination = workspace.destination
    commit = manifest.load(destination.directory, version).commit
    noted = workspace.noted(commit)
    _clear(workspace, commit)
    workspace.discard()
    if noted.get("request") != request:
        raise exists_already(destination, version)
    plain = noted["result"]
    return PackResult(
        **{
            **plain,
            "dest": destination.name,
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

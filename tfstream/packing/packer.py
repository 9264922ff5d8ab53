"""Packs a tree of annotated images into a new dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tfstream.annotations import Source, locate
from tfstream.errors import InvalidArgumentError
from tfstream.format.label_map import LabelMap
from tfstream.packing.destination import open_destination
from tfstream.packing.executor import Executing
from tfstream.packing.job import Job, PackResult
from tfstream.packing.local import local
from tfstream.packing.options import DEFAULT_SHARD_BYTES, Options, process_count
from tfstream.packing.run import run
from tfstream.sizes import parse_size

__all__ = ["pack"]


def pack(
    source: Source,
    dest: str | os.PathLike[str],
    *,
    format: str = "auto",
    labels: LabelMap | str | os.PathLike[str] | None = None,
    background: bool | None = None,
    metadata: str | os.PathLike[str] | None = None,
    shard_bytes: int | str = DEFAULT_SHARD_BYTES,
    seed: int = 0,
    on_invalid: str = "error",
    rejects: str | os.PathLike[str] | None = None,
    max_side: int | None = None,
    quality: int | None = None,
    processes: int | None = None,
    workspace: str | os.PathLike[str] | None = None,
    project: str | None = None,
    message: str = "",
    author: str | None = None,
    progress: bool = True,
    runner: str | None = None,
    pipeline_options: Sequence[str] = (),
) -> PackResult:
    """Packs a tree of annotated images into a new dataset.

    Equal input, labels, seed and sizes give equal bytes, with however many processes; of the
    manifest, where $SOURCE_DATE_EPOCH stands for the time. A pack that
    is interrupted, by a kill or a full disk, leaves nothing visible behind; called again in the
    same way, it goes on where it stopped.

    Args:
        source: The tree's directory, or one that holds it up to three levels below; a .csv, .tsv
            or .jsonl file; a `tfstream.NpySet` or `tfstream.TextFile`; a pandas or Arrow table; a
            dataset of Hugging Face's `datasets`, or a builder of TFDS; or an iterable of
            AnnotatedImage, each with `image_path`, `encoded` or `tensor`.
        dest: The dataset's directory, new or empty; or a URI such as `gs://bucket/prefix` with
            nothing below it. Shards are uploaded while others are being written.
        format: "ilsvrc-det", "ilsvrc-cls-loc", "voc", "coco", "yolo", "open-images", "labelme",
            "jsonl", "npy", "csv", "imagefolder" or "rows"; "auto" takes the one that is there.
        labels: The label map, or a file with a label a line; None: the classes that the format
            lists, in its order, and the labels that occur besides, sorted.
        background: Whether one more class, the last, stands for images without an object; None:
            where the format has images. A `LabelMap` says that itself.
        metadata: A .csv, .tsv or .parquet file of metadata, a row a record, joined on its column
            `key`; or on `file` or `path`, the image's path below the images' root, with its
            extension or without. It counts more than sidecars do: the files
            `IMAGE.metadata.json`, and the `metadata.json` of a folder by file name, beside images
            or annotations.
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
        message: What for; the manifest keeps it.
        author: Who packs; None: $TFSTREAM_AUTHOR, or the user's name and the host's.
        progress: Whether to tell of the progress, on standard error.
        runner: Of Apache Beam, whose workers do the work instead of processes of this machine:
            "DirectRunner", "DataflowRunner", "FlinkRunner", "SparkRunner", "PrismRunner" or
            "PortableRunner". The bytes are the same. Needs `pip install 'tfstream[beam]'`.
        pipeline_options: Of the runner, such as `["--direct_num_workers=4"]`.

    Returns:
        What was made; `tfstream.pack` returns the dataset itself, opened.

    Raises:
        DatasetNotFoundError: There is no source, or no tree of the format in it; or no file of
            metadata or labels where one was named.
        DatasetExistsError: The destination holds a dataset, or another packer is at work there or
            was first.
        AnnotationError: Something is wrong with the input, and `on_invalid` is "error"; or no
            record is left. MissingImageError, where all that is wrong is missing images.
        InvalidArgumentError: An argument cannot be used.
        StorageError: A file cannot be read or written, or no space is left. AccessDeniedError and
            ObjectNotFoundError, where that is why a bucket cannot be.
        PackError: The input changed meanwhile, or a worker died.
    """
    reader, root = locate(source, format)
    if background is None:
        background = reader.images
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
    job = Job(
        reader=reader,
        root=root,
        options=options,
        labels=labels,
        background=background,
        metadata=None if metadata is None else Path(metadata),
        destination=open_destination(dest, workspace=workspace, project=project),
        rejects=None if rejects is None else Path(rejects),
        message=message,
        author=author,
        processes=workers,
        progress=progress,
    )
    return run(job, _executor(runner, pipeline_options, processes))


def _executor(
    runner: str | None, pipeline_options: Sequence[str], processes: int | None
) -> Executing:
    """Who does the work."""
    if runner is None:
        if pipeline_options:
            raise InvalidArgumentError(
                f"pipeline_options={list(pipeline_options)} are for a runner of Apache Beam: name "
                "it with runner=… (--runner)."
            )
        return local
    if processes is not None:
        raise InvalidArgumentError(
            f"processes={processes} is for packing without a runner, and runner={runner!r} has "
            "workers: say how many with its own pipeline options."
        )
    from tfstream.packing.beam.executor import on
    from tfstream.packing.beam.pipelines import Pipelines

    return on(Pipelines(runner, pipeline_options))

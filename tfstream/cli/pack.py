"""`tfstream pack`: packs a tree of annotated images into a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from tfstream.cli import packed
from tfstream.cli.options import Project
from tfstream.cli.packing_options import (
    Author,
    Format,
    Json,
    MaxSide,
    Message,
    Metadata,
    OnInvalid,
    Processes,
    Quality,
    Rejects,
    Source,
    Workspace,
)

__all__ = ["pack"]


def pack(
    source: Source,
    dest: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="The dataset's directory, new or empty; or gs://BUCKET/PREFIX.",
        ),
    ],
    format: Format = "auto",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A label a line, in the order of their indices; also Kaggle's synset mapping. "
            "Without it: the format's own order, else the labels that occur, sorted.",
        ),
    ] = None,
    background: Annotated[
        bool | None,
        typer.Option(
            help="One more class, the last, for images without an object; if not said, where "
            "there are images."
        ),
    ] = None,
    metadata: Metadata = None,
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="No shard is larger: 64MB, 1GiB, 5000000.")
    ] = "128MB",
    on_invalid: OnInvalid = "error",
    rejects: Rejects = None,
    max_side: MaxSide = None,
    quality: Quality = None,
    processes: Processes = None,
    workspace: Workspace = None,
    project: Project = None,
    message: Message = "",
    author: Author = None,
    runner: Annotated[
        str | None,
        typer.Option(
            metavar="RUNNER",
            help="Pack on Apache Beam: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner, "
            "PrismRunner, PortableRunner.",
        ),
    ] = None,
    pipeline_options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION...]", help="With --runner: its pipeline options."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Pack a tree of annotated images into a dataset of TFRecord shards.

    There is no dataset in DEST before all is packed. Interrupted, even by kill -9, the same
    command goes on where it stopped. To gs:// shards are uploaded while others are packed.

    \b
    Formats:
      ilsvrc-det      Annotations/DET and Data/DET
      ilsvrc-cls-loc  Data/CLS-LOC, with XML files or LOC_*_solution.csv
      voc             Annotations, JPEGImages and ImageSets/Main
      coco            annotations/*.json, or a JSON file among the images
      yolo            data.yaml, or images and labels
      open-images     *-annotations-bbox.csv, *-imagelabels.csv
      labelme         a JSON file beside each image
      jsonl           a line an image: {"image": "a.jpg", "label": "dog"}
      npy             labels.json ({id: class}), perhaps partition.json, and ID.npy files
      csv             path,label or path,xmin,ymin,xmax,ymax,label; also .tsv
      imagefolder     a directory a class, below train and val or not
      rows            columns of numbers, and one of what is to be predicted; no images

    \b
    Example:
      tfstream pack ILSVRC packed
      tfstream pack coco packed --message "COCO 2017"
      tfstream pack ILSVRC gs://my-bucket/ilsvrc
      tfstream pack VOCdevkit/VOC2012 packed --format voc --on-invalid clip --shard-size 64MB
      tfstream pack ILSVRC gs://my-bucket/ilsvrc --runner FlinkRunner -- --flink_master=host:8081
    """  # noqa: D301 (\b keeps click from filling the example's lines)
    from tfstream.packing import packer
    from tfstream.sizes import parse_size

    with packed.interruptible():
        result = packer.pack(
            source,
            dest,
            format=format,
            labels=labels,
            background=background,
            metadata=metadata,
            shard_bytes=parse_size(shard_size, "--shard-size"),
            seed=seed,
            on_invalid=on_invalid,
            rejects=rejects,
            max_side=max_side,
            quality=quality,
            processes=processes,
            workspace=workspace,
            project=project,
            message=message,
            author=author,
            runner=runner,
            pipeline_options=pipeline_options or (),
        )
    packed.show(result, "packed", dest, metadata=metadata, as_json=as_json)

"""`tfstream demo`: draws a small tree, packs it, trains on it, and shows a batch."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfstream.cli import text
from tfstream.errors import DatasetExistsError, StorageError
from tfstream.storage import local

if TYPE_CHECKING:
    from tfstream.dataset import PackedDataset
    from tfstream.demo.training import Epoch

__all__ = ["demo"]

_MARKER = "tfstream-demo.json"
_SIDE = 80  # pixels, of the images that the network sees
_BATCH = 32
_COLUMNS, _ROWS, _TILE = 5, 3, 168  # of the picture; a tile's side in pixels


def demo(
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Where everything goes; a rerun goes on there.")
    ] = Path("tfstream-demo"),
    images: Annotated[
        int, typer.Option(min=64, help="Training images; a quarter as many for validation.")
    ] = 1200,
    epochs: Annotated[int, typer.Option(min=1, help="How long to train.")] = 10,
) -> None:
    """Draw a small tree of shapes, pack it, train on it with validation, and show a batch.

    Needs no network, and about a minute on two cores.

    Example:
        tfstream demo
        tfstream demo --output /tmp/demo --images 200 --epochs 2
    """
    begun = time.monotonic()
    _claim(output, images)
    _say(f"tfstream demo, in {output.absolute()}\n")
    _draw(output, train=images, val=images // 4)
    data, packed = _pack(output)

    _say("training a small convolutional network; TensorFlow is loading ...")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # there need be no GPU
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tfstream
    from tfstream.demo import training

    train, valid = data.split("train"), data.split("val")
    plain = tfstream.ImageSpec(size=(_SIDE, _SIDE), dtype="float32", normalize="unit")
    train_stream = train.stream(
        batch_size=_BATCH, image=dataclasses.replace(plain, flip=True), label="index", seed=7
    )
    valid_stream = valid.stream(batch_size=_BATCH, image=plain, label="index", shuffle=False)

    def report(epoch: Epoch) -> None:
        _say(
            f"  epoch {epoch.number:2d}/{epochs}   loss {epoch.loss:.3f}   "
            f"accuracy {epoch.accuracy:.3f}   validation {epoch.val_accuracy:.3f}   "
            f"{epoch.images_per_second:,.0f} images/s"
        )

    history = training.fit(
        training.network(_SIDE, data.labels.classes),
        train_stream,
        valid_stream,
        epochs=epochs,
        images=len(train),
        report=report,
    )
    stats = train_stream.stats()
    picture = _picture(train, output / "batch.png")

    # The first epoch compiles the network, which says nothing about the stream.
    rates = [epoch.images_per_second for epoch in history[1:] or history]
    counters = f"{stats['samples']:,} samples, {text.size(stats['bytes_read'])} read"
    counters += f", {stats['corrupt']:,} corrupt"
    _say("")
    for name, value in (
        ("images", f"{len(train):,} for training, {len(valid):,} for validation"),
        ("classes", f"{len(data.labels.names)} shapes, and the background"),
        ("packed", packed),
        ("stream alone", f"{_stream_rate(train):,.0f} images/s, decoded and resized"),
        ("training", f"{sum(rates) / len(rates):,.0f} images/s"),
        (
            "validation accuracy",
            f"{history[-1].val_accuracy:.3f} (by chance: {_chance(valid):.2f})",
        ),
        ("stream.stats()", counters),
        ("a training batch", str(picture.absolute())),
        ("time", f"{time.monotonic() - begun:.0f} s"),
    ):
        _say(f"{name:20s} {value}")
    _say(f"\nLook around: tfstream info {output / 'packed'}")
    _say("Your own images: tfstream pack --help lists the formats")


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()  # as it happens, also through a pipe


def _claim(output: Path, images: int) -> None:
    """Makes the directory ours, unless it is someone else's."""
    marker, mine = output / _MARKER, json.dumps({"images": images})
    try:
        if marker.is_file():
            if (found := marker.read_text()) != mine:
                raise DatasetExistsError(
                    f"{output} holds another demo, {found}, not {mine}: "
                    "give another directory with --output, or the same number with --images"
                )
            return
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise DatasetExistsError(
                f"{output} is there already, and no demo made it: nothing was changed. "
                "Give another directory with --output"
            )
        with local.write_atomically(marker) as file:
            file.write(mine.encode())
    except (PermissionError, NotADirectoryError) as error:
        raise StorageError(
            f"{output} cannot be used ({error.strerror}): give another directory with --output"
        ) from error


def _draw(output: Path, *, train: int, val: int) -> None:
    """Draws the tree, unless an earlier run did."""
    import tqdm

    from tfstream.demo import shapes

    tree = output / "tree"
    what = f"{train:,} training and {val:,} validation images of {len(shapes.SHAPES)} shapes"
    if tree.exists():
        _say(f"drawn by an earlier run: {what}")
        return
    begun = time.monotonic()
    partial = output / "tree.partial"  # what an interrupted run left is drawn over
    with tqdm.tqdm(
        total=train + val,
        desc="drawing",
        unit=" images",
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:
        shapes.draw_tree(partial, train=train, val=val, progress=bar.update)
    partial.rename(tree)
    _say(f"drew {what} in {time.monotonic() - begun:.1f} s")


def _pack(output: Path) -> tuple[PackedDataset, str]:
    """Packs the tree, unless an earlier run did; says how that went, too."""
    import tfstream

    packed = output / "packed"
    if (packed / "manifests").is_dir():
        data = tfstream.open(packed)
        outcome = f"{len(data):,} images, by an earlier run"
    else:
        begun = time.monotonic()
        data = tfstream.pack(
            output / "tree", packed, format="ilsvrc-det", progress=sys.stderr.isatty()
        )
        seconds = time.monotonic() - begun
        size = text.size(sum(path.stat().st_size for path in packed.glob("shards/*.tfrecord")))
        rate = len(data) / seconds
        outcome = f"{len(data):,} images, {size}, in {seconds:.1f} s: {rate:,.0f} images/s"
    _say(f"packed {outcome}")
    return data, outcome


def _picture(train: PackedDataset, path: Path) -> Path:
    """Draws an augmented batch of the training images, with its boxes."""
    import tfstream
    from tfstream.demo.picture import grid

    stream = train.stream(
        batch_size=_COLUMNS * _ROWS,
        image=tfstream.ImageSpec(size=(_TILE, _TILE), mode="random_crop", flip=True),
        label=None,
        boxes="ragged",
        elements="dict",
        seed=7,
    )
    batch = next(iter(stream))
    names = train.labels.names
    grid(
        batch["image"].numpy(),
        [boxes.numpy() for boxes in batch["boxes"]],
        [[names[i] for i in labels.numpy()] for labels in batch["box_labels"]],
        names=names,
        columns=_COLUMNS,
    ).save(path)
    return path


def _stream_rate(train: PackedDataset) -> float:
    """Images a second of the stream with nobody training on it."""
    import tfstream

    stream = train.stream(
        batch_size=_BATCH, image=tfstream.ImageSpec(size=(_SIDE, _SIDE)), epochs=2
    )
    begun = time.perf_counter()
    for _ in stream:
        pass
    return 2 * len(train) / (time.perf_counter() - begun)


def _chance(valid: PackedDataset) -> float:
    """The accuracy of always saying the most frequent class."""
    counts = Counter(valid.metadata["label"].to_pylist())
    return max(counts.values()) / len(valid)

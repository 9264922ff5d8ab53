"""Writes one shard and its index into the workspace; a worker's task."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tfstream
from tfstream.errors import AnnotationError, PackError, StorageError
from tfstream.format import example, index, statistics
from tfstream.format.label_map import LabelMap
from tfstream.format.record import ShardWriter
from tfstream.packing import contents, reencode
from tfstream.packing.fast import FastWriter
from tfstream.packing.images import check_body
from tfstream.packing.journal import ShardResult
from tfstream.packing.options import Options
from tfstream.packing.rejects import Reject
from tfstream.packing.spool import Entry, Spool
from tfstream.storage.read import read_descriptor

__all__ = ["SHARDS", "ShardTask", "object_names", "write_shard"]

SHARDS = "shards"
_BUFFER = 1 << 20  # bytes


@dataclass(frozen=True)
class ShardTask:
    """One shard to write.

    Attributes:
        stem: File name without extension.
        bytes: That the shard and its index will take, about.
        drafts: The directory to write to.
        spool: The spool file.
        offsets: [n], of the shard's entries in the spool, in storage order.
        options: How to pack.
        labels: The label map.
        metadata: The metadata columns: name to type.
        known: The shard that an earlier packer has delivered; None where there is none.
    """

    stem: str
    bytes: int
    drafts: Path
    spool: Path
    offsets: NDArray[np.int64]
    options: Options
    labels: LabelMap
    metadata: dict[str, str]
    known: ShardResult | None = None


def object_names(stem: str) -> tuple[str, str]:
    """The names of a shard and its index within their dataset.

    >>> object_names("train-1f3a-00007")
    ('shards/train-1f3a-00007.tfrecord', 'shards/train-1f3a-00007.parquet')
    """
    return f"{SHARDS}/{stem}.tfrecord", f"{SHARDS}/{stem}.parquet"


def write_shard(task: ShardTask, report: Callable[[int, int], None]) -> ShardResult:
    """Writes a shard, unless it was delivered already and its images have not changed since.

    Args:
        task: What to write.
        report: Is told of (images, bytes) done.

    Raises:
        AnnotationError: An image cannot be decoded, and `on_invalid` is "error".
        PackError: An image changed since it was scanned.
        StorageError: A file cannot be read or written.
    """
    with Spool(task.spool) as spool:
        fingerprint = _fingerprint(spool, task)
        if task.known is not None and task.known.fingerprint == fingerprint:
            report(len(task.offsets), sum(spool.stamp(int(at))[0] for at in task.offsets))
            return task.known
        shard, target = (task.drafts / Path(name).name for name in object_names(task.stem))
        try:
            rows, rejects, size = _write_records(shard, spool, task, report)
            if rows:
                with open(target, "wb") as file:  # the disk has it once it is delivered
                    index.write(file, rows, task.metadata)
            else:
                shard.unlink()
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(error.errno, f"Cannot write {shard}: {error.strerror}.") from error
    return ShardResult(
        stem=task.stem,
        fingerprint=fingerprint,
        bytes=size,
        statistics=statistics.summarize(rows),
        rejects=tuple(rejects),
    )


def _write_records(
    shard: Path, spool: Spool, task: ShardTask, report: Callable[[int, int], None]
) -> tuple[list[index.Row], list[Reject], int]:
    """The rows of the records written to `shard`, what was found wrong, and the file's size."""
    rows: list[index.Row] = []
    rejects: list[Reject] = []
    with (
        open(shard, "wb", buffering=_BUFFER) as file,
        contextlib.closing(FastWriter(spool.memory, task.labels)) as fast,
    ):
        writer = ShardWriter(file)
        done = 0
        while done < len(task.offsets):
            file.flush()
            quick = fast.write(file.fileno(), writer.bytes, task.offsets[done:])
            if quick:
                rows += quick
                spool.count(len(quick))
                writer.skip(sum(row.length for row in quick), len(quick))
                report(len(quick), sum(row.bytes for row in quick))
                done += len(quick)
            else:
                entry = spool.read(int(task.offsets[done]))
                try:
                    row, size = _write_record(writer, entry, task)
                except MemoryError:
                    raise PackError(
                        f"There is not enough memory for the record of {entry.image.key!r}, whose "
                        f"image {entry.image.image_path} has {entry.stamp[0]:,} bytes. Pack with "
                        "fewer processes (--processes), on a larger machine, or without it."
                    ) from None
                if isinstance(row, Reject):
                    rejects.append(row)
                else:
                    rows.append(row)
                report(1, size)
                done += 1
    return rows, rejects, writer.bytes


def _write_record(
    writer: ShardWriter, entry: Entry, task: ShardTask
) -> tuple[index.Row | Reject, int]:
    """The row of a record that was written, or why it was not; and the image file's size."""
    image = entry.image
    data = b"" if image.tensor.data else _read(entry)
    try:
        if image.tensor.data:
            pass  # the spool has held all of it
        elif image.HasField("tensor"):
            contents.put_file(image, data)
        elif entry.reencode:
            image.encoded = reencode.encode(data, image, task.options)
        else:
            check_body(image.image_path, data)
            image.encoded = data
    except AnnotationError as error:
        if task.options.on_invalid == "error":
            raise AnnotationError(
                f"{error} Mend or remove the file and run the same command again, or leave "
                "such records out with on_invalid='skip' (--on-invalid skip)."
            ) from error
        reject = Reject(
            file=image.image_path,
            key=image.key,
            split=image.split,
            kind="image",
            reason=str(error),
            action="record left out",
        )
        return reject, len(data)
    offset, length = writer.append(example.encode(image, task.labels))
    return index.Row.of(image, offset=offset, length=length), len(data) or len(image.tensor.data)


def _read(entry: Entry) -> bytes:
    """The image file's bytes, if it still is what was scanned."""
    path = entry.image.image_path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            same = (status.st_size, status.st_mtime_ns) == entry.stamp
            data = read_descriptor(descriptor, status.st_size) if same else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        same = False
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error
    if not same or len(data) != entry.stamp[0]:
        raise PackError(
            f"{path} was changed or removed while it was being packed. Run the same command again "
            "once nothing writes to the tree: it goes on where it stopped."
        )
    return data


def _fingerprint(spool: Spool, task: ShardTask) -> str:
    """Of what a shard's bytes follow from, but for what the workspace's name stands for."""
    import pyarrow

    programs = [tfstream.__version__, pyarrow.__version__]
    if task.options.reencodes:
        import PIL

        programs.append(PIL.__version__)
    state = hashlib.blake2b(" ".join(programs).encode(), digest_size=16)
    for at in task.offsets.tolist():
        size, mtime = spool.stamp(at)
        state.update(b"%d %d\n" % (size, mtime))
    return state.hexdigest()

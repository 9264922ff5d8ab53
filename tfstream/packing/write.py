"""Writes one shard and its index; a worker's task."""

from __future__ import annotations

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
from tfstream.packing import journal, reencode
from tfstream.packing.images import check_body
from tfstream.packing.journal import ShardResult
from tfstream.packing.options import Options
from tfstream.packing.rejects import Reject
from tfstream.packing.spool import Entry, Spool
from tfstream.storage.local import TEMPORARY_SUFFIX
from tfstream.storage.read import read_descriptor

__all__ = ["SHARDS", "ShardTask", "write_shard"]

SHARDS = "shards"
_BUFFER = 1 << 20  # bytes


@dataclass(frozen=True)
class ShardTask:
    """One shard to write.

    Attributes:
        stem: File name without extension.
        dest: The dataset's directory.
        workspace: Directory for drafts and journals, on the file system of `dest`.
        spool: The spool file.
        offsets: [n], of the shard's entries in the spool, in storage order.
        options: How to pack.
        labels: The label map.
        metadata: The metadata columns: name to type.
    """

    stem: str
    dest: Path
    workspace: Path
    spool: Path
    offsets: NDArray[np.int64]
    options: Options
    labels: LabelMap
    metadata: dict[str, str]


def write_shard(task: ShardTask, report: Callable[[int, int], None]) -> ShardResult:
    """Writes a shard, unless it is there already and its images have not changed since.

    The shard, then the index, then the journal: each appears whole, under its own name.

    Args:
        task: What to write.
        report: Is told of (images, bytes) done.

    Raises:
        AnnotationError: An image cannot be decoded, and `on_invalid` is "error".
        PackError: An image changed since it was scanned.
        StorageError: A file cannot be read or written.
    """
    shard = task.dest / SHARDS / f"{task.stem}.tfrecord"
    target = shard.with_suffix(".parquet")
    record = task.workspace / f"{task.stem}.json"
    with Spool(task.spool) as spool:
        fingerprint = _fingerprint(spool, task)
        known = journal.load(record)
        if known and known.fingerprint == fingerprint and _is_there(known, shard, target):
            report(len(task.offsets), sum(spool.stamp(int(at))[0] for at in task.offsets))
            return known
        try:
            draft = task.workspace / f"{task.stem}.tfrecord{TEMPORARY_SUFFIX}"
            rows, rejects, size = _write_records(draft, spool, task, report)
            index_size = 0
            if rows:
                os.replace(draft, shard)
                draft = task.workspace / f"{task.stem}.parquet{TEMPORARY_SUFFIX}"
                index.write(draft, rows, task.metadata)
                index_size = draft.stat().st_size
                os.replace(draft, target)
            else:
                draft.unlink()
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(error.errno, f"Cannot write {shard}: {error.strerror}.") from error
    result = ShardResult(
        stem=task.stem,
        fingerprint=fingerprint,
        bytes=size,
        index_bytes=index_size,
        statistics=statistics.summarize(rows),
        rejects=tuple(rejects),
    )
    journal.save(record, result)
    return result


def _write_records(
    draft: Path, spool: Spool, task: ShardTask, report: Callable[[int, int], None]
) -> tuple[list[index.Row], list[Reject], int]:
    """The rows of the records written to `draft`, what was found wrong, and the file's size."""
    rows: list[index.Row] = []
    rejects: list[Reject] = []
    with open(draft, "wb", buffering=_BUFFER) as file:
        writer = ShardWriter(file)
        for at in task.offsets.tolist():
            entry = spool.read(at)
            image = entry.image
            data = _read(entry)
            try:
                if entry.reencode:
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
                rejects.append(
                    Reject(
                        file=image.image_path,
                        key=image.key,
                        split=image.split,
                        kind="image",
                        reason=str(error),
                        action="record left out",
                    )
                )
            else:
                offset, length = writer.append(example.encode(image, task.labels))
                rows.append(index.Row.of(image, offset=offset, length=length))
            report(1, len(data))
        file.flush()
        os.fsync(file.fileno())
    return rows, rejects, writer.bytes


def _read(entry: Entry) -> bytes:
    """The image file's bytes, if it still is what was scanned."""
    path = entry.image.image_path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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


def _is_there(known: ShardResult, shard: Path, target: Path) -> bool:
    """Whether the files that a journal speaks of are in place."""
    if known.bytes == 0:
        return True
    try:
        sizes = shard.stat().st_size, target.stat().st_size
    except OSError:
        return False
    return sizes == (known.bytes, known.index_bytes)

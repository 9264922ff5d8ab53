"""The scan of some images: reads annotations, metadata and image headers; a worker's task."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfstream.annotations import sidecars
from tfstream.annotations.reader import AnnotationReader, Entry
from tfstream.annotations.registry import reader_of
from tfstream.errors import AnnotationError, MissingImageError
from tfstream.format import example, index, record
from tfstream.format.label_map import LabelMap
from tfstream.format.size import encoded_size, index_slack
from tfstream.format.tensors import IMAGES, Contents
from tfstream.packing import contents, fast, metadata, reencode
from tfstream.packing.box_kinds import BoxKinds
from tfstream.packing.images import ImageFacts
from tfstream.packing.options import Options
from tfstream.packing.plan import key_hash
from tfstream.packing.rejects import Action, Kind, Reject
from tfstream.packing.spool import Batch, pack_entry, pack_serialized
from tfstream.packing.validate import check
from tfstream.v1 import annotated_image_pb2

__all__ = ["CHUNK", "DIGEST_BYTES", "ScanResult", "ScanTask", "scan"]

CHUNK = 128  # annotations a task: some 20 ms of work
DIGEST_BYTES = 8  # of a record

Values = Mapping[str, sidecars.Value]


@dataclass(frozen=True)
class ScanTask:
    """Some entries of the listing to scan.

    Attributes:
        entries: At most `CHUNK`.
        options: How to pack.
        labels: The labels that there may be; None: any.
        metadata: The sorted file of metadata; None: there is none.
    """

    entries: Sequence[Entry]
    options: Options
    labels: LabelMap | None
    metadata: Path | None


@dataclass(frozen=True)
class ScanResult:
    """What the scan of a task found.

    Attributes:
        batch: The records that can be packed.
        digest: Of what will be packed, [n] of `DIGEST_BYTES`.
        labels: That occur.
        kinds: Of the metadata that occur: by name, the types.
        first: By name, the key of the first record that has such metadata.
        rows: Of the file of metadata that belong to the entries.
        rejects: What is wrong, in the order of the entries.
        left_out: Entries that make no record.
        boxes: What kind of boxes there are.
        contents: What records hold, each with the key of the first that does.
        native: How many of the records native code took.
    """

    batch: Batch
    digest: bytes
    labels: frozenset[str]
    kinds: dict[str, set[str]]
    first: dict[str, str]
    rows: NDArray[np.int64]
    rejects: list[Reject]
    left_out: int
    boxes: BoxKinds
    contents: dict[Contents, str]
    native: int


def scan(task: ScanTask, report: Callable[[int, int], None]) -> ScanResult:
    """Scans some entries; a worker's task.

    Args:
        task: What to scan.
        report: Is told of (images, bytes) done.

    Raises:
        StorageError: A file cannot be read.
    """
    format = reader_of(task.options.format)
    boxes = BoxKinds(format.boxes)
    entries: list[bytes] = []
    hashes: list[int] = []
    sizes: list[int] = []
    slack: list[int] = []
    splits: list[str] = []
    digests: list[bytes] = []
    kinds: dict[str, set[str]] = {}
    first: dict[str, str] = {}
    held: dict[Contents, str] = {}
    rejects: list[Reject] = []
    image_bytes = 0
    rows, joined = _join(task)
    quick = _scan_fast(task, format)
    labels = set(quick.labels)
    for place, (entry, more) in enumerate(zip(task.entries, joined, strict=True)):
        record_of = quick.records.get(place)
        if record_of is not None:
            for name, type_name in quick.kinds.get(place, ()):
                kinds.setdefault(name, set()).add(type_name)
                first.setdefault(name, entry.key)
            held.setdefault(IMAGES, entry.key)
            hashes.append(key_hash(entry.key, task.options.seed))
            sizes.append(record_of.frame_bytes)
            slack.append(index_slack(record_of.objects))
            splits.append(entry.split)
            digests.append(_digest(record_of.digested, record_of.bytes))
            entries.append(
                pack_serialized(
                    record_of.annotation, record_of.bytes, record_of.mtime_ns, reencode=False
                )
            )
            boxes.boxes += record_of.objects  # all good: it takes no others
            image_bytes += record_of.bytes
            continue
        found = _scan_one(entry, format.read, more, task, rejects, boxes)
        if found is None:
            continue
        image, facts = found
        labels.update(item.label for item in image.objects)
        for name, kind in index.schema_of(image).items():
            kinds.setdefault(name, set()).add(kind)
            first.setdefault(name, image.key)
        guess = reencode.plan(image, facts, task.options)
        hashes.append(key_hash(image.key, task.options.seed))
        stored = contents.stored_bytes(image, facts) if guess is None else guess
        held.setdefault(Contents.of(image), image.key)
        sizes.append(encoded_size(image, stored) + record.FRAME_BYTES)
        slack.append(index_slack(len(image.objects)))
        splits.append(image.split)
        digests.append(_digest(_without_places(image), facts.bytes))
        entries.append(pack_entry(image, facts, reencode=guess is not None))
        image_bytes += facts.bytes
    report(len(task.entries), image_bytes)
    return ScanResult(
        batch=Batch(
            entries=b"".join(entries),
            lengths=[len(each) for each in entries],
            hashes=hashes,
            frame_bytes=sizes,
            slack=slack,
            splits=splits,
        ),
        digest=b"".join(digests),
        labels=frozenset(labels),
        kinds=kinds,
        first=first,
        rows=rows,
        rejects=rejects,
        left_out=len(task.entries) - len(entries),
        boxes=boxes,
        contents=held,
        native=len(quick.records),
    )


def _join(task: ScanTask) -> tuple[NDArray[np.int64], Sequence[Values]]:
    """The rows of the file of metadata that belong to the entries, and what each entry's says."""
    if task.metadata is None:
        return np.empty(0, np.int64), [{}] * len(task.entries)
    joined = metadata.open_sorted(task.metadata)
    rows = joined.find([entry.key for entry in task.entries])
    return rows[rows >= 0], joined.values(rows)


def _scan_one(
    entry: Entry,
    read: Callable[[Entry], annotated_image_pb2.AnnotatedImage],
    joined: Values,
    task: ScanTask,
    rejects: list[Reject],
    usual: BoxKinds,
) -> tuple[annotated_image_pb2.AnnotatedImage, ImageFacts] | None:
    """The record of an entry; None, with the reasons among the rejects, where there is none."""
    action: Action = "not packed" if task.options.on_invalid == "error" else "record left out"
    reject = functools.partial(Reject, key=entry.key, split=entry.split, action=action)
    kind: Kind = "annotation"
    file = entry.annotation_path
    try:
        if entry.problem:
            raise AnnotationError(entry.problem)
        image = read(entry)
        kind = "metadata"
        names = (os.path.basename(entry.image_path), os.path.basename(entry.annotation_path))
        for file in entry.sidecars:
            example.put_metadata(image, sidecars.read(file, names))
        example.put_metadata(image, joined)
        kind, file = "image", entry.image_path
        facts = contents.facts(image, task.options)
        usual.look(image, facts.displayed)
    except MissingImageError as error:
        rejects.append(reject(file=entry.image_path, kind="missing image", reason=str(error)))
        return None
    except AnnotationError as error:
        rejects.append(reject(file=file, kind=kind, reason=str(error)))
        return None
    except FileNotFoundError:  # a link that leads nowhere, or removed meanwhile
        reason = (
            f"The image of {entry.annotation_path} is missing: {entry.image_path} is not there."
        )
        rejects.append(reject(file=entry.image_path, kind="missing image", reason=reason))
        return None
    keep, found = check(image, facts, labels=task.labels, on_invalid=task.options.on_invalid)
    rejects.extend(found)
    return (image, facts) if keep else None


def _scan_fast(task: ScanTask, format: AnnotationReader) -> fast.FastScan:
    """What the fast road makes of the task's entries."""
    plain = format.plain_voc and not task.options.reencodes and task.metadata is None
    return fast.scan(task.entries if plain else (), task.labels)


def _without_places(image: annotated_image_pb2.AnnotatedImage) -> bytes:
    """All that decides a record's bytes, but for the image's own: not where the files are."""
    paths = image.image_path, image.annotation_path
    image.image_path, image.annotation_path = os.path.basename(paths[0]), ""
    serialized = image.SerializeToString(deterministic=True)
    image.image_path, image.annotation_path = paths
    return serialized


def _digest(serialized: bytes, image_bytes: int) -> bytes:
    state = hashlib.blake2b(serialized, digest_size=DIGEST_BYTES)
    state.update(image_bytes.to_bytes(8, "little"))
    return state.digest()

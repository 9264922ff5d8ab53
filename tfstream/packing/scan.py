"""The scan: reads annotations and image headers, and tells which records there can be."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tfstream.annotations.reader import AnnotationReader, Entry
from tfstream.annotations.registry import reader
from tfstream.errors import AnnotationError, MissingImageError
from tfstream.format import index, record
from tfstream.format.label_map import LabelMap
from tfstream.format.size import encoded_size, index_slack
from tfstream.packing import reencode
from tfstream.packing.images import ImageFacts, probe
from tfstream.packing.options import Options
from tfstream.packing.plan import key_hash
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import Action, Kind, Reject, RejectsFile
from tfstream.packing.spool import Batch, Table, pack_entry
from tfstream.packing.validate import check
from tfstream.v1 import annotated_image_pb2

__all__ = ["ScanResult", "ScanTask", "Scanned", "scan", "scan_tree"]

_CHUNK = 128  # annotations a task: some 20 ms of work


@dataclass(frozen=True)
class ScanTask:
    """Some entries of the listing to scan.

    Attributes:
        entries: At most `_CHUNK`.
        options: How to pack.
        labels: The labels that there may be; None: any.
    """

    entries: Sequence[Entry]
    options: Options
    labels: LabelMap | None


@dataclass(frozen=True)
class ScanResult:
    """What the scan of a task found.

    Attributes:
        batch: The records that can be packed.
        digest: Of what will be packed, [n] of 8 bytes.
        labels: That occur.
        metadata: Name to type, of the metadata that occur.
        rejects: What is wrong, in the order of the entries.
        left_out: Entries that make no record.
    """

    batch: Batch
    digest: bytes
    labels: frozenset[str]
    metadata: dict[str, str]
    rejects: list[Reject]
    left_out: int


@dataclass(frozen=True)
class Scanned:
    """What the scan found, in all.

    Attributes:
        table: The records that there can be.
        labels: The label map.
        metadata: The metadata columns: name to type.
        commit: Hash of what will be packed, and how.
        rejected: Entries of the tree that make no record, because something is wrong with them.
        left_out: Files that are no entry, by reason.
    """

    table: Table
    labels: LabelMap
    metadata: dict[str, str]
    commit: str
    rejected: int
    left_out: dict[str, int]


def scan_tree(
    reader: AnnotationReader,
    root: str,
    options: Options,
    *,
    labels: LabelMap | None,
    background: bool,
    spool: Path,
    rejects: RejectsFile,
    pool: Pool,
    show: Progress,
) -> Scanned:
    """Reads every annotation and every image's header; writes the spool file.

    Args:
        reader: Of the tree's format.
        root: The tree.
        options: How to pack.
        labels: The label map; None: it is made of the labels that occur.
        background: Whether a map made here has a background class.
        spool: The file to write.
        rejects: Takes what is wrong.
        pool: Does the work.
        show: Is told of the progress.

    Raises:
        AnnotationError: There is no annotation at all.
        StorageError: A file cannot be read.
    """
    table = Table()
    names: set[str] = set()
    metadata: dict[str, str] = {}
    state = hashlib.blake2b(digest_size=6)
    rejected = 0
    left_out: Counter[str] = Counter()
    tasks = _scan_tasks(reader, root, options, labels, left_out)
    show.begin("Scanning")
    with open(spool, "wb") as file:
        for found in pool.map(scan, tasks, show.update):
            table.append(found.batch)
            file.write(found.batch.entries)
            state.update(found.digest)
            names |= found.labels
            metadata = index.merge_schemas(metadata, found.metadata)
            rejects.add(found.rejects)
            rejected += found.left_out
    show.end()
    if len(table) == 0 and rejected == 0:
        without = left_out["images without annotation"]
        besides = f" ({without:,} images without one)" if without else ""
        raise AnnotationError(
            f"{root} holds no annotation{besides}: there is no .xml file in its {reader.layout}."
        )
    if labels is None:
        labels = LabelMap.from_names(sorted(names), background=background)
    how = [asdict(options), asdict(labels)]
    state.update(json.dumps(how, sort_keys=True).encode())
    return Scanned(
        table=table,
        labels=labels,
        metadata=metadata,
        commit=state.hexdigest(),
        rejected=rejected,
        left_out=dict(sorted(left_out.items())),
    )


def _scan_tasks(
    reader: AnnotationReader,
    root: str,
    options: Options,
    labels: LabelMap | None,
    left_out: Counter[str],
) -> Iterator[ScanTask]:
    entries = reader.entries(root, left_out)
    while chunk := list(islice(entries, _CHUNK)):
        yield ScanTask(chunk, options, labels)


def scan(task: ScanTask, report: Callable[[int, int], None]) -> ScanResult:
    """Scans some entries; a worker's task.

    Args:
        task: What to scan.
        report: Is told of (images, bytes) done.

    Raises:
        StorageError: A file cannot be read.
    """
    read = reader(task.options.format).read
    entries: list[bytes] = []
    hashes: list[int] = []
    sizes: list[int] = []
    slack: list[int] = []
    splits: list[str] = []
    digests: list[bytes] = []
    labels: set[str] = set()
    metadata: dict[str, str] = {}
    rejects: list[Reject] = []
    image_bytes = 0
    for entry in task.entries:
        found = _scan_one(entry, read, task, rejects)
        if found is None:
            continue
        image, facts = found
        labels.update(item.label for item in image.objects)
        columns = index.schema_of(image)
        if columns.items() - metadata.items():
            metadata = index.merge_schemas(metadata, columns)
        guess = reencode.plan(image, facts, task.options)
        hashes.append(key_hash(image.key, task.options.seed))
        stored = facts.bytes if guess is None else guess
        sizes.append(encoded_size(image, stored) + record.FRAME_BYTES)
        slack.append(index_slack(len(image.objects)))
        splits.append(image.split)
        digests.append(_digest(image, facts))
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
        metadata=metadata,
        rejects=rejects,
        left_out=len(task.entries) - len(entries),
    )


def _scan_one(
    entry: Entry,
    read: Callable[[Entry], annotated_image_pb2.AnnotatedImage],
    task: ScanTask,
    rejects: list[Reject],
) -> tuple[annotated_image_pb2.AnnotatedImage, ImageFacts] | None:
    """The record of an entry; None, with the reasons among the rejects, where there is none."""
    action: Action = "not packed" if task.options.on_invalid == "error" else "record left out"
    reject = functools.partial(Reject, key=entry.key, split=entry.split, action=action)
    kind: Kind = "annotation"
    try:
        image = read(entry)
        kind = "image"
        facts = probe(entry.image_path)
    except MissingImageError as error:
        rejects.append(reject(file=entry.image_path, kind="missing image", reason=str(error)))
        return None
    except AnnotationError as error:
        file = entry.annotation_path if kind == "annotation" else entry.image_path
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


def _digest(image: annotated_image_pb2.AnnotatedImage, facts: ImageFacts) -> bytes:
    """Of all that decides a record's bytes, but for the image's own: not of where the files are."""
    paths = image.image_path, image.annotation_path
    image.image_path, image.annotation_path = os.path.basename(paths[0]), ""
    state = hashlib.blake2b(image.SerializeToString(deterministic=True), digest_size=8)
    image.image_path, image.annotation_path = paths
    state.update(facts.bytes.to_bytes(8, "little"))
    return state.digest()

"""The scan of a whole tree: which records there can be, with which labels and metadata."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from tfstream.annotations import Listing, sidecars
from tfstream.errors import AnnotationError
from tfstream.format import index
from tfstream.format.label_map import LabelMap
from tfstream.packing.base import Base
from tfstream.packing.box_kinds import BoxKinds
from tfstream.packing.columns import Columns
from tfstream.packing.job import Job
from tfstream.packing.metadata import MetadataFile
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import Reject, RejectsFile
from tfstream.packing.scan import CHUNK, ScanResult, ScanTask, scan
from tfstream.packing.spool import Table, unpack_entries
from tfstream.packing.workspace import Workspace

__all__ = ["Scanned", "scan_tree"]


@dataclass(frozen=True)
class Scanned:
    """What the scan found, in all.

    Attributes:
        table: The records that there can be.
        labels: The label map.
        metadata: The metadata columns: name to type.
        commit: Hash of what will be packed, how, and what it is added to.
        rejected: Entries of the tree that make no record, because something is wrong with them.
        left_out: Files that are no entry, by reason.
        unmatched: Rows of the file of metadata that belong to no entry.
    """

    table: Table
    labels: LabelMap
    metadata: dict[str, str]
    commit: str
    rejected: int
    left_out: dict[str, int]
    unmatched: int


def scan_tree(
    job: Job,
    base: Base | None,
    *,
    columns: Columns,
    metadata: MetadataFile | None,
    workspace: Workspace,
    rejects: RejectsFile,
    pool: Pool,
    show: Progress,
) -> Scanned:
    """Reads every annotation and every image's header; writes the spool file.

    Args:
        job: What to pack.
        base: The version that it is added to; None: there is none.
        columns: The metadata columns that are known; those that occur are added.
        metadata: The file of metadata; None: there is none.
        workspace: Of the destination.
        rejects: Takes what is wrong.
        pool: Does the work.
        show: Is told of the progress.

    Raises:
        AnnotationError: There is no annotation at all.
        InvalidArgumentError: The label map cannot follow the base's.
        StorageError: A file cannot be read.
    """
    labels = job.labels
    if base is not None and labels is not None:
        labels = base.require_begins(labels)
    table = Table()
    names: set[str] = set()
    state = hashlib.blake2b(digest_size=6)
    rejected = 0
    listing = Listing(workspace.listing())
    left_out = listing.left_out
    boxes = BoxKinds(job.reader.boxes)
    used = np.zeros(metadata.rows if metadata else 0, np.bool_)
    tasks = _tasks(job, labels, metadata, listing)
    show.begin("Scanning")
    with open(workspace.spool, "wb") as file:
        for found in pool.map(scan, tasks, show.update):
            first = {name: f"the record {key!r}" for name, key in found.first.items()}
            if columns.take(found.kinds, first):
                found = _admit(found, columns, job.options.on_invalid)
            table.append(found.batch)
            file.write(found.batch.entries)
            state.update(found.digest)
            names |= found.labels
            used[found.rows] = True
            rejects.add(found.rejects)
            rejected += found.left_out
            boxes.add(found.boxes)
    show.end()
    if warning := boxes.warning(job.reader.name):
        warnings.warn(warning, UserWarning, stacklevel=2)
    if len(table) == 0 and rejected == 0:
        without = left_out["images without annotation"]
        besides = f" ({without:,} images without one)" if without else ""
        raise AnnotationError(
            f"{job.root} holds no annotation{besides}: there is none in its {job.reader.layout}."
        )
    if labels is None:
        before = base.labels if base else LabelMap((), has_background=job.background)
        titles = {**listing.labels, **dict.fromkeys(sorted(names - listing.labels.keys()), "")}
        more = [name for name in titles if name not in before.id]
        labels = dataclasses.replace(
            before,
            names=(*before.names, *more),
            titles=(*before.titles, *(titles[name] for name in more)),
        )
    how: list[object] = [asdict(job.options), asdict(labels), columns.kinds]
    if base is not None:
        how += [base.manifest.version, base.manifest.commit]
    state.update(json.dumps(how, sort_keys=True).encode())
    return Scanned(
        table=table,
        labels=labels,
        metadata=columns.kinds,
        commit=state.hexdigest(),
        rejected=rejected,
        left_out=dict(sorted(left_out.items())),
        unmatched=int(np.count_nonzero(~used)),
    )


def _tasks(
    job: Job, labels: LabelMap | None, metadata: MetadataFile | None, listing: Listing
) -> Iterator[ScanTask]:
    entries = job.reader.entries(job.root, listing)
    path = metadata.path if metadata else None
    while chunk := list(islice(entries, CHUNK)):
        yield ScanTask(chunk, job.options, labels, path)


def _admit(found: ScanResult, columns: Columns, on_invalid: str) -> ScanResult:
    """What remains of some records, one after the other, where their metadata disagree."""
    keep: list[int] = []
    labels: set[str] = set()
    rejects = []
    for place, image in enumerate(unpack_entries(found.batch)):
        kinds = index.schema_of(image)
        problems = columns.take(
            {name: [kind] for name, kind in kinds.items()},
            dict.fromkeys(kinds, f"the record {image.key!r}"),
        )
        for name, problem in problems.items():
            path = sidecars.origin(image.annotation_path, image.image_path, name)
            rejects.append(
                Reject(
                    file=path or image.annotation_path,
                    key=image.key,
                    split=image.split,
                    kind="metadata",
                    reason=f"its metadata column {problem}",
                    action="not packed" if on_invalid == "error" else "record left out",
                )
            )
        if not problems:
            keep.append(place)
            labels.update(item.label for item in image.objects)
    digests = [found.digest[8 * place : 8 * place + 8] for place in keep]
    return dataclasses.replace(
        found,
        batch=found.batch.take(keep),
        digest=b"".join(digests),
        labels=frozenset(labels),
        rejects=[*found.rejects, *rejects],
        left_out=found.left_out + len(found.batch.lengths) - len(keep),
    )

"""The scan of a whole tree: which records there can be, with which labels and metadata."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tfstream.annotations import Listing, sidecars
from tfstream.errors import AnnotationError
from tfstream.format import index
from tfstream.format.label_map import LabelMap
from tfstream.format.tensors import IMAGES, Contents
from tfstream.packing.base import Base
from tfstream.packing.box_kinds import BoxKinds
from tfstream.packing.columns import Columns
from tfstream.packing.contents import Kind
from tfstream.packing.job import Job
from tfstream.packing.metadata import MetadataFile
from tfstream.packing.rejects import Reject, RejectsFile
from tfstream.packing.scan import CHUNK, DIGEST_BYTES, ScanResult, ScanTask
from tfstream.packing.spool import unpack_entries

__all__ = ["Scanned", "Survey"]


@dataclass(frozen=True)
class Scanned:
    """What the scan found, in all.

    Attributes:
        records: How many there can be.
        labels: The label map.
        metadata: The metadata columns: name to type.
        contents: What all records hold.
        commit: Hash of what will be packed, how, and what it is added to.
        rejected: Entries of the tree that make no record, because something is wrong with them.
        left_out: Files that are no entry, by reason.
        unmatched: Rows of the file of metadata that belong to no entry.
    """

    records: int
    labels: LabelMap
    metadata: dict[str, str]
    contents: Contents
    commit: str
    rejected: int
    left_out: dict[str, int]
    unmatched: int


class Survey:
    """Hands out the tasks of a scan, and adds up what they find, in their order.

    Attributes:
        labels: The labels that there may be; None: any.
    """

    def __init__(
        self,
        job: Job,
        base: Base | None,
        *,
        columns: Columns,
        metadata: MetadataFile | None,
        scratch: Path,
        rejects: RejectsFile,
    ) -> None:
        """Begins one.

        Args:
            job: What to pack.
            base: The version that it is added to; None: there is none.
            columns: The metadata columns that are known; those that occur are added.
            metadata: The file of metadata; None: there is none.
            scratch: An empty directory for what the listing needs meanwhile.
            rejects: Takes what is wrong.

        Raises:
            InvalidArgumentError: The label map cannot follow the base's.
        """
        self._job = job
        self._base = base
        self._columns = columns
        self._metadata = metadata
        self.labels = job.labels
        if base is not None and job.labels is not None:
            self.labels = base.require_begins(job.labels)
        self._listing = Listing(scratch)
        self._rejects = rejects
        self._names: set[str] = set()
        self._state = hashlib.blake2b(digest_size=6)
        self._records = self._rejected = 0
        self._boxes = BoxKinds(job.reader.boxes)
        self._kind = Kind(None) if base is None else base.kind
        self._used = np.zeros(metadata.rows if metadata else 0, np.bool_)

    def tasks(self) -> Iterator[ScanTask]:
        """The tasks, of which only the last has fewer than `CHUNK` entries.

        Raises:
            StorageError: The tree cannot be listed.
        """
        job = self._job
        entries = job.reader.entries(job.root, self._listing)
        path = self._metadata.path if self._metadata else None
        while chunk := list(islice(entries, CHUNK)):
            yield ScanTask(chunk, job.options, self.labels, path)

    def fits(self, found: ScanResult) -> bool:
        """Takes in what a result's records hold, and their metadata columns, if all are alike."""
        first = {name: f"the record {key!r}" for name, key in found.first.items()}
        return self._kind.take(found.contents) and not self._columns.take(found.kinds, first)

    def admit(self, found: ScanResult) -> tuple[ScanResult, list[int]]:
        """What remains of a result that does not fit, its columns taken in; and which records."""
        return _admit(found, self._kind, self._columns, self._job.options.on_invalid)

    def add(self, found: ScanResult) -> None:
        """Adds the next task's result, which fits or was admitted."""
        self._records += len(found.digest) // DIGEST_BYTES
        self._state.update(found.digest)
        self._names |= found.labels
        self._used[found.rows] = True
        self._rejects.add(found.rejects)
        self._rejected += found.left_out
        self._boxes.add(found.boxes)

    def finish(self) -> Scanned:
        """The sum, once all has been added.

        Raises:
            AnnotationError: There is no annotation at all.
        """
        job, base, left_out = self._job, self._base, self._listing.left_out
        if warning := self._boxes.warning(job.reader.name):
            warnings.warn(warning, UserWarning, stacklevel=2)
        if self._records == 0 and self._rejected == 0:
            without = left_out["images without annotation"]
            besides = f" ({without:,} images without one)" if without else ""
            raise AnnotationError(
                f"{job.root} holds no annotation{besides}: there is none in its "
                f"{job.reader.layout}."
            )
        labels = self.labels if self.labels is not None else self._found_labels()
        columns = self._listing.columns
        contents = self._kind.finish(columns.get("tensor", ()), columns.get("target", ()))
        how: list[object] = [asdict(job.options), labels.content, self._columns.kinds]
        if contents != IMAGES:
            how.append(asdict(contents))
        if base is not None:
            how += [base.manifest.version, base.manifest.commit]
        self._state.update(json.dumps(how, sort_keys=True).encode())
        return Scanned(
            records=self._records,
            labels=labels,
            metadata=self._columns.kinds,
            contents=contents,
            commit=self._state.hexdigest(),
            rejected=self._rejected,
            left_out=dict(sorted(left_out.items())),
            unmatched=int(np.count_nonzero(~self._used)),
        )

    def _found_labels(self) -> LabelMap:
        """The base's labels, and behind them those that occur."""
        base, listed = self._base, self._listing.labels
        before = base.labels if base else LabelMap((), has_background=self._job.background)
        titles = {**listed, **dict.fromkeys(sorted(self._names - listed.keys()), "")}
        more = [name for name in titles if name not in before.id]
        return dataclasses.replace(
            before,
            names=(*before.names, *more),
            titles=(*before.titles, *(titles[name] for name in more)),
        )


def _admit(
    found: ScanResult, kind: Kind, columns: Columns, on_invalid: str
) -> tuple[ScanResult, list[int]]:
    """What remains of some records, and their places, where they disagree."""
    keep: list[int] = []
    labels: set[str] = set()
    rejects = []
    for place, image in enumerate(unpack_entries(found.batch)):
        reject = functools.partial(
            Reject,
            key=image.key,
            split=image.split,
            action="not packed" if on_invalid == "error" else "record left out",
        )
        if other := kind.problem(Contents.of(image), image.key):
            file = image.image_path or image.annotation_path
            rejects.append(reject(file=file, kind="contents", reason=other))
            continue
        kinds = index.schema_of(image)
        problems = columns.take(
            {name: [kind] for name, kind in kinds.items()},
            dict.fromkeys(kinds, f"the record {image.key!r}"),
        )
        for name, problem in problems.items():
            path = sidecars.origin(image.annotation_path, image.image_path, name)
            rejects.append(
                reject(
                    file=path or image.annotation_path,
                    kind="metadata",
                    reason=f"its metadata column {problem}",
                )
            )
        if not problems:
            keep.append(place)
            labels.update(item.label for item in image.objects)
    digests = [found.digest[DIGEST_BYTES * place : DIGEST_BYTES * (place + 1)] for place in keep]
    kept = dataclasses.replace(
        found,
        batch=found.batch.take(keep),
        digest=b"".join(digests),
        labels=frozenset(labels),
        rejects=[*found.rejects, *rejects],
        left_out=found.left_out + len(found.batch.lengths) - len(keep),
    )
    return kept, keep

"""What the workers of a pipeline do: the steps of the local packer, from scratch files to others.

Each may be done twice, at once or in part, and comes to the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import tfstream
from tfstream.annotations.reader import Entry
from tfstream.errors import PackError, StorageError, TfstreamError
from tfstream.format.label_map import LabelMap
from tfstream.packing import journal
from tfstream.packing.beam.rows import Rows, Run, by_bucket, sort
from tfstream.packing.beam.scratch import Scratch
from tfstream.packing.destination import Destination
from tfstream.packing.journal import ShardResult
from tfstream.packing.options import Options
from tfstream.packing.scan import CHUNK, ScanTask, scan
from tfstream.packing.spool import Batch, entry_offsets
from tfstream.packing.write import ShardTask, object_names, write_shard
from tfstream.storage.directory import ObjectInfo

__all__ = [
    "CHUNKS",
    "ERRORS",
    "NUMBERS",
    "WRITTEN",
    "ScanOrders",
    "ShardOrder",
    "WriteOrders",
    "entries_name",
    "listed_name",
    "order_name",
    "scan_part",
    "scanned_name",
    "sort_bucket",
    "write_one",
    "written_name",
]

CHUNKS = 16  # tasks of a scan in a part of the listing: 0.3 s of work
# How the names of files begin.
ERRORS = "error-"  # those of an error
WRITTEN = "written-"  # those of a shard's result
NUMBERS = "numbers-"  # those of the numbers of a bucket's records, sorted
_NOTHING = Batch(b"", [], [], [], [], [])


def listed_name(part: int) -> str:
    """The file of a part of the listing: a list of lists of entries."""
    return f"listed-{part:07d}"


def scanned_name(part: int) -> str:
    """The file of what the scan of that part found: a list of results, without the records."""
    return f"scanned-{part:07d}"


def entries_name(bucket: int) -> str:
    """The file of the sorted entries of a bucket."""
    return f"entries-{bucket:07d}"


def order_name(group: int) -> str:
    """The file of some shards' orders."""
    return f"orders-{group:07d}"


def written_name(stem: str) -> str:
    """The file of a shard's journal."""
    return f"{WRITTEN}{stem}"


@dataclasses.dataclass(frozen=True)
class ScanOrders:
    """What all workers of a scan are told.

    Attributes:
        scratch: The files in common.
        options: How to pack.
        labels: The labels that there may be; None: any.
        metadata: The scratch file of sorted metadata; None: there is none.
        buckets: How many there are.
        version: Of tfstream.
    """

    scratch: Scratch
    options: Options
    labels: LabelMap | None
    metadata: str | None
    buckets: int
    version: str = tfstream.__version__

    def task(self, entries: list[Entry]) -> ScanTask:
        """The task of some entries."""
        path = None if self.metadata is None else self.scratch.local(self.metadata)
        return ScanTask(entries, self.options, self.labels, path)


def scan_part(part: int, orders: ScanOrders) -> Iterator[tuple[int, Rows]]:
    """Scans a part of the listing; yields its records by bucket.

    Raises:
        StorageError: A file cannot be read; which is written down, too.
    """
    with _written_down(orders.scratch, f"{ERRORS}scan-{part}", orders.version):
        results, rows = [], []
        for place, entries in enumerate(orders.scratch.get_value(listed_name(part))):
            found = scan(orders.task(entries), _say_nothing)
            if found.batch.lengths:
                ordinal = (part * CHUNKS + place) * CHUNK
                rows.append(Rows.of(found.batch, found.digest, ordinal))
            results.append(dataclasses.replace(found, batch=_NOTHING))
        orders.scratch.put_value(scanned_name(part), results)
        if rows:
            yield from by_bucket(Rows.join(rows), orders.buckets)


def sort_bucket(bucket: int, rows: Iterable[Rows], orders: ScanOrders) -> None:
    """Puts the records of a bucket into their order.

    Raises:
        StorageError: A file cannot be written; which is written down, too.
    """
    with _written_down(orders.scratch, f"{ERRORS}sort-{bucket}", orders.version):
        whole = sort(Rows.join(rows))
        orders.scratch.put(entries_name(bucket), whole.entries)
        orders.scratch.put(f"{NUMBERS}{bucket:07d}", whole.numbers.to_bytes())


@dataclasses.dataclass(frozen=True)
class ShardOrder:
    """A shard to write.

    Attributes:
        stem: File name without extension.
        bytes: That the shard and its index will take, about.
        records: How many there are.
        runs: Where their entries are, in storage order.
        known: The shard that an earlier packer has delivered; None where there is none.
        ours: What is at the destination by the shard's names, and was delivered from here.
    """

    stem: str
    bytes: int
    records: int
    runs: tuple[Run, ...]
    known: ShardResult | None = None
    ours: tuple[ObjectInfo, ...] = ()


@dataclasses.dataclass(frozen=True)
class WriteOrders:
    """What all workers are told that write shards.

    Attributes:
        scratch: The files in common.
        destination: Where the shards go.
        options: How to pack.
        labels: The label map.
        metadata: The metadata columns: name to type.
        version: Of tfstream.
    """

    scratch: Scratch
    destination: Destination
    options: Options
    labels: LabelMap
    metadata: dict[str, str]
    version: str = tfstream.__version__


def write_one(order: ShardOrder, orders: WriteOrders) -> None:
    """Writes a shard and brings it to the destination, unless that was done already.

    Raises:
        StorageError: A file cannot be read or written; which is written down, too.
    """
    scratch = orders.scratch
    with _written_down(scratch, f"{ERRORS}write-{order.stem}", orders.version):
        if scratch.find(written_name(order.stem)) is not None:
            return
        with scratch.temporary() as drafts:
            spool = drafts / "spool"
            entries = b"".join(
                scratch.part(entries_name(run.bucket), run.begin, run.end) for run in order.runs
            )
            spool.write_bytes(entries)
            task = ShardTask(
                stem=order.stem,
                bytes=order.bytes,
                drafts=drafts,
                spool=spool,
                offsets=np.array(entry_offsets(entries), np.int64),
                options=orders.options,
                labels=orders.labels,
                metadata=orders.metadata,
                known=order.known,
            )
            result = write_shard(task, _say_nothing)
            if not result.resumed and result.bytes:
                result = _delivered(result, order, orders.destination, drafts)
        scratch.put(written_name(order.stem), journal.to_bytes(result))


def _delivered(
    result: ShardResult, order: ShardOrder, destination: Destination, drafts: Path
) -> ShardResult:
    ours = {info.name: info for info in order.ours}
    objects = tuple(
        destination.deliver(drafts / Path(name).name, name, ours.get(name), lambda count: None)
        for name in object_names(result.stem)
    )
    return dataclasses.replace(result, objects=objects)


@contextlib.contextmanager
def _written_down(scratch: Scratch, name: str, version: str) -> Iterator[None]:
    """Writes down an error for the launching process, which would get its text at best.

    What another try will not mend ends the task as if it had succeeded: whoever launched it looks
    for its results. The runner tries the others again.
    """
    try:
        if version != tfstream.__version__:
            raise PackError(
                f"The workers have tfstream {tfstream.__version__}, and what launched the pipeline "
                f"is {version}: they would make other bytes. Install the same one on both."
            )
        yield
    except StorageError as error:
        scratch.put_value(name, error)
        raise
    except TfstreamError as error:
        scratch.put_value(name, error)


def _say_nothing(images: int, count: int) -> None:
    """Workers tell of no progress: the runner does."""

"""The scan of one shard: every record checked, parsed and confirmed; a worker's task."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from tfstream import errors
from tfstream.format import index, statistics
from tfstream.format.features import Features
from tfstream.format.foreign import Translator, UnlistedLabelError
from tfstream.format.label_map import LabelMap
from tfstream.format.names import nearest
from tfstream.format.numbered import numbered_key
from tfstream.format.shard_check import key_hash
from tfstream.format.walk import Frame, walk
from tfstream.indexing.files import is_shard
from tfstream.indexing.infer import Expected
from tfstream.storage.directory import Directory, ObjectInfo
from tfstream.storage.reader import open_object

__all__ = ["ScanTask", "Scanned", "place_of", "records_of", "scan"]

Report = Callable[[int, int], None]

_NOTES = b"tfstream"
_SUM_ROWS = 4096
_KINDS_KEPT = 8
_COMPRESSED = re.compile(r"\.(?:gz|gzip|zlib)$", re.IGNORECASE)
_GZIP, _ZLIB = b"\x1f\x8b", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


@dataclasses.dataclass(frozen=True)
class ScanTask:
    """A shard to scan.

    Attributes:
        directory: The dataset's.
        info: The shard.
        index_path: Where its index shall be, relative to the dataset.
        key: What keys of its records begin with, where they hold none.
        expected: What records should be like.
        labels: The labels that there may be, with `numbers`; None: any.
        numbers: The number of each label; empty: records hold names.
    """

    directory: Directory
    info: ObjectInfo
    index_path: str
    key: str
    expected: Expected
    labels: LabelMap | None
    numbers: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Scanned:
    """What was found in a shard.

    Attributes:
        sums: Over its records.
        labels: That occur: names, or numbers where records hold no names.
        pairs: By name, the numbers that stood beside it.
        key_hashes: Of the keys, 8 bytes each, in the order of the records.
        resumed: Whether its index was there already.
    """

    sums: statistics.Partial
    labels: frozenset[str | int]
    pairs: dict[str, set[int]]
    key_hashes: bytes
    resumed: bool


def place_of(task: ScanTask | str, number: int, offset: int) -> str:
    """How messages name a record."""
    path = task if isinstance(task, str) else task.directory.locate(task.info.name)
    return f"record {number} of {path} (at byte {offset})"


def records_of(directory: Directory, info: ObjectInfo) -> Iterator[Frame]:
    """The records of a shard, each sound.

    Raises:
        CorruptRecordError: The file is compressed, or no TFRecord file, or damaged; says where,
            and what can be done.
    """
    path = directory.locate(info.name)
    file = open_object(directory, info)
    start = file.read(12)
    file.seek(0)
    for number, frame in enumerate(walk(file)):
        if frame.damage is not None:
            if number == 0:
                raise errors.CorruptRecordError(_not_a_shard(path, start, frame.damage))
            raise errors.CorruptRecordError(
                f"{place_of(path, number, frame.offset)} is corrupt: {frame.damage}. If the file "
                "was not copied whole, copy it again; tfstream changes nothing of it."
            )
        yield frame


def _not_a_shard(path: str, start: bytes, damage: str) -> str:
    if start.startswith(_GZIP):
        return f"{path} is compressed by GZIP. {_way_out(path, 'gzip -dc')}"
    if start[:2] in _ZLIB:
        command = (
            "python3 -c 'import sys, zlib; i, o = sys.stdin.buffer, sys.stdout.buffer; "
            "o.write(zlib.decompress(i.read()))'"
        )
        return f"{path} is compressed by ZLIB. {_way_out(path, command)}"
    return (
        f"{path} is not a TFRecord file, or damaged from its beginning: {damage}. Name the shards "
        "by a glob that leaves it out, or copy it again."
    )


def _way_out(path: str, command: str) -> str:
    """How to write a compressed shard, and others beside it, where they can be indexed."""
    remote = "://" in path
    above, _, name = (path if remote else os.path.abspath(path)).rpartition("/")
    # Elsewhere: beside it, the same command would find the compressed one again.
    room = f"{above.rpartition('/')[2]}-plain" if remote else f"{above}-plain"
    plain = _COMPRESSED.sub("", name)
    target = f"{room}/{plain if is_shard(plain) else f'{plain}.tfrecord'}"
    made, source, target = map(shlex.quote, (room, path, target))
    read, copy = f"{command} < {source}", ""
    if path.startswith("gs://"):
        read = f"gsutil cat {source} | {command}"
    elif remote:
        read = f"{command} < {shlex.quote(name)}"
        copy = f"copy it to local disk, as {name}, and "
    return (
        "Records in a compressed file cannot be read one by one: "
        f"{copy}write it, and all that are like it, uncompressed into another directory, by "
        f"`mkdir -p {made} && {read} > {target}`; then index {made}."
    )


def scan(task: ScanTask, report: Report) -> Scanned:
    """Scans a shard and writes its index, unless there is one already.

    Args:
        task: What to scan.
        report: Is told of (images, bytes) done.

    Raises:
        CorruptRecordError: A record is damaged, or not as expected: named by file, number, offset.
        UnknownLabelError: It has a label that the label file does not list.
        StorageError: The shard cannot be read, or the index not be written.
    """
    done = _resume(task)
    if done is not None:
        report(done.sums.records, task.info.size)
        return done
    scanner = _Scanner(task)
    rows: list[index.Row] = []
    for number, frame in enumerate(records_of(task.directory, task.info)):
        rows.append(scanner.row(number, frame))
        report(1, frame.length)
    notes = {
        "labels": sorted(scanner.used, key=str),
        "pairs": {name: sorted(numbers) for name, numbers in scanner.pairs.items()},
    }
    _write(task, scanner.cells, notes)
    return Scanned(
        sums=statistics.merge(
            statistics.summarize(rows[begin : begin + _SUM_ROWS])
            for begin in range(0, len(rows), _SUM_ROWS)
        ),
        labels=frozenset(scanner.used),
        pairs=dict(scanner.pairs),
        key_hashes=b"".join(key_hash(row.key) for row in rows),
        resumed=False,
    )


class _Scanner:
    """Makes rows of the records of a shard, and gathers the labels."""

    def __init__(self, task: ScanTask) -> None:
        self.task = task
        self.used: set[str | int] = set()
        self.pairs: dict[str, set[int]] = defaultdict(set)
        self.cells: list[dict[str, Any]] = []
        self._agreed: list[dict[str, str | None]] = []  # types of features that are as expected
        features = dataclasses.replace(task.expected.features, numbers=task.numbers)
        labels = task.labels or LabelMap(names=(), has_background=False)
        self._translator = Translator(features, labels)
        self._closed = task.labels is not None
        self._paired = None not in self._translator.label_roles

    def row(self, number: int, frame: Frame) -> index.Row:
        task = self.task
        try:
            found = Features(frame.payload or b"")
            kinds = found.kinds
            if kinds not in self._agreed:
                fault = task.expected.disagreement(kinds)
                if fault is not None:
                    raise errors.CorruptRecordError(f"{fault}.")
                self._agreed = [*self._agreed, kinds][-_KINDS_KEPT:]
            row = self._row(found, number, frame)
            if not row.key:
                raise errors.CorruptRecordError("its key is empty.")
            cells = index.cells(row, task.expected.metadata)
        except UnlistedLabelError as error:
            place = place_of(task, number, frame.offset)
            raise errors.UnknownLabelError(self._unlisted(place, error.label)) from error
        except errors.TfstreamError as error:
            raise errors.CorruptRecordError(
                f"{place_of(task, number, frame.offset)} is not like the others: {error}"
            ) from error
        self.cells.append(cells)
        if self._paired:
            self._pair(found)
        return row

    def _row(self, found: Features, number: int, frame: Frame) -> index.Row:
        key = numbered_key(self.task.key, number)
        while True:
            try:
                return self._translator.row(found, key, offset=frame.offset, length=frame.length)
            except UnlistedLabelError as error:
                if self._closed:
                    raise
                self._add(error.label)

    def _unlisted(self, place: str, label: str | int) -> str:
        names, numbers = self._translator.labels.names, self._translator.features.numbers
        file = self._translator.labels.file
        if isinstance(label, int):
            hint = f"Its numbers are {numbers[0]} to {numbers[-1]}." if numbers else ""
        else:
            hint = nearest(label, names, "labels")
        return (
            f"{place} has the label {label!r}, which is not among the {len(names)} labels of "
            f"{file}. {hint} Add it to {file}, or give another file by --labels (labels=)."
        )

    def _add(self, label: str | int) -> None:
        self.used.add(label)
        features, labels = self._translator.features, self._translator.labels
        if isinstance(label, int):
            features = dataclasses.replace(features, numbers=(*features.numbers, label))
        labels = LabelMap.from_names((*labels.names, str(label)), background=False)
        self._translator = Translator(features, labels)

    def _pair(self, found: Features) -> None:
        """Notes which numbers stand beside which names."""
        text, number = self._translator.label_roles
        names, numbers = found.values(text or ""), found.values(number or "")
        if len(names) == len(numbers):
            for name, value in zip(names, numbers, strict=True):
                if value not in self.pairs[name.decode()]:
                    self.pairs[name.decode()].add(value)


def _write(task: ScanTask, cells: list[dict[str, Any]], notes: dict[str, Any]) -> None:
    import pyarrow as pa

    schema = index.schema(task.expected.metadata)
    table = pa.Table.from_pylist(cells, schema=schema)
    table = table.replace_schema_metadata({_NOTES: json.dumps(notes).encode()})
    put(task.directory, task.index_path, table)


def put(directory: Directory, name: str, table: Any) -> None:
    """Writes an index into a dataset, wherever that is.

    Raises:
        StorageError: It cannot be written.
    """
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="tfstream-index-") as room:
        path = Path(room, "index.parquet")
        index.write_table(os.fspath(path), table)
        directory.upload(name, path)


def _resume(task: ScanTask) -> Scanned | None:
    """What an earlier scan of the same shard found; None where there was none."""
    try:
        source = index.source(task.directory, task.index_path)
        table = index.read(source, name=task.index_path)
        notes = json.loads(table.schema.metadata[_NOTES])
    except (errors.StorageError, errors.CorruptRecordError):
        return None
    except (TypeError, KeyError, ValueError):
        return None
    return Scanned(
        sums=statistics.merge(
            statistics.summarize_batch(batch)
            for batch in table.select(list(statistics.COLUMNS)).to_batches()
        ),
        labels=frozenset(notes["labels"]),
        pairs={name: set(numbers) for name, numbers in notes["pairs"].items()},
        key_hashes=b"".join(key_hash(key) for key in table["key"].to_pylist()),
        resumed=True,
    )

"""Checking one shard against its index and what the manifest says of it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tfstream import errors
from tfstream.format import example, index, statistics
from tfstream.format.foreign import Translator
from tfstream.format.numbered import numbered_key
from tfstream.format.walk import Frame, walk
from tfstream.storage.directory import Directory, ObjectInfo
from tfstream.storage.reader import open_object

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Problem", "ShardReport", "ShardTask", "check_shard", "key_hash"]

_ROWS_A_SUM = 4096


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        path: The file.
        offset: Byte of the shard where the record begins; None: the file as a whole.
        key: Of the record; "" where it is not known, or none is meant.
        reason: What is wrong.
    """

    path: str
    offset: int | None
    key: str
    reason: str

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        key = f" (key {self.key!r})" if self.key else ""
        return f"{self.path}{place}{key}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """What the manifest says of a shard.

    Attributes:
        directory: The dataset's.
        path: The shard, relative to it.
        index_path: Its index, likewise.
        records: How many rows the index has.
        bytes: Its size.
        metadata: The dataset's metadata columns, with their types.
        relabelled: Whether the index, not the records, says what their metadata are.
        whole: Whether the index lists all records of the shard.
        key: What keys of its records begin with, where they hold none.
        translator: Makes its records ours; None: they are.
    """

    directory: Directory
    path: str
    index_path: str
    records: int
    bytes: int
    metadata: Mapping[str, str]
    relabelled: bool = False
    whole: bool = True
    key: str = ""
    translator: Translator | None = None

    @property
    def compared(self) -> Mapping[str, str]:
        """The metadata columns that must be those of the records."""
        return {} if self.relabelled else self.metadata

    @property
    def place(self) -> str:
        """The shard's path or URI."""
        return self.directory.locate(self.path)

    @property
    def index_place(self) -> str:
        """The index's."""
        return self.directory.locate(self.index_path)

    def read_index(self, columns: Iterable[str] | None = None) -> pa.Table:
        """See `index.read`."""
        source = index.source(self.directory, self.index_path)
        return index.read(source, columns, name=self.index_place, metadata=self.metadata)


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What was found.

    Attributes:
        problems: In the order of the file; empty when all is well.
        key_hashes: Of the index's keys, 8 bytes each, in its order; empty where
            there is no index to read.
        sums: Over the sound records.
    """

    problems: tuple[Problem, ...]
    key_hashes: bytes
    sums: statistics.Partial


def key_hash(key: str) -> bytes:
    """Eight bytes that tell keys apart, but for chance."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def check_shard(task: ShardTask) -> ShardReport:
    """Reads a whole shard and its index, and lists all in which they are not as they should be."""
    check = _Check(task)
    check.run()
    hashes = b"".join(key_hash(row["key"]) for row in check.rows or ())
    return ShardReport(tuple(check.problems), hashes, statistics.merge(check.sums))


class _Check:
    """One shard's check, problems gathered on the way."""

    def __init__(self, task: ShardTask) -> None:
        self.task = task
        self.problems: list[Problem] = []
        self.sums: list[statistics.Partial] = []
        self.rows: list[dict[str, Any]] | None = None  # None: there is no index to rely on
        self._pending: list[index.Row] = []

    def run(self) -> None:
        self.rows = self._read_index()
        try:
            info = self.task.directory.stat(self.task.path)
            if info.size != self.task.bytes:
                self._say(
                    f"the shard has {info.size} bytes, where the manifest says {self.task.bytes}"
                )
            self._check_records(info)
        except errors.ObjectNotFoundError:
            self._say("the shard is missing")
        except errors.StorageError as error:
            self._raise_if_remote(error)
            self._say(f"the shard cannot be read: {error}")

    def _raise_if_remote(self, error: errors.StorageError) -> None:
        """No network, or no right to read: nothing that is wrong with this one file."""
        if self.task.directory.path is None and not isinstance(error, errors.ObjectChangedError):
            raise error

    def _say(self, reason: str, *, offset: int | None = None, key: str = "") -> None:
        self.problems.append(Problem(self.task.place, offset, key, reason))

    def _say_of_index(self, reason: str, *, offset: int | None = None, key: str = "") -> None:
        self.problems.append(Problem(self.task.index_place, offset, key, reason))

    def _read_index(self) -> list[dict[str, Any]] | None:
        try:
            table = self.task.read_index()
            wanted = index.schema(self.task.metadata)
        except errors.StorageError as error:
            if error.errno == errno.ENOENT:
                self._say_of_index("the index is missing")
            else:
                self._raise_if_remote(error)
                self._say_of_index(str(error))
            return None
        except errors.TfstreamError as error:
            self._say_of_index(str(error))
            return None
        if table.num_rows != self.task.records:
            self._say_of_index(
                f"the index has {table.num_rows} rows, where the manifest says "
                f"{self.task.records} records"
            )
        faults = list(_column_faults(table, wanted))
        for fault in faults:
            self._say_of_index(fault)
        if faults:
            return None
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def _check_records(self, info: ObjectInfo) -> None:
        by_offset = self._rows_by_offset()
        count, size = 0, info.size
        frames = walk(open_object(self.task.directory, info), starts=sorted(by_offset))
        for number, frame in enumerate(frames):
            row = by_offset.pop(frame.offset, None)
            if frame.damage is not None:
                self._say_damage(frame, row, size)
            elif frame.payload is not None:
                self._check_record(number, frame, frame.payload, row)
            # Bytes at the end that are no record are not one too many.
            count += frame.damage is None or row is not None or self.rows is None
        self._flush()
        self._say_leftover(list(by_offset.values()), size)
        if self.task.whole and count != self.task.records:
            self._say(
                f"the shard holds {count} records, where the manifest says {self.task.records}"
            )

    def _rows_by_offset(self) -> dict[int, dict[str, Any]]:
        by_offset: dict[int, dict[str, Any]] = {}
        for row in self.rows or ():
            other = by_offset.setdefault(row["offset"], row)
            if other is not row:
                self._say_of_index(
                    f"the index has two rows for one place, the other with key {other['key']!r}",
                    offset=row["offset"],
                    key=row["key"],
                )
        return by_offset

    def _say_damage(self, frame: Frame, row: dict[str, Any] | None, size: int) -> None:
        if self._passes_over(row):
            return
        if self.rows is not None and row is None:
            reason = f"the index knows nothing of the {frame.length} bytes there, and they are no "
            self._say(f"{reason}record: {frame.damage}", offset=frame.offset)
            return
        reason = f"the record is corrupt: {frame.damage}"
        is_last = row is not None and row["offset"] + row["length"] >= size
        if frame.offset + frame.length == size and not is_last:
            reason += (
                f"; nothing tells where the next one begins: the last {frame.length} bytes of the "
                "shard were not checked"
            )
        self._say(reason, offset=frame.offset, key=row["key"] if row else "")

    def _check_record(
        self, number: int, frame: Frame, payload: bytes, row: dict[str, Any] | None
    ) -> None:
        if self._passes_over(row):
            return
        key = row["key"] if row else ""
        try:
            if self.task.translator is not None:
                made = numbered_key(self.task.key, number)
                payload = self.task.translator.translate(payload, made)
            image = example.decode(payload)
            found = index.Row.of(image, offset=frame.offset, length=frame.length)
            cells = index.cells(found, self.task.compared)
        except errors.TfstreamError as error:
            self._say(str(error), offset=frame.offset, key=key)
            return
        self._pending.append(found)
        if len(self._pending) >= _ROWS_A_SUM:
            self._flush()
        if self.rows is None:
            return
        if row is None:
            self._say("the index has no row for this record", offset=frame.offset, key=found.key)
            return
        differing = [name for name in cells if not _same(cells[name], row[name])]
        if differing:
            told = ", ".join(f"{n} {row[n]!r} (the record: {cells[n]!r})" for n in differing)
            self._say_of_index(
                f"the index disagrees with its shard: it says {told}", offset=frame.offset, key=key
            )

    def _passes_over(self, row: dict[str, Any] | None) -> bool:
        """Whether a record is one that the version does without."""
        return row is None and self.rows is not None and not self.task.whole

    def _flush(self) -> None:
        self.sums.append(statistics.summarize(self._pending))
        self._pending = []

    def _say_leftover(self, rows: list[dict[str, Any]], size: int) -> None:
        """Rows at whose places no record begins, together: there may be thousands."""
        past = [row for row in rows if row["offset"] >= size]
        within = [row for row in rows if row["offset"] < size]
        for group, where in (
            (past, "past the end of the shard"),
            (within, "where no record of the shard begins"),
        ):
            if not group:
                continue
            more = f" and {len(group) - 1} more, to {group[-1]['key']!r}," if group[1:] else ""
            verb = "lie" if group[1:] else "lies"
            self._say_of_index(
                f"the index has a record{more} that {verb} {where}",
                offset=group[0]["offset"],
                key=group[0]["key"],
            )


def _column_faults(table: pa.Table, wanted: pa.Schema) -> Iterator[str]:
    for field in wanted:
        if table.schema.field(field.name).type != field.type:
            found = table.schema.field(field.name).type
            yield f"column {field.name!r} of the index is {found}, where {field.type} is expected"
        elif not field.nullable and table[field.name].null_count:
            yield f"column {field.name!r} of the index has rows without a value"


def _same(one: Any, other: Any) -> bool:
    # NaN is not equal to itself, and may well be metadata.
    return bool(one == other or (one != one and other != other))

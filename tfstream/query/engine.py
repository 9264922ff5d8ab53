"""Answers from the indexes of a dataset: which records, in which order, what is said of them."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream import errors
from tfstream.format import index
from tfstream.query import footers
from tfstream.query.columns import RECORD, identifiers
from tfstream.query.database import Database

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.query.condition import Condition

__all__ = ["Engine"]

# Columns of an index that say where a record lies, not what it is.
_PLACE = ("offset", "length", "orientation")
_SQL_TYPES = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
_CHUNK = 1 << 20  # rows


class Engine:
    """Answers from the indexes of some shards.

    Records are numbered over all shards, in storage order. May be used by several
    threads at once. Memory grows with the answer, and by a few bits a record.
    """

    def __init__(
        self,
        indexes: Sequence[str | os.PathLike[str]],
        records: Sequence[int],
        splits: Sequence[str],
        metadata: Mapping[str, str],
    ) -> None:
        """Takes note of the indexes; they are opened when something is asked.

        Args:
            indexes: The index of each shard, a file on local disk.
            records: Rows of each.
            splits: The split that each belongs to.
            metadata: The manifest's schema: name to "string", "int", "float" or "bool". An
                index may lack such a column: its values are null then.
        """
        self._paths = [os.path.abspath(path) for path in indexes]
        self._starts = np.zeros(len(self._paths) + 1, np.int64)
        np.cumsum(records, out=self._starts[1:])
        self._splits = list(splits)
        self._metadata = dict(sorted(metadata.items()))
        self._names = identifiers(metadata)
        self._database = Database(self._paths)
        self._lock = threading.Lock()
        self._columns: dict[str, tuple[str, ...]] = {}  # of each file that was checked

    def __len__(self) -> int:
        """How many records there are."""
        return int(self._starts[-1])

    def rows(self, condition: Condition | None) -> npt.NDArray[np.int64]:
        """The records that fulfil a condition.

        Args:
            condition: None: all.

        Returns:
            int64 [n], ascending.

        Raises:
            CorruptRecordError: An index is damaged, does not hold as many rows as told, or
                a column of it is not of the schema's type.
            StorageError: An index cannot be read.
        """
        relation = self._relation(_Chosen.of(self._starts, None), condition)
        if condition is None:
            return np.arange(len(self), dtype=np.int64)
        found = np.zeros(len(self), np.bool_)
        for batch in self._batches(relation.select(RECORD)):
            found[batch.column(0).to_numpy()] = True
        return np.flatnonzero(found).astype(np.int64, copy=False)

    def count(self, condition: Condition | None) -> int:
        """How many records fulfil a condition; see `rows`."""
        relation = self._relation(_Chosen.of(self._starts, None), condition)
        if condition is None:
            return len(self)
        ((count,),) = self._fetch(relation.select("count(*)"))
        return int(count)

    def table(
        self, rows: npt.NDArray[np.int64] | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """What the indexes say of some records.

        Args:
            rows: Their numbers, in any order, also more than once; None: all.
            columns: Those wanted; None: `key`, `split`, `width`, `height`, `format`,
                `bytes`, `label`, `objects`, `labels` and the metadata.

        Returns:
            An Arrow table, a row a record in the order of `rows`.

        Raises:
            InvalidArgumentError: There is no such column.
            CorruptRecordError: See `rows`.
        """
        import pyarrow as pa

        fields = {field.name: field for field in index.schema(self._metadata)}
        fields["split"] = pa.field("split", pa.string())
        if columns is None:
            others = [name for name in fields if name not in (*_PLACE, "key", "split")]
            columns = ["key", "split", *others]
        picked = [self.identifier(name) for name in columns]
        chosen = _Chosen.of(self._starts, rows)
        schema = pa.schema([fields[name] for name in columns])
        parts, numbers = [schema.empty_table()], [np.empty(0, np.int64)]
        for batch in self._batches(self._relation(chosen).select(RECORD, *picked)):
            numbers.append(batch.column(0).to_numpy())
            values = pa.Table.from_batches([batch]).remove_column(0)
            parts.append(values.rename_columns(list(columns)).cast(schema))
        table, found = pa.concat_tables(parts).unify_dictionaries(), np.concatenate(numbers)
        wanted = found if chosen.local is None else chosen.local
        if (found[1:] > found[:-1]).all() and np.array_equal(found, wanted):
            return table
        order = np.argsort(found, kind="stable")
        if chosen.local is not None:
            order = order[np.searchsorted(found, chosen.local, sorter=order)]
        return table.take(pa.array(order))

    def sorted(
        self, rows: npt.NDArray[np.int64] | None, by: Sequence[tuple[str, bool]]
    ) -> npt.NDArray[np.int64]:
        """Records in the order of some columns' values.

        Args:
            rows: Numbers of different records; None: all.
            by: Columns and whether the largest come first, the most important one first. Equal
                ones stay in storage order; records without a value come last.

        Returns:
            int64 [n].

        Raises:
            InvalidArgumentError: There is no such column.
            CorruptRecordError: See `rows`.
        """
        keys = [
            f"{self.identifier(name)} {'DESC' if descending else 'ASC'} NULLS LAST"
            for name, descending in by
        ]
        chosen = _Chosen.of(self._starts, rows)
        query = self._relation(chosen).select(RECORD).then(f"ORDER BY {', '.join([*keys, RECORD])}")
        out = np.empty(len(self) if rows is None else len(rows), np.int64)
        begin = 0
        for batch in self._batches(query):
            out[begin : begin + batch.num_rows] = chosen.numbers(batch.column(0).to_numpy())
            begin += batch.num_rows
        return out

    def groups(
        self, rows: npt.NDArray[np.int64] | None, by: str
    ) -> list[tuple[Any, npt.NDArray[np.int64]]]:
        """Records by a column's value.

        Args:
            rows: Numbers of different records; None: all.
            by: The column.

        Returns:
            Values in ascending order, None last, and the records with each, in storage order.

        Raises:
            InvalidArgumentError: There is no such column.
            CorruptRecordError: See `rows`.
        """
        name = self.identifier(by)
        relation = self._relation(_Chosen.of(self._starts, rows))
        counts = self._fetch(
            relation.select(name, "count(*)").then(
                f"GROUP BY {name} ORDER BY {name} ASC NULLS LAST"
            )
        )
        ends = np.cumsum([count for _, count in counts], dtype=np.int64)
        members = np.split(self.sorted(rows, [(by, False)]), ends[:-1])
        return [(value, numbers) for (value, _), numbers in zip(counts, members, strict=False)]

    def evaluate(
        self,
        rows: npt.NDArray[np.int64] | None,
        expression: str,
        parameters: Sequence[Any] = (),
        *,
        dtype: npt.DTypeLike = np.float64,
    ) -> npt.NDArray[Any]:
        """A number for each record.

        Args:
            rows: Numbers of records; None: all.
            expression: Of SQL, never NULL, over the columns as `identifier` calls them.
            parameters: The values of its `?`.
            dtype: Of the numbers.

        Returns:
            [n], in the order of `rows`.

        Raises:
            CorruptRecordError: See `rows`.
        """
        chosen = _Chosen.of(self._starts, rows)
        query = self._relation(chosen).select(RECORD, expression, parameters=parameters)
        values = np.empty(chosen.size, dtype)
        for batch in self._batches(query):
            values[batch.column(0).to_numpy()] = batch.column(1).to_numpy(zero_copy_only=False)
        return values if chosen.local is None else values[chosen.local]

    def similar_keys(self, key: str) -> list[str]:
        """The three keys that look most like one that may not be there, the nearest first."""
        query = self._relation(_Chosen.of(self._starts, None)).select(
            "key", "jaro_winkler_similarity(key, ?) AS similarity", parameters=[key]
        )
        return [
            str(similar)
            for similar, _ in self._fetch(
                query.then("WHERE similarity > 0.8 ORDER BY similarity DESC, key LIMIT 3")
            )
        ]

    def identifier(self, name: str) -> str:
        """What SQL calls a column.

        Raises:
            InvalidArgumentError: There is no such column.
        """
        if name not in self._names:
            near = difflib.get_close_matches(name, self._names, n=1)
            hint = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(self._names)}"
            raise errors.InvalidArgumentError(f"there is no column {name!r}: {hint}")
        return self._names[name]

    def _relation(self, chosen: _Chosen, condition: Condition | None = None) -> _Query:
        """The chosen records, numbered as `chosen` does, those that fulfil a condition."""
        self._check(chosen.shards)
        like: dict[tuple[str, ...], list[int]] = {}  # shards, by the columns that they have
        for place, shard in enumerate(chosen.shards):
            like.setdefault(self._columns[self._paths[shard]], []).append(place)
        parts = [self._part(chosen, columns, places) for columns, places in like.items()]
        if not parts:
            parts = [self._none()]
        sql = " UNION ALL ".join(part.sql for part in parts)
        parameters = tuple(value for part in parts for value in part.parameters)
        tests = []
        if chosen.local is not None:
            bits = np.zeros(chosen.size, np.bool_)
            bits[chosen.local] = True
            tests.append(f"get_bit(?::BLOB::BIT, {RECORD}::INTEGER) = 1")
            parameters += (np.packbits(bits).tobytes(),)
        if condition is not None:
            tests.append(f"({condition.sql})")
            parameters += condition.parameters
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        return _Query(f"(SELECT * FROM ({sql}){where})", parameters)

    def _part(self, chosen: _Chosen, columns: tuple[str, ...], places: list[int]) -> _Query:
        """Those of some shards, whose indexes have these columns, in this order."""
        # Columns go by their place, so that no name in a file can stand for another.
        aliases = {name: f"c{number}" for number, name in enumerate(columns)}
        values = {name: aliases.get(name, "NULL") for name in self._names}
        for name, kind in self._metadata.items():
            values[name] = f"{values[name]}::{_SQL_TYPES[kind]}"
        # By runs of shards: there are few splits.
        names = [self._splits[chosen.shards[place]] for place in places]
        runs = [end for end in range(1, len(names)) if names[end] != names[end - 1]]
        cases = "".join(f"WHEN file_index < {end} THEN ?::VARCHAR " for end in runs)
        values["split"] = f"CASE {cases}ELSE ?::VARCHAR END" if runs else "?::VARCHAR"
        splits = [names[end - 1] for end in runs] + names[-1:]
        listed = [f"{values[name]} AS {self._names[name]}" for name in values if name != "split"]
        return _Query(
            f"SELECT {values['split']} AS {self._names['split']}, "
            f"(?::BIGINT[])[file_index::INTEGER + 1] + file_row_number AS {RECORD}, "
            f"{', '.join(listed)} "
            f"FROM read_parquet(?, hive_partitioning = false) AS t({', '.join(aliases.values())})",
            (
                *splits,
                chosen.starts[places].tolist(),
                [self._database.names[self._paths[chosen.shards[place]]] for place in places],
            ),
        )

    def _none(self) -> _Query:
        """A table of no records, for a dataset without shards."""
        types = dict.fromkeys(self._names, "VARCHAR")
        types |= dict.fromkeys(("width", "height", "objects", "orientation"), "INTEGER")
        types |= dict.fromkeys(("offset", "length", "bytes"), "BIGINT")
        types |= {name: _SQL_TYPES[kind] for name, kind in self._metadata.items()}
        types["labels"] = "MAP(VARCHAR, INTEGER)"
        listed = [f"NULL::{types[name]} AS {quoted}" for name, quoted in self._names.items()]
        return _Query(f"SELECT {', '.join(listed)}, 0::BIGINT AS {RECORD} WHERE false", ())

    def _check(self, shards: Sequence[int]) -> None:
        """Reads the footers of indexes that were not read before."""
        with self._lock:
            new = {self._paths[shard]: shard for shard in shards}
            new = {path: shard for path, shard in new.items() if path not in self._columns}
            if new:
                rows = {
                    path: int(self._starts[shard + 1] - self._starts[shard])
                    for path, shard in new.items()
                }
                with self._reading(new):
                    columns = footers.check(self._database, rows, self._metadata)
                self._columns.update(columns)

    def _fetch(self, query: _Query) -> list[tuple[Any, ...]]:
        with self._reading(list(self._columns)):
            return self._database.fetch(query.sql, query.parameters)

    def _batches(self, query: _Query) -> Iterator[pa.RecordBatch]:
        with self._reading(list(self._columns)):
            yield from self._database.batches(query.sql, query.parameters)

    @contextlib.contextmanager
    def _reading(self, paths: Iterable[str]) -> Iterator[None]:
        """What goes wrong in the body because of an index is told as what is wrong with that."""
        import duckdb
        import pyarrow as pa

        try:
            yield
        except (errors.TfstreamError, duckdb.DataError, duckdb.OutOfMemoryException):
            raise
        except (duckdb.Error, pa.ArrowException, OSError):
            footers.blame(self._database, paths)
            raise


@dataclasses.dataclass(frozen=True)
class _Query:
    """SQL and the values of its `?`."""

    sql: str
    parameters: tuple[Any, ...]

    def select(self, *expressions: str, parameters: Sequence[Any] = ()) -> _Query:
        """From this as a table."""
        listed = ", ".join(expressions)
        return _Query(f"SELECT {listed} FROM {self.sql}", (*parameters, *self.parameters))

    def then(self, clause: str) -> _Query:
        """With something at its end."""
        return _Query(f"{self.sql} {clause}", self.parameters)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """Records, numbered within the shards that they are in: others need not be read.

    Attributes:
        shards: Those.
        starts: int64 [shards], the number of the first record of each, within these shards.
        size: How many records the shards hold.
        local: int64 [n], the records' numbers within these shards; None: all of them.
        shifts: int64 [shards], what is between these numbers and those of the dataset.
    """

    shards: Sequence[int]
    starts: npt.NDArray[np.int64]
    size: int
    local: npt.NDArray[np.int64] | None
    shifts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, starts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64] | None) -> _Chosen:
        """Finds the shards.

        Args:
            starts: int64 [shards + 1], the first record of each shard of the dataset, and the end.
            rows: Numbers within the dataset; None: all.
        """
        count = len(starts) - 1
        if rows is None:
            shifts = np.zeros(count, np.int64)
            return cls(range(count), starts[:-1], int(starts[-1]), None, shifts)
        if len(rows) and not 0 <= rows.min() <= rows.max() < starts[-1]:
            raise IndexError(f"a record of {rows.min()} to {rows.max()} is not below {starts[-1]}")
        touched = np.zeros(count, np.bool_)
        for begin in range(0, len(rows), _CHUNK):
            part = rows[begin : begin + _CHUNK]
            touched[np.searchsorted(starts, part, side="right") - 1] = True
        shards = np.flatnonzero(touched)
        sizes = starts[shards + 1] - starts[shards]
        ends = np.cumsum(sizes)
        shifts = starts[shards] - (ends - sizes)
        local = rows
        if shifts.any():
            local = rows - shifts[np.searchsorted(starts[shards], rows, side="right") - 1]
        size = int(ends[-1]) if len(ends) else 0
        return cls(shards.tolist(), ends - sizes, size, local, shifts)

    def numbers(self, local: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers within the dataset."""
        if not self.shifts.any():
            return local
        return local + self.shifts[np.searchsorted(self.starts, local, side="right") - 1]

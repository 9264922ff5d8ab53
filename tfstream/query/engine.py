"""Answers from the indexes of a dataset: which records, in which order, what is said of them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream import errors
from tfstream.format import index
from tfstream.format.table import Located
from tfstream.query import batches, footers
from tfstream.query.chosen import Chosen, Merged
from tfstream.query.columns import RECORD, identifiers
from tfstream.query.database import Database
from tfstream.query.fields import Column, Fields
from tfstream.query.relation import File, Query, records

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.query.condition import Condition
    from tfstream.query.fields import Kind

__all__ = ["Engine"]

# Columns of an index that say where a record lies, not what it is.
_PLACE = ("offset", "length", "orientation")
_WHERE = _PLACE[:2]
_MOST_LOCATED = 1 << 24  # records, of 20 bytes


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
        labels: Sequence[str] = (),
        merged: Sequence[Merged] = (),
        bring: Callable[[Sequence[str]], object] | None = None,
    ) -> None:
        """Takes note of the indexes; they are opened when something is asked.

        Args:
            indexes: The index of each shard, an absolute path.
            records: Rows of each.
            splits: The split that each belongs to.
            metadata: The manifest's schema: name to "string", "int", "float" or "bool". An
                index may lack such a column: its values are null then.
            labels: Names of the label map: what fields `labels.NAME` there are.
            merged: Files that hold the rows of several indexes each.
            bring: Called with the files that will be opened next; None: they are there.
        """
        self._paths = [str(os.fspath(path)) for path in indexes]
        self._merged = list(merged)
        self._bring = bring or (lambda paths: None)
        self._starts = np.zeros(len(self._paths) + 1, np.int64)
        np.cumsum(records, out=self._starts[1:])
        self._splits = list(splits)
        self._metadata = dict(sorted(metadata.items()))
        self._names = identifiers(metadata)
        self._fields = Fields(self._metadata, labels, list(dict.fromkeys(splits)))
        self._database = Database([*self._paths, *(each.path for each in merged)])
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
        relation = self._relation(self._chosen(None), condition)
        if condition is None:
            return np.arange(len(self), dtype=np.int64)
        found = np.zeros(len(self), np.bool_)
        for batch in self._batches(relation.select(RECORD)):
            found[batch.column(0).to_numpy()] = True
        return np.flatnonzero(found).astype(np.int64, copy=False)

    def locate(self, condition: Condition) -> tuple[npt.NDArray[np.int64], Located | None]:
        """The records that fulfil a condition, and where they lie, unless they are very many.

        The indexes are read anyway: to see in them where the records lie costs a tenth of the
        query, and to read them once more as much as half of it.

        Args:
            condition: See `rows`, as for what is raised.

        Returns:
            int64 [n], ascending; their places; None: too many to be kept twice, or what an index
            says is no place.
        """
        relation = self._relation(self._chosen(None), condition)
        found = np.zeros(len(self), np.bool_)
        parts: list[tuple[npt.NDArray[Any], ...]] | None = []
        count = 0
        for batch in self._batches(relation.select(RECORD, *map(self._names.__getitem__, _WHERE))):
            numbers = batch.column(0).to_numpy()
            found[numbers] = True
            count += len(numbers)
            part = batches.places(batch) if parts is not None and count <= _MOST_LOCATED else None
            if parts is not None and part is not None:
                parts.append(part)
            else:
                parts = None
        if parts is None:
            return np.flatnonzero(found), None
        none = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
        columns = [np.concatenate(column) for column in zip(none, *parts, strict=True)]
        if (columns[0][1:] < columns[0][:-1]).any():
            order = np.argsort(columns[0])
            columns = [column[order] for column in columns]
        return columns[0], Located(*columns)

    def count(self, condition: Condition | None) -> int:
        """How many records fulfil a condition; see `rows`."""
        relation = self._relation(self._chosen(None), condition)
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
            columns: Fields, which the columns are named after; None: `key`, `split`, `width`,
                `height`, `format`, `bytes`, `label`, `objects`, `labels` and the metadata.

        Returns:
            An Arrow table, a row a record in the order of `rows`.

        Raises:
            QueryError: There is no such field.
            CorruptRecordError: See `rows`.
        """
        import pyarrow as pa

        if columns is None:
            others = [name for name in self._names if name not in (*_PLACE, "key", "split")]
            columns = ["key", "split", *others]
        picked = [self._column(name) for name in columns]
        expressions: list[str] = []
        for column in picked:
            # Not the map itself: Arrow's end of DuckDB does not survive a damaged one.
            expressions += (
                [f"map_keys({column.sql})", f"map_values({column.sql})"]
                if column.kind == "labels"
                else [column.sql]
            )
        schema = self._schema(columns, picked)
        chosen = self._chosen(rows)
        query = self._relation(chosen).select(
            RECORD,
            *expressions,
            parameters=[value for column in picked for value in column.parameters],
        )
        parts, numbers = [schema.empty_table()], [np.empty(0, np.int64)]
        with self._reading(list(self._columns)):
            for batch in self._batches(query):
                numbers.append(batch.column(0).to_numpy())
                parts.append(batches.assembled(batch.columns[1:], schema))
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
        """Records in the order of some fields' values.

        Args:
            rows: Numbers of different records; None: all.
            by: Fields and whether the largest come first, the most important one first. Equal
                ones stay in storage order; records without a value come last.

        Returns:
            int64 [n].

        Raises:
            QueryError: There is no such field.
            CorruptRecordError: See `rows`.
        """
        columns = [(self.field(name), descending) for name, descending in by]
        keys = [f"{column.sql} {'DESC' if last else 'ASC'} NULLS LAST" for column, last in columns]
        chosen = self._chosen(rows)
        query = self._relation(chosen).select(RECORD)
        query = query.then(
            f"ORDER BY {', '.join([*keys, RECORD])}",
            [value for column, _ in columns for value in column.parameters],
        )
        out = np.empty(len(self) if rows is None else len(rows), np.int64)
        begin = 0
        for batch in self._batches(query):
            out[begin : begin + batch.num_rows] = chosen.numbers(batch.column(0).to_numpy())
            begin += batch.num_rows
        return out

    def groups(
        self, rows: npt.NDArray[np.int64] | None, by: str
    ) -> list[tuple[Any, npt.NDArray[np.int64]]]:
        """Records by a field's value.

        Args:
            rows: Numbers of different records; None: all.
            by: The field.

        Returns:
            Values in ascending order, None last, and the records with each, in storage order.

        Raises:
            QueryError: There is no such field.
            CorruptRecordError: See `rows`.
        """
        column = self.field(by)
        relation = self._relation(self._chosen(rows))
        counts = self._fetch(
            relation.select(column.sql, "count(*)", parameters=column.parameters).then(
                "GROUP BY 1 ORDER BY 1 ASC NULLS LAST"
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
            expression: Of SQL, never NULL, over fields.
            parameters: The values of its `?`.
            dtype: Of the numbers.

        Returns:
            [n], in the order of `rows`.

        Raises:
            CorruptRecordError: See `rows`.
        """
        chosen = self._chosen(rows)
        query = self._relation(chosen).select(RECORD, expression, parameters=parameters)
        values = np.empty(chosen.size, dtype)
        for batch in self._batches(query):
            values[batch.column(0).to_numpy()] = batch.column(1).to_numpy(zero_copy_only=False)
        return values if chosen.local is None else values[chosen.local]

    def field(self, name: str) -> Column:
        """What a name means in a query.

        Raises:
            QueryError: There is no such field.
        """
        return self._fields.resolve(name)

    def _column(self, name: str) -> Column:
        """A column as it is, or what else a name means in a query."""
        column = self.field(name) if name not in self._names else None
        if column is not None and column.name not in self._names:
            return column
        own = name if column is None else column.name
        kind: Kind = "labels" if own == "labels" else "string"
        return Column(own, self._names[own], kind)

    def _schema(self, names: Sequence[str], columns: Sequence[Column]) -> pa.Schema:
        """What a table of these columns is like."""
        import pyarrow as pa

        known = index.schema(self._metadata).append(pa.field("split", pa.string()))
        return pa.schema(
            [
                known.field(column.name).with_name(name)
                if column.name in self._names
                else pa.field(name, pa.int64())  # the count of a label
                for name, column in zip(names, columns, strict=True)
            ]
        )

    def _chosen(self, rows: npt.NDArray[np.int64] | None) -> Chosen:
        return Chosen.of(self._starts, rows, self._merged)

    def _relation(self, chosen: Chosen, condition: Condition | None = None) -> Query:
        """The chosen records, numbered as `chosen` does, that fulfil a condition."""
        opened = chosen.files(self._paths, self._merged)
        self._check({each.path: each.rows for each in opened})
        files = [
            File(
                self._database.names[each.path],
                self._columns[each.path],
                each.start,
                self._splits[each.shard],
            )
            for each in opened
        ]
        relation = records(files, self._names, self._metadata)
        tests: list[str] = []
        parameters: list[Any] = []
        if chosen.local is not None:
            bits = np.zeros(chosen.size, np.bool_)
            bits[chosen.local] = True
            tests.append(f"get_bit(?::BLOB::BIT, {RECORD}::INTEGER) = 1")
            parameters.append(np.packbits(bits).tobytes())
        if condition is not None:
            tests.append(f"({condition.sql})")
            parameters += condition.parameters
        if not tests:
            return relation
        return relation.select("*").then(f"WHERE {' AND '.join(tests)}", parameters)

    def _check(self, rows: Mapping[str, int]) -> None:
        """Reads the footers of files that were not read before.

        Args:
            rows: How many each shall have.
        """
        with self._lock:
            new = {path: count for path, count in rows.items() if path not in self._columns}
            if new:
                self._bring(list(new))
                with self._reading(new):
                    self._columns.update(footers.check(new, self._metadata))

    def _fetch(self, query: Query) -> list[tuple[Any, ...]]:
        with self._reading(list(self._columns)):
            return self._database.fetch(query.sql, query.parameters)

    def _batches(self, query: Query) -> Iterator[pa.RecordBatch]:
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

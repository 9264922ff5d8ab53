"""The fields that a query may name, and what they are in SQL."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from tfstream.query.columns import identifiers
from tfstream.query.mistakes import Mistake, nearest, query_error
from tfstream.query.operators import ALIASES

__all__ = ["Column", "Fields", "Kind", "word"]

Kind: TypeAlias = Literal["string", "int", "float", "bool", "labels"]

# The columns of every index, and the split, which its file's place says.
_INDEX: dict[str, Kind] = {
    "key": "string",
    "offset": "int",
    "length": "int",
    "width": "int",
    "height": "int",
    "format": "string",
    "orientation": "int",
    "bytes": "int",
    "label": "string",
    "objects": "int",
    "labels": "labels",
    "split": "string",
}

_COUNTS = "labels."
_METADATA = "metadata."
_FILE = "file."

_SHOWN = 30  # fields that a message lists


@dataclasses.dataclass(frozen=True)
class Column:
    """What a name means.

    Attributes:
        name: The column's, or `labels.NAME`.
        sql: An expression; NULL where the value is not known.
        kind: Of its values.
        parameters: What is bound to the `?` in `sql`.
        free: Whether it is a metadata column.
        values: All that it can hold, where that is known; None: anything.
    """

    name: str
    sql: str
    kind: Kind
    parameters: tuple[Any, ...] = ()
    free: bool = False
    values: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Fields:
    """The fields of a dataset.

    Attributes:
        metadata: Columns of the manifest's schema: name to "string", "int", "float" or "bool".
        labels: Names, of the label map.
        splits: Names.

    >>> fields = Fields({"camera": "string"}, ["dog", "cat"], ["train", "val"])
    >>> fields.resolve("labels.dog").sql
    'coalesce("labels"[?], 0)'
    >>> fields.resolve("widht")
    Traceback (most recent call last):
    ...
    tfstream.errors.QueryError: There is no field 'widht'. Did you mean width? (column 1)
      widht
      ^
    """

    metadata: Mapping[str, str]
    labels: Sequence[str]
    splits: Sequence[str]

    def resolve(self, name: str, column: int = 1, text: str | None = None) -> Column:
        """What a name means.

        In this order: `labels.NAME` is the count of that label; a column of the index, or one
        of the metadata, has its own name; `metadata.NAME` is a metadata column, `file.NAME`
        one of either; `@path`, `@size` and `@phase` are the key, the bytes and the split.

        Args:
            name: Without quotation marks.
            column: Where in the query it stands, from 1.
            text: The query; None: the name is all there is.

        Raises:
            QueryError: There is no such field; names the nearest.
        """
        try:
            return self.find(name, column)
        except Mistake as mistake:
            shown = name if text is None else text
            raise query_error(mistake.message, shown, mistake.column) from None

    def find(self, name: str, column: int = 1) -> Column:
        """As `resolve`.

        Raises:
            Mistake: There is no such field.
        """
        if name.startswith(_COUNTS):
            return self._count(name[len(_COUNTS) :], column)
        name_of_own = ALIASES.get(name, name)
        if name_of_own in _INDEX:
            return self._own(name_of_own)
        if name in self.metadata:
            return self._free(name)
        for prefix in (_METADATA, _FILE):
            rest = name[len(prefix) :]
            if name.startswith(prefix) and rest in self.metadata:
                return self._free(rest)
        if name.startswith(_FILE) and name[len(_FILE) :] in _INDEX:
            return self._own(name[len(_FILE) :])
        raise Mistake(f"There is no field {name!r}. {self._advice(name)}", column)

    @property
    def columns(self) -> list[Column]:
        """All of them, those of the index first, but for `labels`, whose counts are fields."""
        return [self.find(name) for name in self._names() if name != "labels"]

    @functools.cached_property
    def _sql(self) -> dict[str, str]:
        return identifiers(self.metadata)

    def _own(self, name: str) -> Column:
        values = {"label": self.labels, "split": self.splits}.get(name)
        return Column(
            name, self._sql[name], _INDEX[name], values=None if values is None else tuple(values)
        )

    def _free(self, name: str) -> Column:
        kinds: dict[str, Kind] = {"string": "string", "int": "int", "float": "float"}
        kind = kinds.get(self.metadata[name], "bool")
        sql = self._sql[name]
        if kind == "float":
            # DuckDB holds NaN for larger than all numbers; here it is no value.
            sql = f"CASE WHEN isnan({sql}) THEN NULL ELSE {sql} END"
        return Column(name, sql, kind, free=True)

    def _count(self, label: str, column: int) -> Column:
        if label not in self.labels:
            near = nearest(label, self.labels)
            advice = f"Did you mean {_written(_COUNTS, near)}?" if near else self._labels_known()
            raise Mistake(f"There is no label {label!r}. {advice}", column)
        return Column(_COUNTS + label, f"coalesce({self._sql['labels']}[?], 0)", "int", (label,))

    def _labels_known(self) -> str:
        if not self.labels:
            return "The dataset has no labels."
        more = ", …" if len(self.labels) > _SHOWN else ""
        return f"There are {', '.join(list(self.labels)[:_SHOWN])}{more}."

    def _names(self) -> Iterator[str]:
        yield from _INDEX
        yield from sorted(self.metadata)

    def _advice(self, name: str) -> str:
        """The nearest name, or all of them."""
        if re.fullmatch(r"[+-]?\.?\d.*", name):
            return "A comparison begins with its field: width > 3, not 3 < width."
        if name in self.labels:
            return (
                f"It is a label: write {_written(_COUNTS, name)} >= 1 for images that have one, "
                f"label:{word(name)} where it is the main object."
            )
        short = name
        for prefix in (_METADATA, _FILE):
            short = short.removeprefix(prefix)
        near = nearest(short, self._names())
        if near:
            return f"Did you mean {word(near)}?"
        label = nearest(name, self.labels)
        if label:
            return f"Did you mean {_written(_COUNTS, label)}?"
        names = [word(known) for known in self._names()]
        more = ", …" if len(names) > _SHOWN else ""
        return f"There are {', '.join(names[:_SHOWN])}{more}, and labels.NAME."


def word(name: str) -> str:
    """A name as a query has to write it.

    >>> word("dog"), word("traffic light")
    ('dog', '"traffic light"')
    """
    if re.fullmatch(r"[\w./-]+", name) and not re.fullmatch(
        "and|or|not|in|is|to|null|true|false", name, re.IGNORECASE
    ):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(prefix: str, name: str) -> str:
    return prefix + word(name)

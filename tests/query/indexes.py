"""Indexes of made-up records for tests of queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfstream.format import index
from tfstream.query.engine import Engine

SCHEMA = {"camera": "string", "day": "int", "iso": "float", "night": "bool"}


@dataclasses.dataclass
class Shards:
    """Indexes that were written, and what is in them.

    Attributes:
        paths: Of the indexes.
        splits: Of each.
        rows: Of each, what `Engine.table` says of its records.
    """

    paths: list[Path] = dataclasses.field(default_factory=list)
    splits: list[str] = dataclasses.field(default_factory=list)
    rows: list[list[dict[str, Any]]] = dataclasses.field(default_factory=list)

    def add(
        self, path: Path, split: str, rows: Sequence[index.Row], schema: Mapping[str, str] = SCHEMA
    ) -> None:
        """Writes an index with some of the metadata columns."""
        index.write(path, rows, schema)
        self.paths.append(path)
        self.splits.append(split)
        told = []
        for row in rows:
            metadata = {name: row.metadata.get(name) if name in schema else None for name in SCHEMA}
            known = {name: getattr(row, name) for name in index.COLUMNS}
            told.append({**known, "split": split, **metadata})
        self.rows.append(told)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All of them, in storage order."""
        return [record for rows in self.rows for record in rows]

    def engine(self) -> Engine:
        """Over these indexes."""
        return Engine(self.paths, [len(rows) for rows in self.rows], self.splits, SCHEMA)


def row(number: int, **changes: Any) -> index.Row:
    """The row of a made-up record; equal numbers give equal ones."""
    dogs, cats = number % 4, (number // 3) % 3
    labels = {name: count for name, count in (("cat", cats), ("dog", dogs)) if count}
    metadata = {
        "camera": [None, "left", "right", 'it\'s "B"'][number * 7 % 4],
        "day": None if number % 5 == 0 else number % 7 - 3,
        "iso": number / 8 if number % 3 else None,
        "night": [True, False, None][number % 3],
    }
    made = index.Row(
        key=f"set/{number:04d}",
        offset=number * 100,
        length=100,
        width=100 + number * 37 % 300,
        height=200,
        format="png" if number % 9 == 0 else "jpeg",
        orientation=1,
        bytes=80 + number,
        label=next(iter(labels), None),
        objects=dogs + cats,
        labels=labels,
        metadata=metadata,
    )
    return dataclasses.replace(made, **changes)

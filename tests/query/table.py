"""A table in the shape of the indexes, with all that queries can meet; and its fields."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import duckdb

from tfstream.query import Condition, Fields
from tfstream.query.columns import identifiers

METADATA = {
    "camera": "string",
    "scene": "string",
    "taken": "string",
    "day": "int",
    "iso": "float",
    "night": "bool",
    "source.name": "string",
    "exif.gain": "int",
    "my notes": "string",
    "not": "string",
    'a"b': "int",
    "Width": "int",
}
LABELS = (
    "dog",
    "cat",
    "traffic light",
    "St. Bernard",
    "n01440764",
    "or",
    "100%",
    "cars",
    "pedestrian",
)
SPLITS = ("train", "val")
FIELDS = Fields(METADATA, LABELS, SPLITS)

TEXTS = (
    "",
    "front",
    "front left",
    "fr?nt",
    "f*t",
    "100%",
    "a_b",
    "a\\b",
    "it's",
    "näht",
    "*",
    "x\ny",
    "or",
)
TIMES = (
    "2024-01-31",
    "2024-01-31T00:00:00Z",
    "2024-01-31T12:30:00",
    "2024-01-31T12:30:59.250000Z",
    "2024-01-31T23:59:59+02:00",
    "2024-02-01T01:00:00+02:00",
    "2024-02-01T00:00:00Z",
    "1999-12-31T23:59:59Z",
    "yesterday",
    "",
)
NUMBERS = (-1, 0, 1, 2, 3, 100, 200, 1 << 40)

_SQL = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
_INDEX = {
    "key": "VARCHAR",
    "offset": "BIGINT",
    "length": "BIGINT",
    "width": "INTEGER",
    "height": "INTEGER",
    "format": "VARCHAR",
    "orientation": "TINYINT",
    "bytes": "BIGINT",
    "label": "VARCHAR",
    "objects": "INTEGER",
    "labels": "MAP(VARCHAR, INTEGER)",
    "split": "VARCHAR",
}


def rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Records of random values, of which no two have the same key."""
    rng = random.Random(seed)
    for number in range(count):
        counts = {name: rng.randint(1, 4) for name in LABELS if rng.random() < 0.3}
        row: dict[str, Any] = {
            "key": f"{rng.choice(('train', 'a_b', 'ä'))}/{rng.choice(TEXTS)}{number}",
            "offset": number * 100,
            "length": 100,
            "width": rng.choice((1, 2, 3, 100, 200, 300)),
            "height": rng.choice((1, 2, 3, 100, 200, 300)),
            "format": rng.choice(("jpeg", "png")),
            "orientation": rng.randint(1, 8),
            "bytes": rng.choice((1, 1000, 1 << 40)),
            "label": rng.choice((*counts, None)) if counts else None,
            "objects": sum(counts.values()),
            "labels": counts,
            "split": rng.choice(SPLITS),
        }
        pools: dict[str, tuple[Any, ...]] = {
            "string": TEXTS,
            "int": NUMBERS,
            "float": (-1.5, 0.0, 0.5, 2.0, float("nan"), float("inf")),
            "bool": (True, False),
        }
        for name, kind in METADATA.items():
            pool = TIMES if name == "taken" else pools[kind]
            row[name] = None if rng.random() < 0.25 else rng.choice(pool)
        yield row


def connect(records: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A database that can reach nothing, with the records in its one table."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_external_access = false")
    names = identifiers(METADATA)
    types = {**_INDEX, **{name: _SQL[kind] for name, kind in METADATA.items()}}
    columns = ", ".join(f"{names[name]} {type_}" for name, type_ in types.items())
    connection.execute(f"CREATE TABLE records ({columns})")
    marks = ", ".join(
        "map_from_entries(?::STRUCT(k VARCHAR, v INTEGER)[])" if name == "labels" else "?"
        for name in types
    )
    for record in records:
        values = [
            [{"k": key, "v": value} for key, value in record[name].items()]
            if name == "labels"
            else record[name]
            for name in types
        ]
        connection.execute(f"INSERT INTO records VALUES ({marks})", values)
    return connection


def keys(connection: duckdb.DuckDBPyConnection, condition: Condition) -> set[str]:
    """The records that fulfil a condition."""
    found = connection.execute(
        f"SELECT key FROM records WHERE {condition.sql}", list(condition.parameters)
    ).fetchall()
    return {key for (key,) in found}

"""A table of metadata in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["describe"]


def describe(table: pa.Table, columns: Mapping[str, str]) -> dict[str, Any]:
    """What `PackedDataset.describe` returns.

    Args:
        table: `PackedDataset.metadata`.
        columns: The user's own columns, and their types.
    """
    import pyarrow.compute as pc

    return {
        "records": table.num_rows,
        "splits": _counts(table["split"]),
        "bytes": pc.sum(table["bytes"]).as_py() or 0,
        "labels": _labels(table),
        **{name: _range(table[name]) for name in ("width", "height", "objects")},
        "metadata": {
            name: {
                "type": kind,
                "missing": table[name].null_count,
                "distinct": pc.count_distinct(table[name]).as_py(),
                **_extremes(table[name]),
            }
            for name, kind in columns.items()
        },
    }


def _counts(column: pa.ChunkedArray) -> dict[Any, int]:
    """How often each value occurs, in the order in which they first do."""
    return {
        item["values"]: item["counts"]
        for chunk in [column.combine_chunks()]
        for item in chunk.value_counts().to_pylist()
        if item["values"] is not None
    }


def _labels(table: pa.Table) -> dict[str, tuple[int, int]]:
    """Label to (records that have it, its objects), most objects first."""
    import pyarrow as pa

    maps = table["labels"].combine_chunks()
    if isinstance(maps, pa.ChunkedArray):  # older pyarrow leaves a single chunk as it is
        maps = maps.chunk(0) if maps.num_chunks else pa.array([], table["labels"].type)
    begin, end = (maps.offsets[at].as_py() for at in (0, len(maps)))
    entries = pa.table(
        {
            "label": maps.keys.slice(begin, end - begin),
            "objects": maps.items.slice(begin, end - begin),
        }
    )
    sums = entries.group_by("label").aggregate([("objects", "count"), ("objects", "sum")])
    rows = sums.sort_by([("objects_sum", "descending"), ("label", "ascending")]).to_pylist()
    return {row["label"]: (row["objects_count"], row["objects_sum"]) for row in rows}


def _range(column: pa.ChunkedArray) -> tuple[int, float, int]:
    """Least, mean and greatest; zeros of nothing."""
    import pyarrow.compute as pc

    if len(column) == 0:
        return 0, 0.0, 0
    extremes = pc.min_max(column).as_py()
    return extremes["min"], pc.mean(column).as_py(), extremes["max"]


def _extremes(column: pa.ChunkedArray) -> dict[str, Any]:
    import pyarrow.compute as pc

    extremes = pc.min_max(column).as_py()
    return {"least": extremes["min"], "most": extremes["max"]}

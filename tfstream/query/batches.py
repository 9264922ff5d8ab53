"""What the batches of DuckDB's answers hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["assembled", "places"]


def places(batch: pa.RecordBatch) -> tuple[npt.NDArray[Any], ...] | None:
    """A copy of numbers, offsets and lengths, which does not hold on to the batch's memory.

    None where there are none: whoever reads the index for its places says what is wrong.
    """
    if any(column.null_count for column in batch.columns):
        return None
    numbers, offsets, lengths = (column.to_numpy() for column in batch.columns)
    if ((lengths < 0) | (lengths >= 1 << 31)).any():
        return None
    return numbers.copy(), offsets.copy(), lengths.astype(np.int32)


def assembled(arrays: Sequence[pa.Array], schema: pa.Schema) -> pa.Table:
    """A table of columns as DuckDB gives them: a map is two lists, its keys and values."""
    import pyarrow as pa

    left = iter(arrays)
    made = []
    for field in schema:
        array = next(left)
        if pa.types.is_map(field.type):
            array = pa.MapArray.from_arrays(array.offsets, array.values, next(left).values)
        made.append(array.cast(field.type))
    return pa.Table.from_arrays(made, schema=schema)

"""In what two indexes of one shard differ, as Arrow tables in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["ShardDifference", "compare"]


@dataclasses.dataclass(frozen=True, eq=False)
class ShardDifference:
    """What becomes of a shard's records from one version to another.

    Attributes:
        removed: Rows that only the one index has.
        added: Rows that only the other has.
        changed: Keys of records that both have, with other values.
        differs: [changed, columns]: in which of the columns compared.
    """

    removed: pa.Table
    added: pa.Table
    changed: pa.Array
    differs: npt.NDArray[np.bool_]


def compare(before: pa.Table, after: pa.Table, columns: Sequence[str]) -> ShardDifference:
    """Compares two indexes, record by record, by where these lie in the shard.

    Args:
        before: With the columns `key` and `offset`.
        after: Likewise.
        columns: Those to compare, of text, numbers or booleans; nulls are equal, and so are NaNs.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = before["offset"].combine_chunks()
    found = pc.index_in(after["offset"].combine_chunks(), value_set=offsets)
    there = found.is_valid()
    rows = found.drop_null()
    gone = np.ones(before.num_rows, np.bool_)
    gone[rows.to_numpy()] = False
    one, other = before.take(rows), after.filter(there)
    differs = np.zeros((other.num_rows, len(columns)), np.bool_)
    for number, name in enumerate(columns):
        differs[:, number] = _differs(one[name], other[name])
    return ShardDifference(
        removed=before.filter(pa.array(gone)),
        added=after.filter(pc.invert(there)),
        changed=other["key"].filter(pa.array(differs.any(axis=1))).combine_chunks(),
        differs=differs[differs.any(axis=1)],
    )


def _differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    both_null = pc.and_(one.is_null(), other.is_null())
    same = pc.or_(both_null, pc.fill_null(pc.equal(one, other), False))
    if pa.types.is_floating(one.type):
        both_nan = pc.and_(pc.is_nan(one), pc.is_nan(other))
        same = pc.or_(same, pc.fill_null(both_nan, False))
    plain: npt.NDArray[np.bool_] = pc.invert(same).to_numpy()
    return plain

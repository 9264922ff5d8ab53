"""From a dataset to what a simulation needs of it: no record is read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.fetch.ahead import remote_block, window_records
from tfstream.format import index
from tfstream.simulate.layout import Layout, Shards, Stored

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.dataset import PackedDataset

    Integers = npt.NDArray[np.int64]

__all__ = ["block_of", "layout_of", "window_of"]

_AT_ONCE = 32  # requests


def layout_of(data: PackedDataset) -> Layout:
    """Where the records of a dataset, or of a part of one, lie.

    Of the indexes, those are read that are asked for later. The dataset may be on local disk: it is
    simulated as if it were in a bucket.

    Args:
        data: The dataset.

    Raises:
        InvalidArgumentError: It is of data points, or empty.
        StorageError: An index cannot be looked at.
    """
    version, splits = data._version, data._splits
    chosen = data._selection
    if chosen is not None and chosen.members > 1:
        raise InvalidArgumentError(
            "the simulator knows single records, not data points of several: leave @datapoint_by "
            "out of the query"
        )
    shards = version.shards(splits)
    directory = version.directory
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda shard: directory.stat(shard.index_path).size, shards)
        indexes = np.fromiter(found, np.int64, len(shards))
    counts = np.array([shard.records for shard in shards], np.int64)
    sizes = np.array([shard.bytes for shard in shards], np.int64)
    begins = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    def read(shard: int) -> tuple[Integers, Integers]:
        name = shards[shard].index_path
        rows = index.read(directory.read(name), ["offset", "length"], name=directory.locate(name))
        return rows["offset"].to_numpy(), rows["length"].to_numpy().astype(np.int64)

    rows = None if chosen is None else chosen.elements.reshape(-1)
    made = Stored(Shards(sizes, indexes, begins), rows, read)
    if made.records == 0:
        raise InvalidArgumentError("nothing is selected: there is nothing to simulate")
    return made


def block_of(layout: Layout, lanes: int) -> int:
    """The `block_size` that a stream of a remote dataset has by default."""
    return remote_block(layout.records, layout.mean_bytes, lanes)


def window_of(layout: Layout, read_ahead: int) -> int:
    """Samples that a stream asks for at once.

    Args:
        layout: Where its records lie.
        read_ahead: Bytes, as `stream` takes it.
    """
    return window_records(layout.mean_bytes, read_ahead)

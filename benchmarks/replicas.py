"""Larger datasets made of a small one: its training shards again and again, as hard links.

Each copy is a file of its own to whoever reads the dataset; they share bytes, and keys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tfstream.format import index, manifest, merged
from tfstream.storage.uri import as_directory

if TYPE_CHECKING:
    import pyarrow as pa

    from tfstream.v1.manifest_pb2 import Manifest, Split


def replicate(packed: Path, out: Path, copies: int) -> None:
    """Makes a dataset whose training split is that of `packed`, `copies` times."""
    loaded, train = load(packed)
    shards = list(train.shards)
    sizes = [(shard.records, shard.bytes) for shard in shards]
    files = [(packed / shard.path, packed / shard.index_path) for shard in shards]
    write(out, loaded, files * copies, sizes * copies)


def uniform(packed: Path, out: Path, *, shards: int, records: int) -> None:
    """Makes a dataset of so many shards with so many records each.

    One shard is put together of `packed`'s records, with its index; the others are links to it.
    """
    import pyarrow.parquet as pq

    (out / "shards").mkdir(parents=True)
    first, first_index = out / "shards/first.tfrecord", out / "shards/first.parquet"
    loaded, _ = load(packed)
    rows = one_shard(packed, first, records)
    pq.write_table(rows, first_index, compression="zstd")
    write(out, loaded, [(first, first_index)] * shards, [(records, first.stat().st_size)] * shards)


def one_shard(packed: Path, path: Path, records: int) -> pa.Table:
    """Puts a shard together of the records of `packed`, again and again; gives its index."""
    import pyarrow as pa

    _, train = load(packed)
    parts: list[pa.Table] = []
    written = rows = 0
    with open(path, "wb") as file:
        while rows < records:
            for shard in train.shards:
                part = index.read(packed / shard.index_path).slice(0, records - rows)
                if part.num_rows == 0:
                    break
                offsets = part["offset"].to_numpy()
                end = int(offsets[-1] + part["length"][-1].as_py())
                with open(packed / shard.path, "rb") as source:
                    file.write(source.read(end))
                at = part.schema.get_field_index("offset")
                moved = pa.array(offsets + written, part.schema.field("offset").type)
                parts.append(part.set_column(at, part.schema.field("offset"), moved))
                written += end
                rows += part.num_rows
    return pa.concat_tables(parts)


def load(packed: Path) -> tuple[Manifest, Split]:
    """A dataset's manifest, and the training split in it."""
    loaded = manifest.load(packed)
    return loaded, next(split for split in loaded.splits if split.name == "train")


def write(
    out: Path, loaded: Manifest, files: list[tuple[Path, Path]], sizes: list[tuple[int, int]]
) -> None:
    """Links files to be the shards of a training split, and writes the manifest.

    Args:
        out: Where the dataset shall be.
        loaded: The manifest of another, for what else is in it.
        files: Each shard and its index.
        sizes: Records and bytes of each.
    """
    (out / "shards").mkdir(parents=True, exist_ok=True)
    train = next(split for split in loaded.splits if split.name == "train")
    del train.shards[:]
    for number, ((shard, rows), (records, size)) in enumerate(zip(files, sizes, strict=True)):
        name = f"shards/train-copy-{number:05d}"
        os.link(shard, out / f"{name}.tfrecord")
        os.link(rows, out / f"{name}.parquet")
        train.shards.add(
            path=f"{name}.tfrecord", index_path=f"{name}.parquet", records=records, bytes=size
        )
    train.statistics.records = sum(records for records, _ in sizes)
    for split in [split for split in loaded.splits if split.name != "train"]:
        loaded.splits.remove(split)
    loaded.version = 1
    merged.merge(as_directory(out), loaded)
    manifest.commit(out, loaded)

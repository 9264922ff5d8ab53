"""Looks at packed datasets from outside: files, records, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tfstream.format import example, index, manifest, record
from tfstream.v1.annotated_image_pb2 import AnnotatedImage


def digests(root: Path) -> dict[str, str]:
    """Relative path of every file to a hash of its bytes."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def records(root: Path, split: str | None = None) -> Iterator[AnnotatedImage]:
    """Every record, read by the indexes."""
    for part in manifest.load(root).splits:
        if split in (None, part.name):
            for shard in part.shards:
                for row in index.read(root / shard.index_path).to_pylist():
                    payload = record.read_record(root / shard.path, row["offset"], row["length"])
                    yield example.decode(payload)

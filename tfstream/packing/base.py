"""The version that an append adds to: its labels, its metadata, and the keys that are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfstream.errors import InvalidArgumentError
from tfstream.format import index, manifest
from tfstream.format.label_map import LabelMap
from tfstream.format.tensors import Contents
from tfstream.packing.columns import Column
from tfstream.packing.contents import Kind
from tfstream.packing.plan import key_hash
from tfstream.packing.progress import Progress
from tfstream.packing.workers import Workers
from tfstream.storage.directory import Directory
from tfstream.v1 import manifest_pb2

__all__ = ["Base", "KeyTask", "find_keys"]

_RECORDS_A_TASK = 50_000  # some 0.1 s of work


@dataclasses.dataclass(frozen=True)
class Base:
    """A version to be added to.

    Attributes:
        directory: The dataset's.
        manifest: The version's.
    """

    directory: Directory
    manifest: manifest_pb2.Manifest

    @classmethod
    def newest(cls, directory: Directory) -> Base:
        """The newest version of a dataset.

        Raises:
            DatasetNotFoundError: There is no dataset.
            ManifestError: The manifest cannot be used.
            StorageError: It cannot be read.
        """
        return cls(directory, manifest.load(directory))

    @property
    def labels(self) -> LabelMap:
        """The label map."""
        return LabelMap.from_proto(self.manifest.labels)

    @property
    def columns(self) -> dict[str, Column]:
        """The metadata columns, which indexes have already."""
        origin = f"version {self.manifest.version} of the dataset"
        return {
            name: Column(kind, origin, fixed=True)
            for name, kind in self.manifest.schema.metadata.items()
        }

    @property
    def kind(self) -> Kind:
        """What records hold: those that are added must hold the same."""
        origin = f"version {self.manifest.version} of the dataset"
        return Kind(Contents.from_proto(self.manifest.schema), origin)

    def require_begins(self, labels: LabelMap) -> LabelMap:
        """A label map that is to follow this version's, checked: no index may change.

        Titles that it lacks are taken over.

        Raises:
            InvalidArgumentError: It does not begin with the version's labels.
        """
        ours = self.labels
        for place, name in enumerate(ours.names):
            given = labels.names[place] if place < len(labels.names) else None
            if given != name:
                found = "it ends before" if given is None else f"it has {given!r} there"
                raise InvalidArgumentError(
                    f"The label map does not begin with the dataset's {len(ours.names)} labels, "
                    f"whose indices its records hold: label {place} is {name!r}, and {found}. "
                    "Add labels behind the others alone, or leave the map out."
                )
        if labels.has_background != ours.has_background:
            has, lacks = ("the dataset", "the label map given")[:: 1 if ours.has_background else -1]
            raise InvalidArgumentError(
                f"There is a background class in {has}, and none in {lacks}."
            )
        old = (*ours.titles, *[""] * len(labels.names))
        titles = tuple(new or before for new, before in zip(labels.titles, old, strict=False))
        return dataclasses.replace(labels, titles=titles)

    def find(
        self,
        hashes: NDArray[np.uint64],
        *,
        seed: int,
        drafts: Path,
        workers: Workers,
        show: Progress,
    ) -> dict[str, str]:
        """Which of the version's keys have one of some hashes, and in which shard they are.

        Args:
            hashes: [n] of `key_hash`.
            seed: Of these hashes.
            drafts: A directory for a file of them.
            workers: Do the work.
            show: Is told of the progress.

        Raises:
            CorruptRecordError: An index is damaged.
            StorageError: One cannot be read.
        """
        file = drafts / "hashes.npy"
        np.save(file, np.unique(hashes))
        show.begin("Comparing keys", sum(s.statistics.records for s in self.manifest.splits))
        found: dict[str, str] = {}
        for some in workers.map(find_keys, self._tasks(file, seed), show.update):
            found.update(some)
        show.end()
        file.unlink()
        return found

    def _tasks(self, hashes: Path, seed: int) -> Iterator[KeyTask]:
        some: list[manifest_pb2.Shard] = []
        for shard in (shard for split in self.manifest.splits for shard in split.shards):
            some.append(shard)
            if sum(each.records for each in some) >= _RECORDS_A_TASK:
                yield self._task(some, hashes, seed)
                some = []
        if some:
            yield self._task(some, hashes, seed)

    def _task(self, shards: list[manifest_pb2.Shard], hashes: Path, seed: int) -> KeyTask:
        indexes = {shard.index_path: shard.path for shard in shards}
        return KeyTask(self.directory, indexes, hashes, seed)


@dataclasses.dataclass(frozen=True)
class KeyTask:
    """Some indexes to look through.

    Attributes:
        directory: The dataset's.
        indexes: Name of each to that of its shard.
        hashes: A file of the sorted hashes that are looked for.
        seed: Of these.
    """

    directory: Directory
    indexes: Mapping[str, str]
    hashes: Path
    seed: int


def find_keys(task: KeyTask, report: Callable[[int, int], None]) -> dict[str, str]:
    """The keys in some indexes that have one of the hashes, each with its shard; a worker's task.

    Args:
        task: Where to look.
        report: Is told of (records, bytes) done.

    Raises:
        CorruptRecordError: An index is damaged.
        StorageError: One cannot be read.
    """
    wanted = np.load(task.hashes, mmap_mode="r")
    found = {}
    for name, shard in task.indexes.items():
        source = index.source(task.directory, name)
        for batch in index.batches(source, ["key"], name=task.directory.locate(name)):
            keys = batch.column("key").to_pylist()
            hashes = np.array([key_hash(key, task.seed) for key in keys], np.uint64)
            places = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
            hits = np.flatnonzero(wanted[places] == hashes)
            found.update({keys[hit]: shard for hit in hits.tolist()})
            report(len(keys), 0)
    return found

"""An opened version: its manifest, and the ways to what is stored."""

from __future__ import annotations

import dataclasses
import functools
import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tfstream.fetch.counters import Counters
from tfstream.fetch.fetcher import fetcher
from tfstream.fetch.source import RemoteSource, Spec
from tfstream.foreign import ForeignRecords
from tfstream.format import index, merged
from tfstream.format.foreign import Translator
from tfstream.format.label_map import LabelMap
from tfstream.format.numbered import NumberedKeys
from tfstream.format.tensors import Contents
from tfstream.indexes import IndexFiles

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from tfstream.query.engine import Engine
    from tfstream.query.fields import Fields
    from tfstream.query.keys import KeyLookup
    from tfstream.storage.directory import Directory
    from tfstream.v1.manifest_pb2 import Manifest, Shard, Split, Statistics

    Integers = npt.NDArray[np.int64]

__all__ = ["OpenedVersion"]


class OpenedVersion:
    """What all PackedDatasets that come from one `open` share.

    Args:
        directory: The dataset's.
        manifest: The version.
        spec: How a remote dataset is read; None: it is on local disk.
    """

    def __init__(self, directory: Directory, manifest: Manifest, spec: Spec | None) -> None:
        self.directory = directory
        self.manifest = manifest
        self.spec = spec
        self._opened = secrets.token_hex(4)
        self._sources: dict[tuple[str, ...], RemoteSource] = {}
        self._engines: dict[tuple[str, ...], Engine] = {}
        self._lookups: dict[tuple[str, ...], KeyLookup] = {}
        # At once: so that a cache that cannot be used is told of where it is named.
        self.source(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        """What is pickled is what was opened; what answers questions is made anew."""
        return type(self), (self.directory, self.manifest, self.spec)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all splits."""
        return tuple(split.name for split in self.manifest.splits)

    @functools.cached_property
    def labels(self) -> LabelMap:
        """The label map."""
        return LabelMap.from_proto(self.manifest.labels)

    @functools.cached_property
    def contents(self) -> Contents:
        """What its records hold."""
        return Contents.from_proto(self.manifest.schema)

    @property
    def local(self) -> Path:
        """The directory on local disk."""
        if self.directory.path is None:
            raise RuntimeError(f"{self.directory} is not on local disk")
        return self.directory.path

    def chosen(self, splits: Sequence[str]) -> list[Split]:
        """Splits by name, in the manifest's order."""
        return [split for split in self.manifest.splits if split.name in splits]

    def shards(self, splits: Sequence[str]) -> list[Shard]:
        """The shards of these splits, in storage order."""
        return [shard for split in self.chosen(splits) for shard in split.shards]

    def statistics(self, splits: Sequence[str]) -> list[Statistics]:
        """Of each of these splits."""
        return [split.statistics for split in self.chosen(splits)]

    def records(self, splits: Sequence[str]) -> int:
        """How many these splits hold."""
        return sum(part.records for part in self.statistics(splits))

    def relabelled(self, splits: Sequence[str], row: int) -> bool:
        """Whether a record's metadata are those that its index has, not its own."""
        if not self._any_relabelled:
            return False
        begin = 0
        for shard in self.shards(splits):
            begin += shard.records
            if row < begin:
                return shard.relabelled
        raise IndexError(f"record {row} of {begin}")

    @functools.cached_property
    def _any_relabelled(self) -> bool:
        return any(shard.relabelled for shard in self.shards(self.names))

    def foreign(self, splits: Sequence[str], rows: Integers | None) -> ForeignRecords | None:
        """How records that tfstream did not write become ours; None: it wrote all.

        Args:
            splits: Whose records are numbered.
            rows: int64 [selected], which of them are meant; None: all.
        """
        translator = self._translator
        if translator is None:
            return None
        return ForeignRecords(translator, self._keys(tuple(splits)), rows)

    @functools.cached_property
    def _translator(self) -> Translator | None:
        return Translator.of(self.manifest)

    def _keys(self, splits: tuple[str, ...]) -> NumberedKeys | None:
        """The keys of records that hold none."""

        def keys_of(shard: Shard) -> list[str]:
            (path,) = self._indexes.paths([shard.index_path])
            self._indexes.bring([path])
            keys: list[str] = index.read(path, ["key"])["key"].to_pylist()
            return keys

        return NumberedKeys.of(self.shards(splits), keys_of)

    def mean_bytes(self, splits: Sequence[str]) -> float:
        """Of a record's frame."""
        shards = self.shards(splits)
        return sum(shard.bytes for shard in shards) / max(1, sum(s.records for s in shards))

    def spec_of(self, splits: tuple[str, ...]) -> Spec | None:
        """How remote records of these splits are read; None: they are on local disk."""
        return None if self.spec is None else dataclasses.replace(self.spec, splits=splits)

    def served_spec(self, splits: tuple[str, ...]) -> Spec:
        """What workers of a `tf.data` service must know, of a local dataset as well."""
        return self.spec_of(splits) or Spec(
            uri=str(self.local.absolute()),
            version=self.manifest.version,
            generation=self.manifest.commit,
            opened=self._opened,
            splits=splits,
        )

    def source(self, splits: tuple[str, ...]) -> RemoteSource | None:
        """The remote records of these splits by number; None: they are on local disk."""
        spec = self.spec_of(splits)
        if spec is None:
            return None
        if splits not in self._sources:
            self._sources[splits] = fetcher().source(spec, self.manifest)
        return self._sources[splits]

    @functools.cached_property
    def _indexes(self) -> IndexFiles:
        source = self.source(self.names)
        if source is None:
            return IndexFiles(self.directory)
        files = source.files
        return IndexFiles(self.directory, lambda names: files.read(names, Counters()))

    def engine(self, splits: tuple[str, ...]) -> Engine:
        """Answers queries over these splits.

        Raises:
            StorageError: An index cannot be read.
        """
        from tfstream.query.chosen import Merged
        from tfstream.query.engine import Engine

        if splits not in self._engines:
            shards = self.shards(splits)
            runs = list(self._merged(splits))
            paths = self._indexes.paths([run.path for run in runs])
            self._engines[splits] = Engine(
                self._indexes.paths([shard.index_path for shard in shards]),
                [shard.records for shard in shards],
                [split.name for split in self.chosen(splits) for _ in split.shards],
                dict(self.manifest.schema.metadata),
                self.labels.names,
                [
                    Merged(path, run.begin, run.end - run.begin)
                    for run, path in zip(runs, paths, strict=True)
                ],
                self._indexes.bring,
            )
        return self._engines[splits]

    def _merged(self, splits: tuple[str, ...]) -> Iterator[merged.Run]:
        """Merged indexes, the shards numbered over all these splits."""
        begin = 0
        for split in self.chosen(splits):
            for run in merged.covered(split):
                yield merged.Run(run.path, begin + run.begin, begin + run.end)
            begin += len(split.shards)

    def keys(self, splits: tuple[str, ...]) -> KeyLookup:
        """Finds the records of these splits by their keys; see `engine`."""
        from tfstream.query.keys import KeyLookup

        if splits not in self._lookups:
            self._lookups[splits] = KeyLookup(self.engine(splits))
        return self._lookups[splits]

    @property
    def fields(self) -> Fields:
        """What names mean in a query."""
        from tfstream.query.fields import Fields

        return Fields(dict(self.manifest.schema.metadata), self.labels.names, self.names)

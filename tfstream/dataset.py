"""PackedDataset: a version of a dataset, or a part of one; random access and the way to streams."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import io
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from tfstream.errors import CorruptRecordError, InvalidArgumentError, NoSuchKeyError
from tfstream.fetch.counters import Counters
from tfstream.fetch.fetcher import fetcher
from tfstream.fetch.source import RemoteSource, Spec
from tfstream.fetch.warm import warm
from tfstream.format import example, index, manifest, record
from tfstream.format.label_map import LabelMap
from tfstream.format.table import RecordTable
from tfstream.images import ImageSpec, Raw
from tfstream.order import Order, Share
from tfstream.sizes import parse_size
from tfstream.storage.directory import Access, Directory
from tfstream.storage.uri import open_directory

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.stream import RemoteRecords, StreamDataset
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage
    from tfstream.v1.manifest_pb2 import Manifest, Split

__all__ = ["PackedDataset", "open_dataset"]


# Of a remote dataset: bytes of records that stay together in the shuffle, to be fetched at once.
_REMOTE_BLOCK_BYTES = 4 << 20
# But no fewer blocks than these for each lane.
_LEAST_BLOCKS_A_LANE = 8
_INDEXES_AT_ONCE = 32


def open_dataset(
    path: str | os.PathLike[str],
    *,
    version: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_limit: int | str | None = None,
    project: str | None = None,
    anonymous: bool | None = None,
    connections: int = 32,
) -> PackedDataset:
    """Opens a packed dataset.

    Args:
        path: The dataset's directory, `gs://bucket/prefix`, or a URI that TensorFlow's file
            systems know. What follows `version` is for datasets that are not on local disk.
        version: The number of a version; None: the newest.
        cache_dir: Where bytes are kept once they were fetched, for all processes of this host;
            None: they are not kept.
        cache_limit: What the cache may take of the disk: bytes, or such as "100GB"; None: all.
        project: Billed for the requests, if the bucket is "requester pays".
        anonymous: Use no credentials, for public buckets; None: none where there are none.
        connections: Requests at once, at most.

    Returns:
        All its splits, one after the other; `.split(name)` gives one.

    Raises:
        DatasetNotFoundError: There is no dataset there, or no such version.
        ManifestError: Its manifest is damaged, or of a newer tfstream.
        AccessDeniedError: It may not be read.
        CacheError: The cache directory cannot be used.
        InvalidArgumentError: An argument cannot be used.
    """
    directory = open_directory(path, Access(project, anonymous))
    loaded = manifest.load(directory, version)
    splits = tuple(split.name for split in loaded.splits)
    if directory.path is not None:
        return PackedDataset(directory, loaded, splits, None, None)
    if connections < 1:
        raise InvalidArgumentError(f"connections must be positive (got {connections})")
    spec = Spec(
        uri=directory.uri,
        version=loaded.version,
        generation=directory.stat(manifest.name_of(loaded.version)).generation,
        opened=secrets.token_hex(4),
        splits=splits,
        project=project,
        anonymous=anonymous,
        cache_dir=None if cache_dir is None else os.path.abspath(os.path.expanduser(cache_dir)),
        cache_limit=None if cache_limit is None else parse_size(cache_limit, "cache_limit"),
        connections=connections,
    )
    return PackedDataset(directory, loaded, splits, None, spec)


class PackedDataset:
    """Packed records: a sequence with random access, and the maker of streams.

    Made by `tfstream.open` and `tfstream.pack`; `split`, slicing and indexing
    with a list give further ones, which copy nothing.
    """

    def __init__(
        self,
        directory: Directory,
        loaded: Manifest,
        splits: tuple[str, ...],
        rows: npt.NDArray[np.int64] | None,
        spec: Spec | None,
    ) -> None:
        self._directory = directory
        self._manifest = loaded
        self._splits = splits
        self._rows = rows  # of the concatenated splits; None: all of them
        # None, both: it is on local disk.
        self._spec = None if spec is None else dataclasses.replace(spec, splits=splits)
        self._source = None if self._spec is None else fetcher().source(self._spec, loaded)

    @property
    def path(self) -> str:
        """The dataset's directory or URI."""
        return self._directory.uri

    @property
    def version(self) -> int:
        """The number of the version that is read."""
        return self._manifest.version

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that the records come from."""
        return self._splits

    @functools.cached_property
    def labels(self) -> LabelMap:
        """The label map: `.names`, `.id` (name to index), `.background` (last index or None)."""
        return LabelMap.from_proto(self._manifest.labels)

    def split(self, name: str) -> PackedDataset:
        """One split.

        Raises:
            InvalidArgumentError: There is no split of that name.
        """
        if name not in self._splits:
            raise InvalidArgumentError(
                f"{self._directory} has no split {name!r}: "
                f"it has {', '.join(self._splits) or 'none'}"
            )
        if self._rows is None:
            return self._with((name,), None)
        begin = 0
        for split in self._chosen:
            if split.name == name:
                break
            begin += split.statistics.records
        end = begin + split.statistics.records
        rows = self._rows[(self._rows >= begin) & (self._rows < end)] - begin
        return self._with((name,), rows)

    def _with(self, splits: tuple[str, ...], rows: npt.NDArray[np.int64] | None) -> PackedDataset:
        return PackedDataset(self._directory, self._manifest, splits, rows, self._spec)

    @property
    def _chosen(self) -> list[Split]:
        return [split for split in self._manifest.splits if split.name in self._splits]

    @functools.cached_property
    def _table(self) -> RecordTable:
        shards = [shard for split in self._chosen for shard in split.shards]
        table = RecordTable.load(self._local, shards)
        return table if self._rows is None else table.take(self._rows)

    @property
    def _local(self) -> Path:
        if self._directory.path is None:
            raise RuntimeError(f"{self._directory} is not on local disk")
        return self._directory.path

    def _indexes(self, columns: list[str] | None = None) -> Iterator[tuple[Split, pa.Table]]:
        """The shards' indexes, in storage order."""
        shards = [(split, shard) for split in self._chosen for shard in split.shards]
        if self._source is None:
            for split, shard in shards:
                yield split, index.read(self._local / shard.index_path, columns)
            return
        for begin in range(0, len(shards), _INDEXES_AT_ONCE):
            some = shards[begin : begin + _INDEXES_AT_ONCE]
            names = [shard.index_path for _, shard in some]
            for (split, _), name, data in zip(
                some, names, self._source.files.read(names, Counters()), strict=True
            ):
                yield split, index.read(data, columns, name=self._directory.locate(name))

    @functools.cached_property
    def metadata(self) -> pa.Table:
        """An Arrow table, a row a record, in storage order; read when it is first asked for.

        Columns: `key`, `split`, `width`, `height` (pixels, as displayed), `format`,
        `bytes` (of the image), `label` (of the main object), `objects`, `labels`
        (map of label to count), and a column for each of the user's own.
        """
        import pyarrow as pa

        parts = []
        for split, part in self._indexes():
            part = part.drop_columns(["offset", "length", "orientation"])
            name = pa.array([split.name] * part.num_rows, pa.string())
            parts.append(part.add_column(1, "split", name))
        if not parts:
            return index.schema(dict(self._manifest.schema.metadata)).empty_table()
        table = pa.concat_tables(parts)
        return table if self._rows is None else table.take(pa.array(self._rows))

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        keys = [key for _, table in self._indexes(["key"]) for key in table["key"].to_pylist()]
        rows = range(len(keys)) if self._rows is None else self._rows.tolist()
        return {keys[row]: number for number, row in enumerate(rows)}

    def __len__(self) -> int:
        if self._rows is not None:
            return len(self._rows)
        return sum(split.statistics.records for split in self._chosen)

    @overload
    def __getitem__(self, which: int | str) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, which: slice | Sequence[int]) -> PackedDataset: ...
    def __getitem__(
        self, which: int | str | slice | Sequence[int]
    ) -> dict[str, Any] | PackedDataset:
        """A record by its number or key; several, as a PackedDataset, by a slice or numbers.

        A record is a dict: `key` str, `image` uint8 [h, w, 3] as displayed, `label`
        str or None (the main object's), `objects` with `label` list[str], `box`
        float32 [n, 4] (ymin, xmin, ymax, xmax in 0..1), `difficult`, `truncated`,
        `occluded`, `crowd` bool [n], and `metadata` dict.

        Raises:
            IndexError: The number is out of range.
            NoSuchKeyError: No record has that key.
            CorruptRecordError: The record does not match its checksums.
        """
        if isinstance(which, str):
            if which not in self._numbers:
                near = difflib.get_close_matches(which, self._numbers, n=3)
                hint = f" (near it: {', '.join(near)})" if near else ""
                raise NoSuchKeyError(f"{self._directory} holds no record {which!r}{hint}")
            return self._record(self._numbers[which])
        if isinstance(which, int | np.integer):
            number = int(which) + len(self) if which < 0 else int(which)
            if not 0 <= number < len(self):
                raise IndexError(f"record {which} of {len(self)}")
            return self._record(number)
        rows = np.arange(len(self), dtype=np.int64) if self._rows is None else self._rows
        if isinstance(which, slice):
            chosen = rows[which]
        else:
            numbers = np.asarray(which, np.int64).reshape(-1)
            if numbers.size and not (-len(self) <= numbers.min() <= numbers.max() < len(self)):
                raise IndexError(f"a number in {numbers.tolist()[:8]} is not below {len(self)}")
            chosen = rows[numbers]
        return self._with(self._splits, chosen)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._record, range(len(self)))

    def __repr__(self) -> str:
        splits = "+".join(self._splits)
        what = f"{self._directory} version {self.version} {splits}"
        return f"<PackedDataset {what}: {len(self)} records>"

    def _record(self, number: int) -> dict[str, Any]:
        if self._source is not None:
            return self._fetched(self._source, number)
        table = self._table
        path = table.files[table.shards[number]]
        offset, length = int(table.offsets[number]), int(table.lengths[number])
        try:
            payload = record.read_record(path, offset, length)
        except CorruptRecordError:  # once more, to name the record by its key as well
            key = index.key_at(path, offset) or ""
            payload = record.read_record(path, offset, length, key=key)
        return _as_dict(example.decode(payload), place=f"{path} at byte {offset}")

    def _fetched(self, source: RemoteSource, number: int) -> dict[str, Any]:
        rows = np.array([number if self._rows is None else self._rows[number]], np.int64)
        (payload,) = fetcher().read(source, rows, Counters())
        if payload is None:
            raise RuntimeError("a record was left out")
        return _as_dict(example.decode(payload), place=str(self._directory))

    def stream(
        self,
        *,
        batch_size: int | None = 32,
        image: ImageSpec | Raw | None = ImageSpec(size=(224, 224)),  # noqa: B008 (frozen)
        label: Literal["index", "one_hot", "multi_hot"] | None = "index",
        boxes: Literal["ragged"] | int | None = None,
        elements: Literal["tuple", "dict"] = "tuple",
        shuffle: bool = True,
        seed: int = 0,
        epochs: int | None = 1,
        world: tuple[int, int] = (0, 1),
        lanes: int = 16,
        block_size: int | None = None,
        transform: Callable[..., Any] | None = None,
        drop_remainder: bool = False,
        on_corrupt: Literal["raise", "skip"] = "raise",
        read_ahead: int | str = "64MB",
        log_every: float | None = None,
        service: str | None = None,
    ) -> StreamDataset:
        """A `tf.data.Dataset` of the records, decoded, augmented and batched.

        Each iteration gives the next epoch's order; the order depends on the
        records, `seed`, the epoch, `lanes` and `block_size` alone.

        Args:
            batch_size: Samples a batch; None: single samples.
            image: How images are made; `tfstream.RAW`: their stored bytes; None: left out.
            label: Of the main object: "index", int64; "one_hot", float32
                [classes]; of all objects: "multi_hot", float32 [classes]. Classes
                are the names of the label map and, last, the background. None: left out.
            boxes: "ragged": float32 [objects, 4] (ymin, xmin, ymax, xmax in 0..1 of
                the image as delivered); a number: padded with zeros, or cut, to that
                many; None: left out.
            elements: "tuple": (image, label, boxes) without what is left out;
                "dict": `key`, `image`, `label`, `boxes` and `box_labels` (-1: padding).
            shuffle: False: storage order.
            seed: Of the order and the augmentation, 0 to 2**63 - 1.
            epochs: How many follow one another; None: without end.
            world: (index, count) of the workers that share the stream.
            lanes: In how many parts an epoch is read in turn.
            block_size: Consecutive records that stay together in the shuffle;
                None: 1, a uniform shuffle; for remote datasets some 4 MiB of
                records, which are fetched together.
            transform: Called in the graph on each sample before batching, with its
                parts as arguments, or the dict.
            drop_remainder: Leave out the last, smaller batch; every worker then
                takes len // (batch_size * workers) batches.
            on_corrupt: "raise": tf.errors.DataLossError names file, offset and key;
                "skip": that record alone is left out, counted and reported.
            read_ahead: Of a remote dataset: what is fetched before it is asked for, in
                bytes, or such as "64MB".
            log_every: Log a line about the stream every so many seconds; None: never.
            service: The address of a `tf.data` service, grpc://host:port, of `tfstream dispatcher`
                and `tfstream worker`s, which make the samples. Each batch of an epoch is made
                once, by any of them, and holds what it holds without the service; only the order
                in which the batches come changes. (With "skip", batches after a corrupt record
                hold other samples, none twice, and each worker may end with a smaller one.) A
                dataset on local disk must lie under the same path on the workers. Where a worker
                died, the stream waits until one listens on its port again; batches that were with
                it are an error at the end of the epoch, except with "skip", where they are just
                missing. What workers read is not in `stats()`.

        Raises:
            InvalidArgumentError: An argument is out of its range.
            ServiceError: The service cannot be reached; or there is no compiled kernel.
        """
        from tfstream import service as service_lib
        from tfstream import stream as stream_lib

        statistics = [split.statistics for split in self._chosen]
        if block_size is None:
            block_size = self._block_size(lanes)
        records: RecordTable | RemoteRecords
        if service is not None:
            service_lib.check(service)
            records = self._remote(self._spec or self._local_spec, read_ahead)
        else:
            records = self._remote(self._spec, read_ahead) if self._spec else self._table
        return stream_lib.build(
            records,
            self.labels,
            elements=stream_lib.Elements(image, label, boxes, elements),
            order=Order(len(self), seed=seed, lanes=lanes, block_size=block_size, shuffle=shuffle),
            share=Share(
                len(self), world=world, batch_size=batch_size, drop_remainder=drop_remainder
            ),
            formats=frozenset(name for part in statistics for name in part.formats),
            rotated=any(part.rotated for part in statistics),
            largest=(
                int(max((part.height.max for part in statistics), default=0)),
                int(max((part.width.max for part in statistics), default=0)),
            ),
            epochs=epochs,
            transform=transform,
            on_corrupt=on_corrupt,
            log_every=log_every,
            service=service,
        )

    to_tensorflow = stream

    def prefetch(self, *, progress: Callable[[int], object] = lambda count: None) -> None:
        """Fetches all records into the page cache, before anybody asks for them.

        Args:
            progress: Is called with numbers of records that are there now.

        Raises:
            InvalidArgumentError: The dataset is on local disk, or was opened without
                `cache_dir`; or the records do not fit into the cache.
            StorageError: Something cannot be read.
        """
        if self._spec is None or self._source is None or self._spec.cache_dir is None:
            why = "is on local disk" if self._spec is None else "was opened without cache_dir"
            raise InvalidArgumentError(f"{self._directory} {why}: there is no cache to fill")
        numbers = np.arange(len(self), dtype=np.int64) if self._rows is None else self._rows
        needed, limit = int(self._mean_bytes * len(self)), self._spec.cache_limit
        if limit is not None and needed > limit:
            raise InvalidArgumentError(
                f"{len(self)} records of {self._directory} take about {needed} bytes, and the "
                f"cache may take {limit}: raise cache_limit, or choose fewer records"
            )
        warm(self._source, np.sort(numbers), self._mean_bytes, Counters(), progress)

    @property
    def _mean_bytes(self) -> float:
        """Of a record's frame."""
        shards = [shard for split in self._chosen for shard in split.shards]
        return sum(shard.bytes for shard in shards) / max(1, sum(s.records for s in shards))

    def _block_size(self, lanes: int) -> int:
        """Records that stay together where the user does not say: one, on local disk."""
        if self._spec is None:
            return 1
        fitting = int(_REMOTE_BLOCK_BYTES / max(1.0, self._mean_bytes))
        return max(1, min(fitting, len(self) // (_LEAST_BLOCKS_A_LANE * max(1, lanes))))

    @functools.cached_property
    def _local_spec(self) -> Spec:
        """What workers of a `tf.data` service must know of a dataset on local disk."""
        return Spec(
            uri=str(self._local.absolute()),
            version=self.version,
            generation=self._manifest.commit,
            opened=secrets.token_hex(4),
            splits=self._splits,
        )

    def _remote(self, spec: Spec, read_ahead: int | str) -> RemoteRecords:
        """What a stream must know of records that are fetched, or read elsewhere."""
        from tfstream.stream import RemoteRecords
        from tfstream.windows import window_records

        ahead = parse_size(read_ahead, "read_ahead")
        limit = spec.cache_limit
        if spec.cache_dir is not None and limit is not None and limit < 2 * ahead:
            raise InvalidArgumentError(
                f"cache_limit={limit} (bytes) is less than twice what is in flight, "
                f"read_ahead={read_ahead!r}: give the cache at least {2 * ahead} bytes, or a "
                "smaller read_ahead"
            )
        return RemoteRecords(spec, self._rows, window_records(self._mean_bytes, ahead))


def _as_dict(image: AnnotatedImage, *, place: str) -> dict[str, Any]:
    """A record as a user takes it by hand."""
    import PIL.Image
    import PIL.ImageOps

    try:
        with PIL.Image.open(io.BytesIO(image.encoded)) as stored:
            upright = PIL.ImageOps.exif_transpose(stored).convert("RGB")
    except Exception as error:  # Pillow raises many kinds for damaged images
        raise CorruptRecordError(
            f"the image of record {image.key!r} in {place} cannot be decoded: {error}"
        ) from error
    boxes = [(o.box.ymin, o.box.xmin, o.box.ymax, o.box.xmax) for o in image.objects]
    main = example.main_object(image)
    return {
        "key": image.key,
        "image": np.asarray(upright),
        "label": None if main is None else image.objects[main].label,
        "objects": {
            "label": [o.label for o in image.objects],
            "box": np.array(boxes, np.float32).reshape(-1, 4),
            "difficult": np.array([o.difficult for o in image.objects], bool),
            "truncated": np.array([o.truncated for o in image.objects], bool),
            "occluded": np.array([o.occluded for o in image.objects], bool),
            "crowd": np.array([o.crowd for o in image.objects], bool),
        },
        "metadata": {n: getattr(v, v.WhichOneof("kind")) for n, v in image.metadata.items()},
    }

"""PackedDataset: a version of a dataset, or a part of one; random access and the way to streams."""

from __future__ import annotations

import difflib
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from tfstream.errors import CorruptRecordError, InvalidArgumentError, NoSuchKeyError
from tfstream.format import example, index, manifest, record
from tfstream.format.label_map import LabelMap
from tfstream.format.table import RecordTable
from tfstream.images import ImageSpec, Raw
from tfstream.order import Order, Share

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.stream import StreamDataset
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage
    from tfstream.v1.manifest_pb2 import Manifest, Split

__all__ = ["PackedDataset", "open_dataset"]


def open_dataset(path: str | os.PathLike[str], *, version: int | None = None) -> PackedDataset:
    """Opens a packed dataset.

    Args:
        path: The dataset's directory.
        version: The number of a version; None: the newest.

    Returns:
        All its splits, one after the other; `.split(name)` gives one.

    Raises:
        DatasetNotFoundError: There is no dataset there, or no such version.
        ManifestError: Its manifest is damaged, or of a newer tfstream.
    """
    root = Path(path)
    loaded = manifest.load(root, version)
    return PackedDataset(root, loaded, tuple(split.name for split in loaded.splits), None)


class PackedDataset:
    """Packed records: a sequence with random access, and the maker of streams.

    Made by `tfstream.open` and `tfstream.pack`; `split`, slicing and indexing
    with a list give further ones, which copy nothing.
    """

    def __init__(
        self,
        root: Path,
        loaded: Manifest,
        splits: tuple[str, ...],
        rows: npt.NDArray[np.int64] | None,
    ) -> None:
        self._root = root
        self._manifest = loaded
        self._splits = splits
        self._rows = rows  # of the concatenated splits; None: all of them

    @property
    def path(self) -> str:
        """The dataset's directory."""
        return str(self._root)

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
                f"{self._root} has no split {name!r}: it has {', '.join(self._splits) or 'none'}"
            )
        if self._rows is None:
            return PackedDataset(self._root, self._manifest, (name,), None)
        begin = 0
        for split in self._chosen:
            if split.name == name:
                break
            begin += split.statistics.records
        end = begin + split.statistics.records
        rows = self._rows[(self._rows >= begin) & (self._rows < end)] - begin
        return PackedDataset(self._root, self._manifest, (name,), rows)

    @property
    def _chosen(self) -> list[Split]:
        return [split for split in self._manifest.splits if split.name in self._splits]

    @functools.cached_property
    def _table(self) -> RecordTable:
        shards = [shard for split in self._chosen for shard in split.shards]
        table = RecordTable.load(self._root, shards)
        return table if self._rows is None else table.take(self._rows)

    @functools.cached_property
    def metadata(self) -> pa.Table:
        """An Arrow table, a row a record, in storage order; read when it is first asked for.

        Columns: `key`, `split`, `width`, `height` (pixels, as displayed), `format`,
        `bytes` (of the image), `label` (of the main object), `objects`, `labels`
        (map of label to count), and a column for each of the user's own.
        """
        import pyarrow as pa

        parts = []
        for split in self._chosen:
            for shard in split.shards:
                part = index.read(self._root / shard.index_path)
                part = part.drop_columns(["offset", "length", "orientation"])
                name = pa.array([split.name] * part.num_rows, pa.string())
                parts.append(part.add_column(1, "split", name))
        if not parts:
            return index.schema(dict(self._manifest.schema.metadata)).empty_table()
        table = pa.concat_tables(parts)
        return table if self._rows is None else table.take(pa.array(self._rows))

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        shards = [shard for split in self._chosen for shard in split.shards]
        columns = [index.read(self._root / shard.index_path, ["key"])["key"] for shard in shards]
        keys = [key for column in columns for key in column.to_pylist()]
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
                raise NoSuchKeyError(f"{self._root} holds no record {which!r}{hint}")
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
        return PackedDataset(self._root, self._manifest, self._splits, chosen)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._record, range(len(self)))

    def __repr__(self) -> str:
        splits = "+".join(self._splits)
        return f"<PackedDataset {self._root} version {self.version} {splits}: {len(self)} records>"

    def _record(self, number: int) -> dict[str, Any]:
        table = self._table
        path = table.files[table.shards[number]]
        offset, length = int(table.offsets[number]), int(table.lengths[number])
        try:
            payload = record.read_record(path, offset, length)
        except CorruptRecordError:  # once more, to name the record by its key as well
            key = index.key_at(path, offset) or ""
            payload = record.read_record(path, offset, length, key=key)
        return _as_dict(example.decode(payload), path=path, offset=offset)

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
                None: 1, a uniform shuffle.
            transform: Called in the graph on each sample before batching, with its
                parts as arguments, or the dict.
            drop_remainder: Leave out the last, smaller batch; every worker then
                takes len // (batch_size * workers) batches.
            on_corrupt: "raise": tf.errors.DataLossError names file, offset and key;
                "skip": that record alone is left out, counted and reported.

        Raises:
            InvalidArgumentError: An argument is out of its range.
        """
        from tfstream import stream as stream_lib

        statistics = [split.statistics for split in self._chosen]
        return stream_lib.build(
            self._table,
            self.labels,
            elements=stream_lib.Elements(image, label, boxes, elements),
            order=Order(
                len(self), seed=seed, lanes=lanes, block_size=block_size or 1, shuffle=shuffle
            ),
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
        )

    to_tensorflow = stream


def _as_dict(image: AnnotatedImage, *, path: str, offset: int) -> dict[str, Any]:
    """A record as a user takes it by hand."""
    import PIL.Image
    import PIL.ImageOps

    try:
        with PIL.Image.open(io.BytesIO(image.encoded)) as stored:
            upright = PIL.ImageOps.exif_transpose(stored).convert("RGB")
    except Exception as error:  # Pillow raises many kinds for damaged images
        raise CorruptRecordError(
            f"the image of record {image.key!r} in {path} at byte {offset} cannot be decoded: "
            f"{error}"
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

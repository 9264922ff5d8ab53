"""PackedDataset: a version of a dataset, or a part of one, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tfstream import streaming
from tfstream.adapted import Adapted
from tfstream.asking import Asking
from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec, Raw

if TYPE_CHECKING:
    import pandas as pd

    from tfstream.export import Exported
    from tfstream.stream import StreamDataset

__all__ = ["PackedDataset"]


class PackedDataset(Asking, Adapted):
    """Packed records: a sequence with random access, and the maker of streams.

    Made by `tfstream.open` and `tfstream.pack`; `split`, `slice` and their like
    give further ones. Those copy nothing, and find out which records they hold when they are
    first asked for them.
    """

    def to_pandas(self) -> pd.DataFrame:
        """`metadata` as a data frame, `labels` as dicts; needs `pip install 'tfstream[pandas]'`."""
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise InvalidArgumentError(
                "to_pandas needs pandas: pip install 'tfstream[pandas]'"
            ) from error
        return self.metadata.to_pandas(maps_as_pydicts="strict")

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        format: str = "auto",
        template: str | None = None,
        progress: bool = False,
    ) -> Exported:
        """Writes the records as files of another format; `tfstream.export.export` says how.

        >>> tfstream.open("packed").export("coco", format="coco").lost      # doctest: +SKIP
        {'titles of labels': 12}
        """
        from tfstream.export import export

        return export(self, directory, format=format, template=template, progress=progress)

    def describe(self) -> dict[str, Any]:
        """What there is, in numbers.

        Returns:
            `records`, `splits` (records by split), `bytes` (of the images), `labels` (name to
            (records that have it, its objects), most objects first); `width`, `height` (pixels) and
            `objects` as (least, mean, most); `metadata`: for each of the user's columns its `type`,
            how many values are `missing`, how many are `distinct`, and the `least` and `most`.
        """
        from tfstream.describe import describe

        return describe(self.metadata, dict(self._version.manifest.schema.metadata))

    def __repr__(self) -> str:
        what = self._named
        if self._select is not None and "_selection" not in self.__dict__:
            return f"<PackedDataset {what}>"  # not worth a look at the indexes
        return (
            f"<PackedDataset {what}: {len(self)} {'records' if self._members == 1 else 'points'}>"
        )

    def stream(
        self,
        *,
        batch_size: int | None = 32,
        image: ImageSpec | Raw | None = ImageSpec(size=(224, 224)),  # noqa: B008 (frozen)
        label: Literal["index", "one_hot", "multi_hot"] | None = "index",
        boxes: Literal["ragged"] | int | None = None,
        masks: Literal["instance", "semantic"] | None = None,
        keypoints: Sequence[str] | int | None = None,
        elements: Literal["tuple", "dict"] = "tuple",
        shuffle: bool = True,
        seed: int = 0,
        epochs: int | None = 1,
        world: tuple[int, int] = (0, 1),
        lanes: int = 16,
        block_size: int | None = None,
        transform: Callable[..., Any] | None = None,
        drop_remainder: bool = False,
        pad_remainder: bool = False,
        on_corrupt: Literal["raise", "skip"] = "raise",
        read_ahead: int | str = "64MB",
        log_every: float | None = None,
        service: str | None = None,
        state: Mapping[str, Any] | None = None,
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
            masks: Stored ones and filled polygons, as large as the image. "instance": uint8
                [objects, height, width], 1 where the object of each box is. "semantic": int32
                [height, width], the class of each pixel (of overlapping objects the one with the
                smaller box; elsewhere the background), -1 outside the picture, where the annotation
                says that nobody knows (VOC's borders), and where the label map has no background.
                None: left out.
            keypoints: Names, as `tfstream.COCO_KEYPOINTS`, or how many each object has: float32
                [objects, keypoints, 3] (y and x in 0..1 of the image as delivered, and COCO's
                visibility; zeros where a point is not known or outside the image), those of each
                box's object. Mirrored, left and right ones change places. None: left out.
            elements: "tuple": (image, label, boxes, masks, keypoints) without what is left out;
                "dict": `key`, what is named above, `box_labels` (-1: padding), and `seed`, int32
                [2]: the sample's own in this epoch, for what is random in code of yours.
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
            pad_remainder: Fill the last batch, of every worker alike, with zeros (index labels:
                -1, label maps as well). Tuples are then (image, label, weight), the weight
                float32, 0 for padding, or (image, label map); dicts have `present`, bool.
            on_corrupt: "raise": tf.errors.DataLossError names file, offset and key;
                "skip": that record alone is left out, counted and reported.
            read_ahead: Of a remote dataset: what is fetched before it is asked for, in
                bytes, or such as "64MB".
            log_every: Log a line about the stream every so many seconds; None: never.
            service: The address of a `tf.data` service, grpc://host:port, of `tfstream dispatcher`
                and `tfstream worker`s, which make the samples: the same batches in the same order
                as without the service. A dataset on local disk must lie under the same path on
                the workers. A worker that dies costs no sample: what does not come for 5 s while
                other batches do is asked for again; where no worker is left, the stream waits
                for one. Up to 1 GiB of batches that came before their turn is kept in memory.
                (With "skip", `transform` is also called on what stands in for a corrupt record.)
                What workers read is not in `stats()`.
            state: Begin where `StreamDataset.state` was taken, of a stream over these very records
                in this order: any number of workers can go on there, at the very next sample.

        Raises:
            InvalidArgumentError: An argument is out of its range.
            ServiceError: The service cannot be reached; or there is no compiled kernel.
        """
        return streaming.stream_of(
            self._version,
            self._splits,
            self._selection,
            self.stored,
            what=self._named,
            read_ahead=read_ahead,
            service=service,
            batch_size=batch_size,
            image=image,
            label=label,
            boxes=boxes,
            masks=masks,
            keypoints=keypoints,
            elements=elements,
            shuffle=shuffle,
            seed=seed,
            epochs=epochs,
            world=world,
            lanes=lanes,
            block_size=block_size,
            transform=transform,
            drop_remainder=drop_remainder,
            pad_remainder=pad_remainder,
            state=state,
            on_corrupt=on_corrupt,
            log_every=log_every,
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
        streaming.prefetch(self._version, self._splits, self.stored.numbers, progress)

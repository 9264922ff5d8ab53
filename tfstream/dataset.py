"""PackedDataset: a version of a dataset, or a part of one; what one can ask of it, and streams."""

from __future__ import annotations

import builtins
import collections
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from tfstream import streaming
from tfstream.adapted import Adapted
from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec, Raw
from tfstream.selection import Missing, Selection, check_members, choose, data_points

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from tfstream.stream import StreamDataset

    Integers = npt.NDArray[np.int64]

__all__ = ["PackedDataset"]

# What steps of a selection say that go by a hash of the key.
_DRAWING = ("sample(", "partition(", "@sample:", "@split:")


class PackedDataset(Adapted):
    """Packed records: a sequence with random access, and the maker of streams.

    Made by `tfstream.open` and `tfstream.pack`; `split`, `slice` and their like
    give further ones. Those copy nothing, and find out which records they hold when they are
    first asked for them.
    """

    def _with(self, step: str, select: Callable[[], Selection]) -> PackedDataset:
        return PackedDataset(self._version, self._splits, select, query=(*self._query, step))

    def split(self, name: str) -> PackedDataset:
        """One split.

        Raises:
            InvalidArgumentError: There is no split of that name.
        """
        if name not in self.splits:
            raise InvalidArgumentError(
                f"{self._version.directory} has no split {name!r}: "
                f"it has {', '.join(self.splits) or 'none'}"
            )
        step = f"split({name!r})"
        chosen = self._selection
        if chosen is None:
            return PackedDataset(self._version, (name,), query=(*self._query, step))
        if chosen.parts is not None:
            return self._with(step, lambda: chosen.part(name))
        rows = self._rows("split")
        assert rows is not None
        begin = self._version.records(self._splits[: self._splits.index(name)])
        end = begin + self._version.records((name,))
        return PackedDataset(
            self._version,
            (name,),
            lambda: Selection(rows[(rows >= begin) & (rows < end)] - begin),
            query=(*self._query, step),
        )

    def slice(self, query: str) -> PackedDataset:
        """The records that a query selects, in the order that they have here.

        The query is checked at once, and answered when its records are first needed.

        Args:
            query: Such as `labels.dog >= 1 and width > 200`, or `label:dog @split:0.8:0.2`; the
                language is described in docs/query.md.

        Raises:
            QueryError: The query cannot be understood, or names a field or label that there is
                not; it shows where.
            InvalidArgumentError: It has `@version`, and this is part of a version already.

        >>> data = tfstream.open("packed")                                 # doctest: +SKIP
        >>> len(data.slice("labels.dog >= 1 and not width < 200"))         # doctest: +SKIP
        """
        from tfstream import query as language

        parsed = language.parse(query)
        base = self if parsed.version is None else self._of_version(parsed.version)
        fields = base.fields
        parsed, condition = language.bind(parsed, fields), language.compile_where(parsed, fields)

        def select() -> Selection:
            records = base._version.records(base._splits)
            rows, seed = base._rows("slice"), parsed.seed + base._draws
            chosen = choose(parsed, condition, base.stored.engine, rows, records, seed=seed)
            if chosen.parts is None and chosen.elements.ndim == 1:
                return base._among(chosen.elements)
            return chosen

        return base._with(f"slice({query!r})", select)

    def sample(self, size: int | float, seed: int = 1337) -> PackedDataset:
        """Some of the records, drawn without repetition, in the order that they have here.

        Which ones follows from the keys and the seed alone. Of a fraction, other records come and
        go without changing that.

        Args:
            size: How many, as an int; which fraction of them, as a float in 0..1.
            seed: 0 to 2**63 - 1. What is a sample, or a part of a partition, already counts it up
                by one, so that it can be drawn from again.
        """
        from tfstream.query import splitting

        if isinstance(size, bool | str):
            raise InvalidArgumentError(f"sample takes an int, or a float in 0..1 (got {size!r})")
        if isinstance(size, float) and not 0 <= size <= 1:
            raise InvalidArgumentError(f"sample takes a fraction in 0..1, or a number (got {size})")
        if isinstance(size, int) and size < 0:
            raise InvalidArgumentError(f"sample takes a positive number (got {size})")

        def select() -> Selection:
            rows, seed_here = self._rows("sample"), seed + self._draws
            return self._among(splitting.sample(self.stored.engine, rows, size, seed=seed_here))

        return self._with(f"sample({size}, seed={seed})", select)

    def limit(self, count: int, offset: int = 0) -> PackedDataset:
        """The first elements, after leaving out `offset` of them."""
        if count < 0 or offset < 0:
            raise InvalidArgumentError(f"limit takes positive numbers (got {count}, {offset})")
        return self[offset : offset + count]

    def sort_by(self, *fields: str) -> PackedDataset:
        """The same records in another order: that of a stream with `shuffle=False`.

        Args:
            fields: Names of columns; "-width" is descending. Records without a value come last.

        Raises:
            InvalidArgumentError: There is no such field.
        """
        by = [(self._column(field.removeprefix("-")), field.startswith("-")) for field in fields]
        named = ", ".join(map(repr, fields))
        return self._with(
            f"sort_by({named})",
            lambda: self._among(self.stored.engine.sorted(self._rows("sort_by"), by)),
        )

    def group_by(self, field: str) -> dict[Any, PackedDataset]:
        """The records by the value of a field, in ascending order of it; None comes last.

        Raises:
            InvalidArgumentError: There is no such field.
        """
        groups = self.stored.engine.groups(self._rows("group_by"), self._column(field))
        return {
            value: self._with(
                f"group_by({field!r})[{value!r}]", functools.partial(self._among, rows)
            )
            for value, rows in groups
        }

    def partition(
        self,
        *,
        by: str | None = None,
        seed: int = 1337,
        stratify: str | None = None,
        **fractions: float,
    ) -> Any:
        """Parts that share no record, such as `train=0.8, val=0.1, test=0.1`.

        Which part a record is in follows from its key and the seed alone: records that are added
        later move none, and the proportions are those of chance.

        Args:
            by: A field: records with the same value come into the same part.
            seed: Another one gives other parts. What is a part of a partition, or a sample, already
                counts it up by one, so that it can be divided again.
            stratify: A field: each of its values is divided in these very proportions. The parts
                are then cut in the order of the hashes, so that records that are added later can
                move some at the cuts.
            fractions: Of the parts, by their names; they sum to at most 1.

        Returns:
            A named tuple of datasets, in the order of the arguments.

        Raises:
            InvalidArgumentError: The fractions sum to more than 1, or there is no such field.

        >>> train, val = data.partition(train=0.9, val=0.1)               # doctest: +SKIP
        """
        from tfstream.query import splitting

        splitting.check_fractions(fractions)
        within = None if by is None else self._column(by)
        strata = None if stratify is None else self._column(stratify)

        @functools.cache
        def parts() -> Mapping[str, Integers]:
            return splitting.partition(
                self.stored.engine,
                self._rows("partition"),
                fractions,
                by=within,
                seed=seed + self._draws,
                stratify=strata,
            )

        asked = ", ".join(f"{name}={fraction}" for name, fraction in fractions.items())
        asked += f", by={by!r}" * (by is not None) + f", seed={seed}"
        asked += f", stratify={stratify!r}" * (stratify is not None)

        def part(name: str) -> PackedDataset:
            return self._with(f"partition({asked}).{name}", lambda: Selection(parts()[name]))

        return collections.namedtuple("Partition", fractions)(*map(part, fractions))

    def data_points(
        self, by: str, *, size: int | None = None, missing: Missing = "pad"
    ) -> PackedDataset:
        """Records that have the same value of a field, together as one element each.

        Points come in ascending order of the value, their members in ascending order of the key;
        records without a value are in none. In streams, every part of an element has one more
        axis, the members', after the batch's; members of a point are cropped and flipped alike.

        Args:
            by: The field.
            size: Members of a point; None: as many as the largest has.
            missing: Of points with fewer members: "pad" has images and labels of zeros (index
                labels: -1) and, in dicts, `present` False; "drop" leaves them out; "error" refuses.

        Raises:
            InvalidArgumentError: There is no such field, or a point has another size than allowed.
        """
        check_members(size, missing)
        column = self._column(by)

        def select() -> Selection:
            rows = self._rows("data_points")
            engine = self.stored.engine
            return Selection(data_points(engine, rows, column, size=size, missing=missing))

        return self._with(f"data_points({by!r}, size={size}, missing={missing!r})", select)

    def save(self, name: str) -> None:
        """Keeps this selection beside the manifest, under a name, for ever.

        `tfstream.open(path, slice=name)` gives the same records of the same version again.

        Args:
            name: Letters, digits, ".", "_" and "-".

        Raises:
            DatasetExistsError: There is another slice of that name.
            InvalidArgumentError: The name cannot be used.
            StorageError: It cannot be written.
        """
        from tfstream.format import slices

        rows = self._rows("save")
        slices.save(
            self._version.directory,
            slices.SavedSlice(
                name=name,
                version=self.version,
                commit=self._version.manifest.commit,
                query=self._query,
                records=self._from_all(np.arange(len(self)) if rows is None else rows),
                parts=None if self._selection is None else self._selection.parts,
            ),
        )

    def _from_all(self, rows: Integers) -> Integers:
        """Numbers over all splits of the version, from those over the chosen ones."""
        out = rows.copy()
        begin = 0
        for split in self._version.chosen(self._splits):
            end = begin + split.statistics.records
            before = self._version.manifest.splits[: self._version.names.index(split.name)]
            shift = sum(other.statistics.records for other in before) - begin
            out[(rows >= begin) & (rows < end)] += shift
            begin = end
        return out

    def _of_version(self, version: str) -> PackedDataset:
        from tfstream.opening import open_version

        if self._query:
            steps = ".".join(self._query)
            raise InvalidArgumentError(
                f"@version:{version} chooses among whole versions, and this is {steps} of version "
                f"{self.version}: use it on what tfstream.open gives"
            )
        return open_version(self._version, version)

    def _among(self, rows: Integers) -> Selection:
        """Some of the records, by their numbers, in the splits that a query made of them."""
        held = self._selection
        return Selection(rows) if held is None else held.holding(rows)

    def _column(self, field: str) -> str:
        """A field with one value a record, checked.

        Raises:
            InvalidArgumentError: There is no such field, or it has several values a record.
        """
        if self.fields.resolve(field).kind == "labels":
            raise InvalidArgumentError(
                f"a field with one value a record is needed here, such as label (got {field!r})"
            )
        return field

    @property
    def _draws(self) -> int:
        """How often hashes have chosen among the records: those that are left have similar ones."""
        return sum(any(word in step for word in _DRAWING) for step in self._query)

    @property
    def _selected(self) -> Selection:
        """The selection, also where it is all there is."""
        return self._selection or Selection(np.arange(len(self), dtype=np.int64))

    def to_pandas(self) -> pd.DataFrame:
        """`metadata` as a data frame, `labels` as dicts; needs `pip install 'tfstream[pandas]'`."""
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise InvalidArgumentError(
                "to_pandas needs pandas: pip install 'tfstream[pandas]'"
            ) from error
        return self.metadata.to_pandas(maps_as_pydicts="strict")

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

    @overload
    def __getitem__(self, which: int | str) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, which: builtins.slice | Sequence[int] | list[str]) -> PackedDataset: ...
    def __getitem__(
        self, which: int | str | builtins.slice | Sequence[int] | list[str]
    ) -> dict[str, Any] | PackedDataset:
        """A record by its number or key; several, as a PackedDataset, by a slice, numbers or keys.

        A mask, a bool for each element, chooses as in NumPy.

        A record is a dict: `key` str, `image` uint8 [h, w, 3] as displayed, `label`
        str or None (the main object's), `objects` with `label` list[str], `box`
        float32 [n, 4] (ymin, xmin, ymax, xmax in 0..1), `difficult`, `truncated`,
        `occluded`, `crowd` bool [n], and `metadata` dict. A data point is a dict with
        `members`, a list of records, None where one is missing.

        Raises:
            IndexError: The number is out of range.
            NoSuchKeyError: No record has that key.
            CorruptRecordError: The record does not match its checksums.
        """
        if isinstance(which, str):
            return self._element(int(self._places([which])[0]))
        if isinstance(which, int | np.integer):
            number = int(which) + len(self) if which < 0 else int(which)
            if not 0 <= number < len(self):
                raise IndexError(f"record {which} of {len(self)}")
            return self._element(number)
        if isinstance(which, builtins.slice):
            bounds = which

            def several() -> Selection:
                selected = self._selected
                return selected.take(np.arange(len(selected), dtype=np.int64)[bounds])

            asked = ":".join(
                "" if part is None else str(part) for part in (which.start, which.stop)
            )
            asked += "" if which.step is None else f":{which.step}"
            return self._with(f"[{asked}]", several)
        if isinstance(next(iter(which), None), str):
            places = self._places([str(key) for key in which])
        else:
            places = self._numbers(which)
            if places.size and not (-len(self) <= places.min() <= places.max() < len(self)):
                raise IndexError(f"a number in {places.tolist()[:8]} is not below {len(self)}")
        return self._with(f"[{len(places)} chosen]", lambda: self._selected.take(places))

    def _numbers(self, which: Sequence[Any]) -> Integers:
        """Numbers as they are; a mask, one bool an element, as the numbers of what is true."""
        values = np.asarray(which).reshape(-1)
        if values.dtype != np.bool_:
            return values.astype(np.int64, casting="same_kind" if values.size else "unsafe")
        if len(values) != len(self):
            raise InvalidArgumentError(
                f"a mask has a bool for each of the {len(self)} elements (got {len(values)})"
            )
        return np.flatnonzero(values)

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
            pad_remainder: Fill the last batch, of every worker alike, with zeros (index labels:
                -1). Tuples are then (image, label, weight), the weight float32, 0 for
                padding; dicts have `present`, bool.
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

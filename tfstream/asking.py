"""What one can ask of records: parts of them by name, by query, by chance, by number."""

from __future__ import annotations

import builtins
import collections
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.records import Records
from tfstream.selection import Missing, Selection, check_members, choose, data_points

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    Integers = npt.NDArray[np.int64]

__all__ = ["Asking"]


class Asking(Records):
    """Records that give parts of themselves, each of the same class.

    Nothing is copied, and which records a part holds is found out when that is first asked.
    """

    def _with(self, step: str, select: Callable[[], Selection], *, draws: int = 0) -> Self:
        """A part of these.

        Args:
            step: How it is chosen, in words.
            select: Chooses it.
            draws: How often hashes of the key choose on the way.
        """
        query, draws = (*self._query, step), self._draws + draws
        return type(self)(self._version, self._splits, select, query=query, draws=draws)

    def split(self, name: str) -> Self:
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
            query = (*self._query, step)
            return type(self)(self._version, (name,), query=query, draws=self._draws)
        if chosen.parts is not None:
            return self._with(step, lambda: chosen.part(name))
        rows = self._rows("split")
        assert rows is not None
        begin = self._version.records(self._splits[: self._splits.index(name)])
        end = begin + self._version.records((name,))
        return type(self)(
            self._version,
            (name,),
            lambda: Selection(rows[(rows >= begin) & (rows < end)] - begin),
            query=(*self._query, step),
            draws=self._draws,
        )

    def slice(self, query: str) -> Self:
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
            base._rows("slice")
            held, seed = base._selection, parsed.seed + base._draws
            return choose(parsed, condition, base.stored.engine, held, records, seed=seed)

        drawn = parsed.sample is not None or isinstance(parsed.split, tuple)
        return base._with(f"slice({query!r})", select, draws=int(drawn))

    def sample(self, size: int | float, seed: int = 1337) -> Self:
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

        return self._with(f"sample({size}, seed={seed})", select, draws=1)

    def limit(self, count: int, offset: int = 0) -> Self:
        """The first elements, after leaving out `offset` of them."""
        if count < 0 or offset < 0:
            raise InvalidArgumentError(f"limit takes positive numbers (got {count}, {offset})")
        return self[offset : offset + count]

    def sort_by(self, *fields: str) -> Self:
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

    def group_by(self, field: str) -> dict[Any, Self]:
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

        def chosen(name: str) -> Selection:
            held = self._selection
            return Selection(parts()[name], located=None if held is None else held.located)

        named = {
            name: self._with(f"partition({asked}).{name}", functools.partial(chosen, name), draws=1)
            for name in fractions
        }
        return collections.namedtuple("Partition", fractions)(**named)

    def data_points(self, by: str, *, size: int | None = None, missing: Missing = "pad") -> Self:
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
            engine = self.stored.engine
            if self._rows("data_points") is None or self._selection is None:
                return Selection(data_points(engine, None, column, size=size, missing=missing))
            return self._selection.joined(engine, column, size=size, missing=missing)

        return self._with(f"data_points({by!r}, size={size}, missing={missing!r})", select)

    def save(self, name: str) -> None:
        """Keeps this selection, of records or data points, beside the manifest, for ever.

        `tfstream.open(path, slice=name)` gives the same records of the same version again.

        Args:
            name: Letters, digits, ".", "_" and "-".

        Raises:
            DatasetExistsError: There is another slice of that name.
            InvalidArgumentError: The name cannot be used.
            StorageError: It cannot be written.
        """
        from tfstream.format import slices

        chosen = self._selected
        slices.save(
            self._version.directory,
            slices.SavedSlice(
                name=name,
                version=self.version,
                commit=self._version.manifest.commit,
                query=self._query,
                draws=self._draws,
                records=self._from_all(chosen.elements),
                parts=chosen.parts,
            ),
        )

    def _from_all(self, rows: Integers) -> Integers:
        """Numbers over all splits of the version, from those over the chosen ones; -1 stays."""
        out = rows.copy()
        begin = 0
        for split in self._version.chosen(self._splits):
            end = begin + split.statistics.records
            before = self._version.manifest.splits[: self._version.names.index(split.name)]
            shift = sum(other.statistics.records for other in before) - begin
            out[(rows >= begin) & (rows < end)] += shift
            begin = end
        return out

    def _of_version(self, version: str) -> Self:
        from tfstream.opening import open_version

        if self._query:
            steps = ".".join(self._query)
            raise InvalidArgumentError(
                f"@version:{version} chooses among whole versions, and this is {steps} of version "
                f"{self.version}: use it on what tfstream.open gives"
            )
        other = open_version(self._version, version)
        return type(self)(other, other.names)

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
    def _selected(self) -> Selection:
        """The selection, also where it is all there is."""
        if self._selection is None:
            return Selection(np.arange(len(self), dtype=np.int64))
        return self._selection

    @overload
    def __getitem__(self, which: int | str) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, which: builtins.slice | Sequence[int] | list[str]) -> Self: ...
    def __getitem__(
        self, which: int | str | builtins.slice | Sequence[int] | list[str]
    ) -> dict[str, Any] | Self:
        """A record by its number or key; several, as a part, by a slice, numbers or keys.

        A mask, a bool for each element, chooses as in NumPy.

        A record is a dict: `key` str, `image` uint8 [h, w, 3] as displayed, `label`
        str or None (the main object's), `objects` with `label` list[str], `box`
        float32 [n, 4] (ymin, xmin, ymax, xmax in 0..1), `difficult`, `truncated`,
        `occluded`, `crowd` bool [n], `mask` (bool [h, w], or None, each), `polygons` (a list of
        float32 [corners, 2], y and x, each), `keypoints` (float32 [k, 3], y, x and visibility,
        each) and `keypoint_names`, and `metadata` dict; `void` bool [h, w] where the annotation
        says that nobody knows what some pixels show. Without images, it has `key`, `tensor` (an
        array), `label`, `target` (an array, or None) and `metadata`. A data point is a dict with
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

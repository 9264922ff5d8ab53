"""Records by number and key: the sequence that a PackedDataset is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import InvalidArgumentError, NoSuchKeyError
from tfstream.stored import StoredRecords
from tfstream.unpack import unpack

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from tfstream.format.label_map import LabelMap
    from tfstream.opened import OpenedVersion
    from tfstream.query.fields import Fields
    from tfstream.selection import Selection

    Integers = npt.NDArray[np.int64]

__all__ = ["Records"]

_SIMILAR = 0.6  # keys that are less alike (Jaro-Winkler, 0 to 1) are not worth a mention


def _again(
    kind: type[Records],
    version: OpenedVersion,
    splits: tuple[str, ...],
    selection: Selection | None,
    query: tuple[str, ...],
    draws: int,
) -> Records:
    """Records that were pickled."""
    if selection is None:
        return kind(version, splits, query=query, draws=draws)
    chosen = selection
    return kind(version, splits, lambda: chosen, query=query, draws=draws)


class Records:
    """Selected records of some splits of a version.

    Args:
        version: Whose they are.
        splits: Whose records are numbered, one split after the other.
        select: Chooses among them, when they are first needed; None: all of them.
        query: How they were chosen, a step each.
        draws: How often hashes of the key have chosen among them: those that are left have
            similar ones.
    """

    def __init__(
        self,
        version: OpenedVersion,
        splits: tuple[str, ...],
        select: Callable[[], Selection] | None = None,
        *,
        query: tuple[str, ...] = (),
        draws: int = 0,
    ) -> None:
        self._version = version
        self._splits = splits
        self._select = select
        self._query = query
        self._draws = draws

    def __reduce__(self) -> tuple[Any, ...]:
        """What is pickled is which records these are: it is found out for that, if need be."""
        arguments = (self._version, self._splits, self._selection, self._query, self._draws)
        return _again, (type(self), *arguments)

    @functools.cached_property
    def _selection(self) -> Selection | None:
        return None if self._select is None else self._select()

    @property
    def _members(self) -> int:
        """Records an element: more than one of data points."""
        return 1 if self._selection is None else self._selection.members

    @functools.cached_property
    def stored(self) -> StoredRecords:
        """The records as they are stored, for whoever makes files of them."""
        return StoredRecords(self._version, self._splits, self._selection)

    @property
    def fields(self) -> Fields:
        """What names mean in a query."""
        return self._version.fields

    def _rows(self, step: str) -> Integers | None:
        """The numbers of the records; None: all.

        Raises:
            InvalidArgumentError: These are data points, and `step` is about records.
        """
        if self._selection is None:
            return None
        if self._selection.elements.ndim > 1:
            raise InvalidArgumentError(
                f"{step} is about records, and these are data points: do it first, and make data "
                "points of what it gives"
            )
        return self._selection.elements

    @property
    def path(self) -> str:
        """The dataset's directory or URI."""
        return self._version.directory.uri

    @property
    def version(self) -> int:
        """The number of the version that is read."""
        return self._version.manifest.version

    @property
    def query(self) -> tuple[str, ...]:
        """How this part was chosen, a step each; empty: all records."""
        return self._query

    @property
    def _named(self) -> str:
        """What this is, for messages."""
        return ".".join([f"{self._version.directory} version {self.version}", *self._query])

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that the records come from, or that a query's `@split` made."""
        if self._selection is not None and self._selection.parts is not None:
            return tuple(self._selection.parts)
        return self._splits

    @property
    def labels(self) -> LabelMap:
        """The label map: `.names`, `.id` (name to index), `.background` (last index or None)."""
        return self._version.labels

    @functools.cached_property
    def metadata(self) -> pa.Table:
        """An Arrow table, a row a record, in the dataset's order; read when it is first asked for.

        Columns: `key`, `split`, `width`, `height` (pixels, as displayed), `format`,
        `bytes` (of the image), `label` (of the main object), `objects`, `labels`
        (map of label to count), and a column for each of the user's own. Of data points: a row a
        member, and the column `data_point`, its number.
        """
        import pyarrow as pa

        flat = None if self._selection is None else self._selection.elements.reshape(-1)
        if self._members > 1 and flat is not None:
            flat = flat[flat >= 0]
        table = self.stored.engine.table(flat, None)
        if self._selection is None:
            return table
        numbers = np.arange(len(self))
        if self._selection.members > 1:
            numbers, _ = np.nonzero(self._selection.elements >= 0)
        if self._selection.parts is not None:
            names = np.full(len(self), None, object)
            for name, places in self._selection.parts.items():
                names[places] = name
            place = table.column_names.index("split")
            table = table.set_column(place, "split", pa.array(names[numbers], pa.string()))
        if self._selection.members > 1:
            table = table.append_column("data_point", pa.array(numbers))
        return table

    def __len__(self) -> int:
        if self._selection is None:
            return self._version.records(self._splits)
        return len(self._selection)

    def _similar_keys(self, key: str) -> list[str]:
        """Keys that somebody may have meant."""
        rows = self._rows("looking up a key")
        column = self.stored.engine.field("key").sql
        values = self.stored.engine.evaluate(rows, f"jaro_winkler_similarity({column}, ?)", [key])
        best = np.argsort(-values, kind="stable")[:3]
        best = best[values[best] > _SIMILAR]
        chosen = best if rows is None else rows[best]
        return list(self.stored.engine.table(chosen, ["key"])["key"].to_pylist())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._element, range(len(self)))

    def _places(self, keys: list[str]) -> Integers:
        """Where the records with these keys are among the elements."""
        found, names = self._version.keys(self._splits).find(keys)
        rows = self._rows("looking up a key")
        if rows is not None:
            order = np.argsort(rows, kind="stable")
            at = np.searchsorted(rows, found, sorter=order).clip(max=max(len(rows) - 1, 0))
            there = rows[order[at]] == found if len(rows) else np.zeros(len(found), bool)
            names = [name for name, is_there in zip(names, there, strict=True) if is_there]
            found = order[at[there]] if len(rows) else found[:0]
        places = dict(zip(names, found.tolist(), strict=True))
        for key in keys:
            if key not in places:
                near = self._similar_keys(key)
                hint = f" (near it: {', '.join(near)})" if near else ""
                raise NoSuchKeyError(f"{self._named} holds no record {key!r}{hint}")
        return np.array([places[key] for key in keys], np.int64)

    def _element(self, number: int) -> dict[str, Any]:
        if self._selection is None or self._selection.elements.ndim == 1:
            return self._record(number)
        places = range(number * self._members, (number + 1) * self._members)
        return {
            "members": [
                None if row < 0 else self._record(place)
                for place, row in zip(
                    places, self._selection.elements[number].tolist(), strict=True
                )
            ]
        }

    def _record(self, place: int) -> dict[str, Any]:
        (image,) = self.stored.images(np.array([place], np.int64))
        taken = unpack(image, place=self.stored.place_of(place))
        return taken | {"metadata": self.stored.metadata(place, image)}

"""From positions of an epoch to samples: read in order by one thread, then made by any."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfstream.adapters.reading import LocalRecords, RemoteRecords
from tfstream.adapters.samples import blank, make
from tfstream.elements import PARTS
from tfstream.images import ImageSpec
from tfstream.sizes import parse_size

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.elements import ArrayElements
    from tfstream.foreign import ForeignRecords
    from tfstream.format.label_map import LabelMap
    from tfstream.opened import OpenedVersion
    from tfstream.order import Order
    from tfstream.selection import Selection
    from tfstream.stored import StoredRecords

    Integers = npt.NDArray[np.int64]

__all__ = ["Read", "Recipe", "recipe_of"]


class Read(NamedTuple):
    """A sample's records, as they are stored.

    Attributes:
        number: Of the sample, in the dataset's order.
        payloads: Of each record; None: it is corrupt, and so the sample is left out.
        draws: float32 [n], the sample's random numbers.
    """

    number: int
    payloads: list[bytes | None]
    draws: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """How samples are made of records.

    Attributes:
        parts: What a sample holds.
        labels: The dataset's label map.
        records: The selected records.
        members: Records a sample.
        present: bool [samples * members], False where a record stands in for a missing member
            of a data point; None: a sample is a record.
        foreign: How the records become ours; None: they are.
    """

    parts: ArrayElements
    labels: LabelMap
    records: LocalRecords | RemoteRecords
    members: int
    present: npt.NDArray[np.bool_] | None
    foreign: ForeignRecords | None

    def read(
        self,
        order: Order,
        epoch: int,
        positions: Iterator[Integers],
        *,
        skip_corrupt: bool,
        share: int = 1,
    ) -> Iterator[Read]:
        """Reads the samples at some positions of an epoch.

        Args:
            order: Of the epoch.
            epoch: 0, 1, 2 ...
            positions: Of the samples; so many at once as shall be computed at once.
            skip_corrupt: Give None for a corrupt record instead of failing.
            share: How many processes share in the dataset.

        Raises:
            CorruptRecordError: A record does not match its checksums.
            StorageError: It cannot be read.
        """

        def placed() -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
            for some in positions:
                numbers = order.records_at(some, epoch).tolist()
                yield from zip(numbers, order.draws(some, epoch, self.parts.draws), strict=True)

        asked, ahead = itertools.tee(placed())
        numbers = (
            number * self.members + member for number, _ in ahead for member in range(self.members)
        )
        payloads = self.records.read(numbers, skip_corrupt=skip_corrupt, share=share)
        for number, draws in asked:
            yield Read(number, list(itertools.islice(payloads, self.members)), draws)

    def make(self, read: Read) -> dict[str, Any] | None:
        """Makes a sample: what `samples.make` gives; of a data point, every part for each member.

        What has one shape is stacked, anything else is in lists; `present` is bool [members].

        Returns:
            None where one of its records is corrupt.

        Raises:
            CorruptRecordError: An image cannot be decoded.
        """
        made = []
        for member, payload in enumerate(read.payloads):
            if payload is None:
                return None
            number = read.number * self.members + member
            place = functools.partial(self.records.place_of, number)
            if self.foreign is not None:
                payload = self.foreign.translate(number, payload, place())
            sample = make(self.parts, self.labels, payload, read.draws, place=place)
            if self.present is not None and not self.present[number]:
                sample = blank(self.parts, sample)
            made.append(sample)
        if self.present is None:
            return made[0]
        out: dict[str, Any] = {name: [sample[name] for sample in made] for name in made[0]}
        stacked = ["label"] if self.parts.label else []
        stacked += ["seed"] if self.parts.form == "dict" else []
        stacked += self.parts.tensors
        stacked += ["image"] if isinstance(self.parts.image, ImageSpec) else []
        if isinstance(self.parts.boxes, int):
            stacked += [name for name in ("boxes", "box_labels", "keypoints") if name in out]
            stacked += ["masks"] if self.parts.spec and self.parts.masks == "instance" else []
        stacked += ["masks"] if self.parts.spec and self.parts.masks == "semantic" else []
        for name in stacked:
            out[name] = np.stack(out[name])
        begin = read.number * self.members
        return {**out, "present": self.present[begin : begin + self.members].copy()}

    def shape(self, sample: dict[str, Any]) -> Any:
        """The sample as it was asked for: a dict, or a tuple of its parts, or the only one."""
        if self.parts.form == "dict":
            return sample
        values = tuple(sample[name] for name in PARTS if name in sample)
        return values if len(values) > 1 else values[0]


def recipe_of(
    version: OpenedVersion,
    splits: tuple[str, ...],
    selection: Selection | None,
    stored: StoredRecords,
    *,
    parts: ArrayElements,
    read_ahead: int | str,
) -> Recipe:
    """How samples of a selection are made.

    Args:
        version: The version.
        splits: Whose records are numbered.
        selection: The elements; None: all records of the splits.
        stored: Where its records are.
        parts: What a sample holds.
        read_ahead: Of a remote dataset: bytes, or such as "64MB".
    """
    spec = version.spec_of(splits)
    ahead = parse_size(read_ahead, "read_ahead")
    records: LocalRecords | RemoteRecords
    if spec is None:
        records = LocalRecords(stored.table)
    else:
        records = RemoteRecords(spec, stored.numbers, version.mean_bytes(splits), ahead)
    present = None
    if selection is not None and selection.elements.ndim > 1:
        present = selection.elements.reshape(-1) >= 0
    members = 1 if selection is None else selection.members
    return Recipe(parts, version.labels, records, members, present, stored.foreign)

"""Plans the shards from one bucket of records after the other, as the local packer does at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tfstream.packing.beam.rows import Cutter, Numbers, Run
from tfstream.packing.beam.scratch import Scratch
from tfstream.packing.beam.work import ShardOrder, entries_name
from tfstream.packing.options import Options
from tfstream.packing.plan import order_splits, shard_stem
from tfstream.packing.rejects import Reject, RejectsFile
from tfstream.packing.spool import unpack_entry
from tfstream.packing.steps import Plan, planned_bytes, repeated
from tfstream.packing.survey import Scanned
from tfstream.v1 import annotated_image_pb2

__all__ = ["Planner", "Seen"]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What can be said of some records whatever their order: two looks at the same ones agree.

    Attributes:
        records: How many.
        digests: Sum of their digests, modulo 2**64.
    """

    records: int = 0
    digests: int = 0

    def plus(self, digests: NDArray[np.uint64]) -> Seen:
        """These, and the records of [n] digests."""
        total = self.digests + int(np.sum(digests, dtype=np.uint64))
        return Seen(self.records + len(digests), total % 2**64)


class Planner:
    """Takes the buckets in their order; holds what is known of shards, not of records."""

    def __init__(
        self, scanned: Scanned, options: Options, scratch: Scratch, dropped: Sequence[int]
    ) -> None:
        """Begins.

        Args:
            scanned: What was found.
            options: How to pack.
            scratch: Has the buckets' entries.
            dropped: Ordinals of records in the buckets that are not to be packed.
        """
        self.seen = Seen()
        self._scanned = scanned
        self._options = options
        self._scratch = scratch
        self._dropped = np.array(dropped, np.int64)
        self._cutters: dict[str, Cutter] = {}
        self._orders: dict[str, list[ShardOrder]] = {}
        self._again: dict[int, Reject] = {}
        self._records = 0

    def add(self, bucket: int, numbers: Numbers) -> None:
        """Takes in the next bucket.

        Args:
            bucket: Its number.
            numbers: Of its records, split by split in storage order.
        """
        keep = ~np.isin(numbers.ordinals, self._dropped)
        self.seen = self.seen.plus(numbers.digests[keep])
        again = self._repeated(bucket, numbers, np.flatnonzero(keep))
        self._again.update({int(numbers.ordinals[place]): why for place, why in again.items()})
        keep[list(again)] = False
        self._records += int(np.count_nonzero(keep))
        many = self._scanned.labels.classes > 128
        sizes = numbers.frame_bytes + numbers.slack if many else numbers.frame_bytes
        for code, split in enumerate(numbers.names):
            mine = np.flatnonzero(keep & (numbers.splits == code))
            cutter = self._cutters.setdefault(split, Cutter(self._options.shard_bytes))
            full = cutter.add(bucket, sizes[mine], numbers.offsets[mine], numbers.lengths[mine])
            self._put(split, full)

    def finish(self, rejects: RejectsFile) -> Plan[ShardOrder]:
        """The plan, once all buckets were added.

        Args:
            rejects: Takes the records whose key another one has.
        """
        for split, cutter in self._cutters.items():
            self._put(split, cutter.end())
        rejects.add(self._again[ordinal] for ordinal in sorted(self._again))
        splits = [(name, self._orders[name]) for name in order_splits(self._orders)]
        return Plan(splits, self._records, len(self._again))

    def _repeated(
        self, bucket: int, numbers: Numbers, kept: NDArray[np.int64]
    ) -> dict[int, Reject]:
        """The places of records whose key an earlier one has: equal keys share their bucket."""
        stored = kept[np.lexsort((numbers.ordinals[kept], numbers.hashes[kept]))]
        offsets, lengths, name = numbers.offsets, numbers.lengths, entries_name(bucket)

        def image_at(place: int) -> annotated_image_pb2.AnnotatedImage:
            begin = int(offsets[stored[place]])
            end = begin + int(lengths[stored[place]])
            return unpack_entry(bytes(self._scratch.part(name, begin, end)))

        found = repeated(numbers.hashes[stored], image_at, self._options, {})
        return {int(stored[place]): why for place, why in found.items()}

    def _put(self, split: str, shards: Iterable[tuple[list[Run], int, int]]) -> None:
        orders = self._orders.setdefault(split, []) if shards else []
        for runs, frames, records in shards:
            orders.append(
                ShardOrder(
                    stem=shard_stem(split, self._scanned.commit, len(orders)),
                    bytes=planned_bytes(frames, records),
                    records=records,
                    runs=tuple(runs),
                )
            )

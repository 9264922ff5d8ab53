"""From a selection to the stream of it: which records are read how, and with what defaults."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import InvalidArgumentError
from tfstream.fetch.ahead import remote_block, window_records
from tfstream.fetch.counters import Counters
from tfstream.fetch.warm import warm
from tfstream.order import Order, Share
from tfstream.position import Identity, Position, fingerprint
from tfstream.sizes import parse_size

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.source import Spec
    from tfstream.format.table import RecordTable
    from tfstream.opened import OpenedVersion
    from tfstream.selection import Selection
    from tfstream.stored import StoredRecords
    from tfstream.stream import StreamDataset
    from tfstream.windows import RemoteRecords

    Integers = npt.NDArray[np.int64]

__all__ = ["position_of", "prefetch", "stream_of"]


def stream_of(  # noqa: D417 (the rest are described there)
    version: OpenedVersion,
    splits: tuple[str, ...],
    selection: Selection | None,
    stored: StoredRecords,
    *,
    what: str,
    batch_size: int | None,
    image: Any,
    label: Any,
    boxes: Any,
    masks: Any,
    keypoints: Any,
    elements: Any,
    shuffle: bool,
    seed: int,
    world: tuple[int, int],
    lanes: int,
    block_size: int | None,
    drop_remainder: bool,
    pad_remainder: bool,
    epochs: int | None,
    state: Mapping[str, Any] | None,
    read_ahead: int | str,
    service: str | None,
    **others: Any,
) -> StreamDataset:
    """Makes the stream that `PackedDataset.stream` describes, with its arguments.

    Args:
        version: The version.
        splits: Whose records are numbered.
        selection: The elements; None: all records of the splits.
        stored: Where its records are.
        what: The dataset and how its records were chosen, for messages.
        others: Of `tfstream.stream.Recipe`, as they are.
    """
    from tfstream import service as service_lib
    from tfstream import stream as stream_lib
    from tfstream.elements import StreamElements, fitting
    from tfstream.source import DataPoints

    members = 1 if selection is None else selection.members
    points = None
    if selection is not None and selection.elements.ndim > 1:
        points = DataPoints(members, selection.elements.reshape(-1) >= 0)
    mean = version.mean_bytes(splits) * members
    spec = version.spec_of(splits)
    if service is not None:
        service_lib.check(service)
        if stored.foreign is not None:
            raise InvalidArgumentError(
                f"{what} is of TFRecord files that tfstream did not write, which a tf.data service "
                "cannot stream: leave service out, or pack the images."
            )
        spec = version.served_spec(splits)
    records: RecordTable | RemoteRecords
    records = stored.table if spec is None else _remote(spec, stored, mean, read_ahead)
    position = position_of(
        version,
        splits,
        selection,
        what=what,
        seed=seed,
        lanes=lanes,
        block_size=block_size,
        shuffle=shuffle,
        world=world,
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        pad_remainder=pad_remainder,
        epochs=epochs,
        counted=batch_size is not None,
    )
    classes = version.labels.classes
    asked = fitting(
        version.contents,
        classes,
        image=image,
        label=label,
        boxes=boxes,
        masks=masks,
        keypoints=keypoints,
    )
    statistics = version.statistics(splits)
    recipe = stream_lib.Recipe(
        records,
        version.labels,
        elements=StreamElements(**asked, form=elements, weight=pad_remainder),
        position=position.at(state),
        points=points,
        formats=frozenset(name for part in statistics for name in part.formats),
        rotated=any(part.rotated for part in statistics),
        largest=(
            int(max((part.height.max for part in statistics), default=0)),
            int(max((part.width.max for part in statistics), default=0)),
        ),
        service=service,
        **others,
    )
    return stream_lib.build(recipe)


def position_of(
    version: OpenedVersion,
    splits: tuple[str, ...],
    selection: Selection | None,
    *,
    what: str,
    seed: int,
    lanes: int,
    block_size: int | None,
    shuffle: bool,
    world: tuple[int, int],
    batch_size: int | None,
    drop_remainder: bool,
    pad_remainder: bool,
    epochs: int | None,
    counted: bool,
) -> Position:
    """What the positions of a stream over a selection mean, whoever delivers it.

    Args:
        version: The version.
        splits: Whose records are numbered.
        selection: The elements; None: all records of the splits.
        what: The dataset and how its records were chosen, for messages.
        seed: Of the order, as the next three; see `PackedDataset.stream`.
        lanes: See there.
        block_size: See there.
        shuffle: See there.
        world: Of this worker's share, as the next three.
        batch_size: See there.
        drop_remainder: See there.
        pad_remainder: See there.
        epochs: In an iteration; None: without end.
        counted: Whether what is delivered is counted on its way.

    Raises:
        InvalidArgumentError: There is no record, or an argument is out of its range.
    """
    count = version.records(splits) if selection is None else len(selection)
    if count == 0:
        raise InvalidArgumentError(
            f"{what} holds no record to make a stream of: ask for others, or look at what there is "
            "with `tfstream query`"
        )
    if block_size is None:  # a uniform shuffle, on local disk
        mean = version.mean_bytes(splits) * (1 if selection is None else selection.members)
        block_size = 1 if version.spec is None else remote_block(count, mean, lanes)
    order = Order(count, seed=seed, lanes=lanes, block_size=block_size, shuffle=shuffle)
    share = Share(count, world, batch_size, drop_remainder, pad_remainder)

    def identity() -> Identity:
        chosen = None if selection is None else selection.elements
        told = version.manifest
        return Identity(told.commit, told.version, fingerprint(splits, chosen))

    return Position(functools.cache(identity), order, share, epochs, counted)


def _remote(
    spec: Spec, stored: StoredRecords, mean_bytes: float, read_ahead: int | str
) -> RemoteRecords:
    """What a stream must know of records that are fetched, or read elsewhere."""
    from tfstream.windows import RemoteRecords

    ahead = parse_size(read_ahead, "read_ahead")
    limit = spec.cache_limit
    if spec.cache_dir is not None and limit is not None and limit < 2 * ahead:
        raise InvalidArgumentError(
            f"cache_limit={limit} (bytes) is less than twice what is in flight, "
            f"read_ahead={read_ahead!r}: give the cache at least {2 * ahead} bytes, or a "
            "smaller read_ahead"
        )
    window = window_records(mean_bytes, ahead)
    return RemoteRecords(spec, stored.numbers, window, stored.foreign)


def prefetch(
    version: OpenedVersion,
    splits: tuple[str, ...],
    rows: Integers | None,
    progress: Callable[[int], object],
) -> None:
    """Does what `PackedDataset.prefetch` describes.

    Args:
        version: The version.
        splits: Whose records are numbered.
        rows: int64 [n], the records; None: all.
        progress: Is called with numbers of records.
    """
    spec, source = version.spec, version.source(splits)
    if spec is None or source is None or spec.cache_dir is None:
        why = "is on local disk" if spec is None else "was opened without cache_dir"
        raise InvalidArgumentError(f"{version.directory} {why}: there is no cache to fill")
    if rows is None:
        rows = np.arange(version.records(splits), dtype=np.int64)
    mean = version.mean_bytes(splits)
    needed, limit = int(mean * len(rows)), spec.cache_limit
    if limit is not None and needed > limit:
        raise InvalidArgumentError(
            f"{len(rows)} records of {version.directory} take about {needed} bytes, and the "
            f"cache may take {limit}: raise cache_limit, or choose fewer records"
        )
    warm(source, np.sort(rows), mean, Counters(), progress)

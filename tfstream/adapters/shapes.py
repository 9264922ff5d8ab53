"""Masks and keypoints of one sample, in numpy: as in `tfstream.masks` and `tfstream.keypoints`.

The arithmetic is that of the graph, so that both give the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfstream.annotations import masks
from tfstream.format import shapes
from tfstream.keypoint_names import partners

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.adapters.views import Window
    from tfstream.format.features import Features

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float32]
    Pixels = npt.NDArray[np.uint8]

__all__ = ["instances", "keypoints", "label_map"]


def instances(
    record: Features,
    chosen: Integers,
    window: Window,
    size: tuple[int, int],
    *,
    objects: int,
    height: int,
    width: int,
) -> Pixels:
    """The masks of some objects in the image that is made of their picture.

    Args:
        record: The picture's.
        chosen: int64 [n], the objects.
        window: What the image shows.
        size: (height, width) of the image, in pixels.
        objects: How many the picture has.
        height: Of the picture as displayed, in pixels.
        width: Of the picture.

    Returns:
        uint8 [n, *size]: 1 where the object is.

    Raises:
        ValueError: Features contradict each other.
        Exception: A mask cannot be decoded; Pillow raises many kinds.
    """
    out = np.zeros((len(chosen), *size), np.uint8)
    pngs = record.values(shapes.MASK)
    if pngs and len(pngs) != objects:
        raise ValueError(f"it has {len(pngs)} masks for {objects} objects")
    rows, in_rows = _nearest(window.top, window.height, size[0], height)
    columns, in_columns = _nearest(window.left, window.width, size[1], width)
    if window.flip:
        columns, in_columns = columns[::-1], in_columns[::-1]
    inside = in_rows[:, None] & in_columns
    outlines = _outlines(record, objects, window, size, height, width)
    for place, owner in enumerate(chosen.tolist()):
        if pngs and pngs[owner]:
            out[place] = masks.decode(pngs[owner], (width, height))[rows[:, None], columns] & inside
        elif owner in outlines:
            out[place] = _enclosed(outlines[owner], size)
    return out


def label_map(
    record: Features,
    drawn: Pixels,
    labels: Integers,
    boxes: Floats,
    window: Window,
    *,
    background: int | None,
    height: int,
    width: int,
) -> npt.NDArray[np.int32]:
    """One map of what is where, int32 [h, w]; see `tfstream.masks.label_map`."""
    size = drawn.shape[1:]
    rows, in_rows = _nearest(window.top, window.height, size[0], height)
    columns, in_columns = _nearest(window.left, window.width, size[1], width)
    if window.flip:
        columns, in_columns = columns[::-1], in_columns[::-1]
    out = np.full(size, -1 if background is None else background, np.int32)
    if void := record.first(shapes.VOID, b""):
        out[masks.decode(void, (width, height))[rows[:, None], columns]] = -1
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for place in np.argsort(-areas, kind="stable"):
        out[drawn[place] > 0] = labels[place]
    out[~(in_rows[:, None] & in_columns)] = -1
    return out


def keypoints(
    record: Features,
    chosen: Integers,
    wanted: tuple[str, ...] | int,
    window: Window | None,
    *,
    objects: int,
    height: int,
    width: int,
) -> Floats:
    """The keypoints of some objects in the image that is made of their picture.

    Args:
        record: The picture's.
        chosen: int64 [n], the objects.
        wanted: Names of the points, or how many an object has.
        window: What the image shows; None: the picture as it is.
        objects: How many the picture has.
        height: Of the picture as displayed, in pixels.
        width: Of the picture.

    Returns:
        float32 [n, k, 3]: y, x and visibility; zeros where there is no such point.

    Raises:
        ValueError: Features contradict each other.
    """
    out = _of_objects(record, wanted, objects)[chosen]
    if window is None:
        return out
    sides = np.array([height, width], np.float32)
    begin = np.array([window.top, window.left], np.float32)
    extent = np.array([window.height, window.width], np.float32)
    places = (out[..., :2] * sides - begin) / extent
    if window.flip:
        places[..., 1] = 1 - places[..., 1]
    inside = ((places >= 0) & (places <= 1)).all(-1) & (out[..., 2] > 0)
    out = np.where(inside[..., None], np.concatenate([places, out[..., 2:]], -1), np.float32(0))
    if window.flip and not isinstance(wanted, int):
        out = out[:, list(partners(wanted))]
    return out


def _of_objects(record: Features, wanted: tuple[str, ...] | int, objects: int) -> Floats:
    """float32 [objects, k, 3]; see `tfstream.keypoints.of_objects`."""
    xs, ys = record.values(shapes.KEYPOINT_X), record.values(shapes.KEYPOINT_Y)
    total = len(xs)
    seen = record.values(shapes.KEYPOINT_VISIBILITY) or [2] * total
    names = record.values(shapes.KEYPOINT_NAME) or [b""] * total
    counts = record.values(shapes.KEYPOINT_COUNT) or [total // max(objects, 1)] * objects
    if not (total == len(ys) == len(seen) == len(names) == sum(counts)) or (
        len(counts) > objects or min(counts, default=0) < 0
    ):
        raise ValueError(
            f"its {objects} objects state {sum(counts)} keypoints for {total} x, {len(ys)} y, "
            f"{len(seen)} visibilities and {len(names)} names"
        )
    out = np.zeros((objects, wanted if isinstance(wanted, int) else len(wanted), 3), np.float32)
    slots = {} if isinstance(wanted, int) else {name.encode(): n for n, name in enumerate(wanted)}
    point = 0
    for owner, count in enumerate(counts):
        for place in range(count):
            slot = slots.get(names[point], -1) if slots and names[point] else place
            if seen[point] > 0 and 0 <= slot < out.shape[1]:
                out[owner, slot] = ys[point], xs[point], seen[point]
            point += 1
    return out


def _nearest(
    begin: int, extent: int, size: int, limit: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The picture's row at the centre of each of the image's rows; or columns."""
    places = np.floor((np.arange(size) + 0.5) * (extent / size) + begin).astype(np.int64)
    return places.clip(0, limit - 1), (places >= 0) & (places < limit)


def _outlines(
    record: Features,
    objects: int,
    window: Window,
    size: tuple[int, int],
    height: int,
    width: int,
) -> dict[int, list[npt.NDArray[np.float64]]]:
    """The polygons of each object that has any: x, y in the image's pixels, [corners, 2]."""
    told_x, told_y = record.values(shapes.POLYGON_X), record.values(shapes.POLYGON_Y)
    counts = record.values(shapes.POLYGON_POINTS)
    owners = record.values(shapes.POLYGON_OBJECT)
    if (
        not (len(told_x) == len(told_y) == sum(counts) and len(counts) == len(owners))
        or min(counts, default=0) < 0
        or not all(0 <= owner < objects for owner in owners)
    ):
        raise ValueError(
            f"its {len(counts)} polygons of {objects} objects state {sum(counts)} corners for "
            f"{len(told_x)} x and {len(told_y)} y"
        )

    def placed(
        told: object, side: int, begin: int, extent: int, size: int
    ) -> npt.NDArray[np.float64]:
        values = np.array(told, np.float32).astype(np.float64) * side
        return ((values - begin) / extent * size).clip(-1e6, 1e6)

    x = placed(told_x, width, window.left, window.width, size[1])
    y = placed(told_y, height, window.top, window.height, size[0])
    if window.flip:
        x = size[1] - x
    corners = np.stack([x, y], axis=-1)
    out: dict[int, list[npt.NDArray[np.float64]]] = {}
    end = 0
    for count, owner in zip(counts, owners, strict=True):
        begin, end = end, end + count
        out.setdefault(owner, []).append(corners[begin:end])
    return out


def _enclosed(polygons: list[npt.NDArray[np.float64]], size: tuple[int, int]) -> Pixels:
    """uint8 [*size]: what polygons enclose; see `tfstream.masks`."""
    winding = np.zeros((size[0], size[1] + 1), np.int8)
    for corners in polygons:
        following = np.roll(corners, -1, axis=0)
        (x, y), (x_next, y_next) = corners.T, following.T
        area = (x * y_next - x_next * y).sum()
        low, high = np.minimum(y, y_next), np.maximum(y, y_next)
        begin, end = (np.ceil(s - 0.5).clip(0, size[0]).astype(np.int64) for s in (low, high))
        edge = np.repeat(np.arange(len(begin)), end - begin)
        before = np.cumsum(end - begin) - (end - begin)
        row = np.arange(len(edge)) - before[edge] + begin[edge]
        rise = np.where(y_next == y, 1.0, y_next - y)  # level edges cross no row
        crossing = x[edge] + (row + 0.5 - y[edge]) * ((x_next - x) / rise)[edge]
        column = np.ceil(crossing - 0.5).clip(0, size[1]).astype(np.int64)
        turn = (np.sign(y_next - y) * np.sign(area)).astype(np.int8)
        np.add.at(winding, (row, column), turn[edge])
    return (np.cumsum(winding, axis=1, dtype=np.int8)[:, : size[1]] != 0).astype(np.uint8)

"""Decoding and, where there is no kernel, resampling with TensorFlow's own ops.

Both ways give the same pictures within one grey level.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    import tensorflow as tf

    from tfstream.images import ImageSpec, View

__all__ = ["Block", "Picture", "check_formats", "decode", "decode_block", "render"]

FORMATS = frozenset({"jpeg", "png", "bmp", "gif", "webp"})
# A pixel's colour depends on a neighbour where the decoder smooths colours.
_MARGIN = 2


def check_formats(formats: frozenset[str]) -> None:
    """Raises InvalidArgumentError where a format is one that is not decoded here."""
    import tensorflow as tf

    unknown = sorted(formats - FORMATS)
    if unknown:
        raise InvalidArgumentError(
            f"images of format {', '.join(map(repr, unknown))} are not decoded (only "
            f"{', '.join(sorted(FORMATS))}): leave those records out, or ask for image=tfstream.RAW"
        )
    if "webp" in formats and not hasattr(tf.io, "decode_webp"):
        raise InvalidArgumentError(
            f"the selection holds WebP images, which this TensorFlow ({tf.__version__}) does not "
            "decode: use a newer one (2.21 does), re-encode them when packing, or ask for "
            "image=tfstream.RAW"
        )


def decode(encoded: tf.Tensor, formats: frozenset[str]) -> tf.Tensor:
    """Decodes a picture of one of the formats as it is stored.

    Args:
        encoded: string scalar.
        formats: Those that may occur; the fewer, the less there is to ask.

    Returns:
        uint8 [height, width, 3].
    """
    import tensorflow as tf

    def plain() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return tf.ensure_shape(image, [None, None, 3])

    out = plain
    if "bmp" in formats:
        out = _by_magic(encoded, b"BM", lambda: _decode_bmp(encoded), out)
    if "webp" in formats:
        out = _by_magic(encoded, b"RIFF", lambda: _decode_webp(encoded), out)
    return out()


def _by_magic(
    encoded: tf.Tensor,
    magic: bytes,
    then: Callable[[], tf.Tensor],
    otherwise: Callable[[], tf.Tensor],
) -> Callable[[], tf.Tensor]:
    """Decodes with `then` what begins with `magic`."""
    import tensorflow as tf

    matches = tf.strings.substr(encoded, 0, len(magic)) == magic
    return lambda: tf.cond(matches, then, otherwise)


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """TensorFlow's decoder gives the indices of a BMP with a palette; here are the colours."""
    import tensorflow as tf

    image = tf.io.decode_bmp(encoded)

    def number(at: int, size: int) -> tf.Tensor:
        data = tf.io.decode_raw(tf.strings.substr(encoded, at, size), tf.uint8)
        places = tf.constant([1 << (8 * i) for i in range(size)], tf.int64)
        return tf.cast(tf.reduce_sum(tf.cast(data, tf.int64) * places), tf.int32)

    def coloured() -> tf.Tensor:
        compressed = "a compressed BMP with a palette is not decoded"
        with _after(tf.debugging.assert_equal(number(30, 4), 0, compressed)):
            begin = 14 + number(14, 4)
        count = tf.clip_by_value((number(10, 4) - begin) // 4, 0, 256)
        table = tf.io.decode_raw(tf.strings.substr(encoded, begin, 4 * count), tf.uint8)
        table = tf.reshape(table, [-1, 4])[:, 2::-1]  # blue, green, red, nothing
        table = tf.pad(table, [[0, 256 - tf.shape(table)[0]], [0, 0]])
        return tf.gather(table, tf.cast(image[..., 0], tf.int32))

    out = tf.cond(tf.shape(image)[-1] == 1, coloured, lambda: image[..., :3])
    return tf.ensure_shape(out, [None, None, 3])


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    """Keeps from TensorFlow the animations that it writes past the end of memory for."""
    import tensorflow as tf

    # Of the extended form alone: a byte of flags, with one for animations and one for alpha.
    extended = tf.strings.substr(encoded, 12, 4) == b"VP8X"
    flags = tf.io.decode_raw(tf.strings.substr(encoded, 20, 1), tf.uint8)
    animated = extended & tf.reduce_any(tf.bitwise.bitwise_and(flags, 0x02) != 0)

    def animation() -> tf.Tensor:
        opaque = tf.reduce_all(tf.bitwise.bitwise_and(flags, 0x10) == 0)
        message = "an animated WebP without transparency is not decoded by TensorFlow"
        with _after(tf.debugging.assert_equal(opaque, False, message)):
            data = tf.identity(encoded)
        # Four channels said outright: it refuses a file that has three.
        return tf.io.decode_image(data, channels=4, expand_animations=False)

    def still() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=0, expand_animations=False)

    image = tf.cond(animated, animation, still)
    return tf.ensure_shape(image[..., :3], [None, None, 3])


@dataclasses.dataclass(frozen=True)
class Picture:
    """A stored picture and what is known of it; the arguments of `tfstream.images.render`."""

    encoded: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    orientation: tf.Tensor
    formats: frozenset[str]
    rotated: bool
    largest: tuple[int, int] | None


class Block(NamedTuple):
    """What was decoded of a picture, as stored.

    Attributes:
        image: uint8 [h, w, 3].
        origin: int32 [2], its top and left in the picture decoded at 1 / ratio;
            -1, -1: it is the whole picture.
        ratio: int32 scalar, 1, 2, 4 or 8.
    """

    image: tf.Tensor
    origin: tf.Tensor
    ratio: tf.Tensor


def decode_block(spec: ImageSpec, picture: Picture, view: View) -> Block:
    """Decodes as much of a picture as its view needs, and no larger than it needs."""
    import tensorflow as tf

    sides = _stored_sides(picture)
    window = _stored_window(picture, view.window)

    def whole() -> Block:
        image = decode(picture.encoded, picture.formats)
        return Block(image, tf.constant([-1, -1]), tf.constant(1))

    def whole_jpeg(ratio: int) -> Block:
        image = tf.io.decode_jpeg(picture.encoded, channels=3, ratio=ratio)
        return Block(image, tf.constant([-1, -1]), tf.constant(ratio))

    def cropped_jpeg(ratio: int) -> Block:
        # A window of a picture larger than the record says would be another window.
        check = tf.debugging.assert_equal(
            tf.io.extract_jpeg_shape(picture.encoded)[:2],
            sides,
            "tfstream: the record's image height and width are not those of the picture in it",
        )
        with _after(check):
            scaled = window / ratio
        limits = tf.cast(-(-sides // ratio), tf.float32)
        least = tf.clip_by_value(tf.floor(scaled[:2]) - _MARGIN, 0.0, limits - 1)
        most = tf.math.ceil(scaled[:2] + scaled[2:]) + _MARGIN
        most = tf.clip_by_value(most, least + 1, limits)
        block = tf.cast(tf.concat([least, most - least], 0), tf.int32)
        image = tf.raw_ops.DecodeAndCropJpeg(
            contents=picture.encoded, crop_window=block, channels=3, ratio=ratio
        )
        return Block(image, block[:2], tf.constant(ratio))

    if "jpeg" not in picture.formats:
        return whole()
    jpeg = whole_jpeg if spec.mode == "resize" else cropped_jpeg
    ratios = [1]
    chosen = tf.constant(0)
    if spec.antialias is not False and _greatest_reduction(spec, picture.largest) >= 2:
        ratios = [1, 2, 4, 8]
        reduction = tf.reduce_min(view.window[2:] / tf.constant(spec.size, tf.float32))
        chosen = tf.reduce_sum(tf.cast(reduction >= ratios[1:], tf.int32))
    branches: list[Callable[[], Block]] = [functools.partial(jpeg, ratio) for ratio in ratios]
    if picture.formats != {"jpeg"}:
        is_jpeg = tf.strings.substr(picture.encoded, 0, 2) == b"\xff\xd8"
        chosen = tf.where(is_jpeg, chosen + 1, 0)
        branches = [whole, *branches]
    return branches[0]() if len(branches) == 1 else tf.switch_case(chosen, branches)


def _greatest_reduction(spec: ImageSpec, largest: tuple[int, int] | None) -> float:
    """How many times larger than the image a window may be, at most."""
    if spec.mode == "crop_or_pad":
        return 1.0
    if largest is None:
        return float("inf")
    return min(largest[0] / spec.size[0], largest[1] / spec.size[1])


def render(spec: ImageSpec, picture: Picture, view: View) -> tf.Tensor:
    """`tfstream.images.render` without the kernel, before the cast to float16 or bfloat16."""
    import tensorflow as tf

    block = decode_block(spec, picture, view)
    shape = tf.shape(block.image)[:2]
    expected = tf.where(block.origin < 0, -(-_stored_sides(picture) // block.ratio), shape)
    check = tf.debugging.assert_equal(
        shape,
        expected,
        "tfstream: the record's image height and width are not those of the picture in it",
    )
    with _after(check):
        image = tf.identity(block.image)
    window = _stored_window(picture, view.window) / tf.cast(block.ratio, tf.float32)
    origin = tf.cast(tf.maximum(block.origin, 0), tf.float32)
    window -= tf.concat([origin, tf.zeros(2)], 0)
    out_height, out_width = spec.size
    if picture.rotated:
        o = picture.orientation
        pixels = tf.cond(
            o >= 5,
            lambda: _resample(spec, image, window, view.window, (out_width, out_height)),
            lambda: _resample(spec, image, window, view.window, (out_height, out_width)),
        )
        pixels = tf.raw_ops.Reverse(
            tensor=pixels, dims=tf.stack([_is(o, 3, 4, 6, 7), _is(o, 2, 3, 7, 8), False])
        )
        pixels = tf.cond(o >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    else:
        pixels = _resample(spec, image, window, view.window, (out_height, out_width))
    if spec.flip:
        pixels = tf.raw_ops.Reverse(tensor=pixels, dims=tf.stack([False, view.flip, False]))
    if spec.dtype == "uint8":
        return tf.saturate_cast(tf.round(pixels), tf.uint8)
    if spec.normalize == "standardize":
        return tf.image.per_image_standardization(pixels)
    scale, offset = spec.scale_and_offset
    return pixels * tf.constant(scale) + tf.constant(offset)


def _stored_sides(picture: Picture) -> tf.Tensor:
    """int32 [2]: height and width of the picture as stored."""
    import tensorflow as tf

    sides = tf.stack([picture.height, picture.width])
    return tf.where(picture.orientation >= 5, sides[::-1], sides) if picture.rotated else sides


def _is(value: tf.Tensor, *any_of: int) -> tf.Tensor:
    import tensorflow as tf

    return tf.reduce_any(value == tf.constant(any_of))


def _stored_window(picture: Picture, window: tf.Tensor) -> tf.Tensor:
    """The window of the stored picture that shows `window` of the displayed one."""
    import tensorflow as tf

    if not picture.rotated:
        return window
    o = picture.orientation
    window = tf.where(o >= 5, tf.gather(window, [1, 0, 3, 2]), window)
    place, extent = window[:2], window[2:]
    mirrored = tf.stack([_is(o, 3, 4, 6, 7), _is(o, 2, 3, 7, 8)])
    opposite = tf.cast(_stored_sides(picture), tf.float32) - (place + extent)
    return tf.concat([tf.where(mirrored, opposite, place), extent], 0)


def _resample(
    spec: ImageSpec, block: tf.Tensor, window: tf.Tensor, shown: tf.Tensor, size: tuple[int, int]
) -> tf.Tensor:
    """Draws the window of a block of pixels.

    Args:
        spec: How.
        block: uint8 [h, w, 3].
        window: Of the block.
        shown: The window of the displayed picture, for its size.
        size: Height and width of the image, as stored.

    Returns:
        float32 [*size, 3], 0 to 255.
    """
    import tensorflow as tf

    sides = tf.cast(tf.shape(block)[:2], tf.float32)
    least = tf.clip_by_value(tf.floor(window[:2]), 0.0, sides - 1)
    most = tf.clip_by_value(tf.math.ceil(window[:2] + window[2:]), least + 1, sides)
    begin, extent = tf.cast(least, tf.int32), tf.cast(most - least, tf.int32)
    cut = tf.slice(block, [begin[0], begin[1], 0], [extent[0], extent[1], 3])

    def placed() -> tf.Tensor:
        scale = tf.constant(size, tf.float32) / window[2:]
        return tf.raw_ops.ScaleAndTranslate(
            images=cut[tf.newaxis],
            size=size,
            scale=scale,
            translation=(least - window[:2]) * scale,
            kernel_type="triangle",
            antialias=True,
        )[0]

    def bilinear() -> tf.Tensor:
        return tf.image.resize(cut, size)

    if spec.mode == "crop_or_pad" or spec.antialias is True:
        return placed()
    if spec.antialias is False:
        return bilinear()
    averaged = shown[2] * shown[3] >= 4.0 * size[0] * size[1]
    return tf.cond(averaged, placed, bilinear)


def _after(check: tf.Operation | None) -> contextlib.AbstractContextManager[None]:
    """What is built inside is computed after the check; eagerly, it is done already."""
    import tensorflow as tf

    return contextlib.nullcontext() if check is None else tf.control_dependencies([check])

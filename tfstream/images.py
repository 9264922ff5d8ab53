"""How a sample's image is made, in graph: what it shows, and at what size, dtype and scale.

`plan` decides, for many samples at once, which window of each picture is shown;
`render` decodes one picture and draws its window. Importing this module does not
import TensorFlow.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tfstream import ops
from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["RAW", "ImageSpec", "Raw", "View", "plan", "render"]

MODES = ("resize", "crop_or_pad", "center_crop", "random_crop")
DTYPES = ("uint8", "float16", "bfloat16", "float32")
NORMALIZATIONS = (None, "unit", "standardize", "imagenet")
MAX_SIDE = 16384  # pixels

# Random crops, as usual for ImageNet: shares of the area, and width over height.
CROP_AREA = (0.08, 1.0)
CROP_ASPECT = (3 / 4, 4 / 3)

# The means and deviations of ImageNet's channels, of values in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Raw(enum.Enum):
    """The type of `RAW`."""

    RAW = "raw"

    def __repr__(self) -> str:
        return "tfstream.RAW"


RAW: Final = Raw.RAW
"""In place of an `ImageSpec`: the stored bytes as they are, not decoded."""


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """How images are made of the stored pictures.

    Whatever the picture's format, the image has three channels: grey is repeated,
    CMYK converted, transparency dropped; of an animation it is the first frame.
    Exif's orientation is applied, so `height` and `width` are as displayed.

    Args:
        size: (height, width) of the images, in pixels, 1 to 16384 each.
        mode: What an image shows of its picture.
            "resize": all of it, stretched to `size`.
            "crop_or_pad": its middle at its own scale, cut or padded with black to
            `size`, as `tf.image.resize_with_crop_or_pad`.
            "center_crop": the largest window in its middle that has the shape of
            `size`, resized.
            "random_crop": a random window, its share of the area within `area` and
            its width 3/4 to 4/3 of its height, resized.
        dtype: "uint8" (0 to 255), "float16", "bfloat16" or "float32".
        normalize: For the float dtypes. None: 0 to 255. "unit": 0 to 1.
            "imagenet": (unit - mean) / deviation with ImageNet's channels.
            "standardize": each image to mean 0 and deviation 1, as
            `tf.image.per_image_standardization`.
        flip: Mirror every second image, at random, left to right.
        area: For "random_crop": the least and the greatest share of the picture's area
            that a window may have. Small windows often miss the object that gives the
            image its label.
        antialias: How pictures are reduced. False: bilinear, the pixels of
            `tf.image.resize`. True: each pixel averages what it covers, the pixels of
            `tf.image.resize(antialias=True)`. None: averaged where a window has at
            least four times the image's pixels, else bilinear. With True and None, a
            JPEG is decoded at 1/2, 1/4 or 1/8 where it is reduced that much anyway.

    Raises:
        InvalidArgumentError: If a value is none of these.

    >>> ImageSpec(size=(224, 224), mode="random_crop", flip=True).draws
    5
    """

    size: tuple[int, int]
    mode: Literal["resize", "crop_or_pad", "center_crop", "random_crop"] = "resize"
    dtype: Literal["uint8", "float16", "bfloat16", "float32"] = "uint8"
    normalize: Literal["unit", "standardize", "imagenet"] | None = None
    flip: bool = False
    area: tuple[float, float] = CROP_AREA
    antialias: bool | None = None

    def __post_init__(self) -> None:
        size = self.size
        if not isinstance(size, tuple | list) or len(size) != 2 or not all(map(_is_int, size)):
            raise InvalidArgumentError(
                f"size must be (height, width), two whole numbers of pixels (got {size!r})"
            )
        if not all(1 <= side <= MAX_SIDE for side in size):
            raise InvalidArgumentError(
                f"size must be 1 to {MAX_SIDE} pixels high and wide (got {size!r})"
            )
        object.__setattr__(self, "size", (int(size[0]), int(size[1])))
        for name, known in (
            ("mode", MODES),
            ("dtype", DTYPES),
            ("normalize", NORMALIZATIONS),
            ("flip", (False, True)),
            ("antialias", (None, False, True)),
        ):
            value = getattr(self, name)
            if not any(type(value) is type(k) and value == k for k in known):
                names = ", ".join(map(repr, known))
                raise InvalidArgumentError(f"{name} must be one of {names} (got {value!r})")
        shares = self.area if isinstance(self.area, tuple | list) else ()
        if len(shares) != 2 or not 0 < shares[0] <= shares[1] <= 1:
            raise InvalidArgumentError(
                "area must be the least and the greatest share of a picture, such as "
                f"(0.08, 1.0) (got {self.area!r})"
            )
        object.__setattr__(self, "area", (float(shares[0]), float(shares[1])))
        if self.normalize is not None and self.dtype == "uint8":
            raise InvalidArgumentError(
                f"normalize={self.normalize!r} needs a float dtype: add dtype='float32' "
                "(got dtype='uint8', which holds whole numbers from 0 to 255)"
            )

    @property
    def draws(self) -> int:
        """How many random numbers a sample takes."""
        return 4 * (self.mode == "random_crop") + self.flip

    @property
    def scale_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """By channel: value = pixel * scale + offset (before "standardize")."""
        if self.normalize == "unit":
            return (1 / 255,) * 3, (0.0,) * 3
        if self.normalize == "imagenet":
            scale = tuple(1 / (255 * deviation) for deviation in IMAGENET_STD)
            pairs = zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)
            return scale, tuple(-mean / deviation for mean, deviation in pairs)
        return (1.0,) * 3, (0.0,) * 3


class View(NamedTuple):
    """What samples show of their pictures.

    Attributes:
        window: float32 [..., 4]: top, left, height, width, in pixels of the picture
            as displayed; whole numbers. With "crop_or_pad" it may reach past the
            picture, and is black there.
        flip: bool [...]: what the window shows is mirrored left to right.
    """

    window: tf.Tensor
    flip: tf.Tensor


def plan(spec: ImageSpec, height: tf.Tensor, width: tf.Tensor, draws: tf.Tensor) -> View:
    """Decides what samples show of their pictures.

    Args:
        spec: How images are made.
        height: int [...], of the pictures as displayed, in pixels.
        width: int [...].
        draws: float32 [..., at least spec.draws], uniform in [0, 1).

    Returns:
        The views, with the same leading axes. They depend on nothing else.
    """
    import tensorflow as tf

    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    out_height, out_width = spec.size
    if spec.mode == "random_crop":
        rows, columns = _random_extent(height, width, spec.area, draws[..., 0], draws[..., 1])
        top = _random_place(height - rows, draws[..., 2])
        left = _random_place(width - columns, draws[..., 3])
    else:
        if spec.mode == "resize":
            rows, columns = height, width
        elif spec.mode == "crop_or_pad":
            rows = tf.broadcast_to(out_height, tf.shape(height))
            columns = tf.broadcast_to(out_width, tf.shape(width))
        else:
            rows, columns = _central_extent(height, width, out_height / out_width)
        top, left = _middle(height - rows), _middle(width - columns)
    window = tf.cast(tf.stack([top, left, rows, columns], axis=-1), tf.float32)
    flip = draws[..., spec.draws - 1] < 0.5 if spec.flip else tf.zeros(tf.shape(height), tf.bool)
    return View(window, flip)


def _middle(room: tf.Tensor) -> tf.Tensor:
    """Where a window begins that leaves `room` pixels around it; negative: it overhangs.

    `tf.image.resize_with_crop_or_pad` rounds towards zero on both sides.
    """
    import tensorflow as tf

    return tf.sign(room) * (tf.abs(room) // 2)


def _central_extent(
    height: tf.Tensor, width: tf.Tensor, aspect: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of the largest window with height / width = aspect."""
    import tensorflow as tf

    h, w = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
    rows = tf.cast(tf.round(tf.minimum(h, w * aspect)), tf.int32)
    columns = tf.cast(tf.round(tf.minimum(w, h / aspect)), tf.int32)
    return tf.maximum(rows, 1), tf.maximum(columns, 1)


def _random_extent(
    height: tf.Tensor,
    width: tf.Tensor,
    shares: tuple[float, float],
    area_draw: tf.Tensor,
    aspect_draw: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of a random window; it always fits, so nothing is tried again.

    Its share of the area is uniform within `shares`, up to the largest that fits with an allowed
    aspect, and the logarithm of its aspect uniform among those that fit with the
    area. Double precision makes the result the same on every processor.
    """
    import tensorflow as tf

    h, w = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
    narrowest, widest = (math.log(aspect) for aspect in CROP_ASPECT)
    shape = tf.math.log(w / h)  # of the picture
    # A window of share s and log aspect a fits where log(s) <= -|a - shape|.
    most = tf.exp(tf.minimum(tf.minimum(widest - shape, shape - narrowest), 0.0))
    most = tf.minimum(tf.cast(shares[1], tf.float64), most)
    least = tf.minimum(tf.cast(shares[0], tf.float64), most)
    share = least + (most - least) * tf.cast(area_draw, tf.float64)
    low = tf.maximum(tf.cast(narrowest, tf.float64), shape + tf.math.log(share))
    high = tf.minimum(tf.cast(widest, tf.float64), shape - tf.math.log(share))
    aspect = tf.exp(low + (high - low) * tf.cast(aspect_draw, tf.float64))
    area = share * h * w
    rows = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
    columns = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
    return tf.clip_by_value(rows, 1, height), tf.clip_by_value(columns, 1, width)


def _random_place(room: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """One of 0 .. room, each as likely as the others."""
    import tensorflow as tf

    places = tf.cast(room + 1, tf.float64) * tf.cast(draw, tf.float64)
    return tf.minimum(tf.cast(places, tf.int32), room)


def render(
    spec: ImageSpec,
    encoded: tf.Tensor,
    view: View,
    *,
    height: tf.Tensor,
    width: tf.Tensor,
    orientation: tf.Tensor,
    formats: frozenset[str],
    rotated: bool,
    largest: tuple[int, int] | None = None,
) -> tf.Tensor:
    """Makes one sample's image.

    Args:
        spec: How.
        encoded: string scalar, the stored picture.
        view: What the image shows of it; of this sample alone.
        height: int scalar, of the picture as displayed, in pixels.
        width: int scalar.
        orientation: int scalar, Exif's, 1 to 8.
        formats: The formats that occur in the selection.
        rotated: Whether an orientation other than 1 occurs.
        largest: Height and width of the largest picture, as displayed, if known.

    Returns:
        [*spec.size, 3], spec.dtype.

    Raises:
        InvalidArgumentError: If a format is one that this TensorFlow does not decode.
            A picture that cannot be decoded, or whose size is not the one given, raises
            `tf.errors.InvalidArgumentError` when it is its turn.
    """
    import tensorflow as tf

    from tfstream import pixels

    pixels.check_formats(formats)
    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    orientation = tf.cast(orientation, tf.int32) if rotated else tf.constant(1)
    picture = pixels.Picture(encoded, height, width, orientation, formats, rotated, largest)
    library = ops.library()
    if library is None:
        out = pixels.render(spec, picture, view)
    else:
        block = pixels.decode_block(spec, picture, view)
        out = library.tfstream_resample(
            image=block.image,
            height=height,
            width=width,
            window=view.window,
            flip=view.flip,
            orientation=orientation,
            origin=block.origin,
            ratio=block.ratio,
            **_attributes(spec),
        )
    out.set_shape([*spec.size, 3])
    return tf.cast(out, spec.dtype)


def _attributes(spec: ImageSpec) -> dict[str, Any]:
    """The kernel's attributes that make images as `spec` says."""
    import tensorflow as tf

    scale, offset = spec.scale_and_offset
    return {
        "out_height": spec.size[0],
        "out_width": spec.size[1],
        "antialias": {None: "auto", False: "never", True: "always"}[spec.antialias],
        "scale": scale,
        "offset": offset,
        "standardize": spec.normalize == "standardize",
        "T": tf.uint8 if spec.dtype == "uint8" else tf.float32,
    }


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

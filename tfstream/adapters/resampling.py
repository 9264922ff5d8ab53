"""The kernel's resampling without TensorFlow: decoded pixels to images, in native code.

It is a library of its own (`native/samples`), called through ctypes, which lets other threads of
Python run meanwhile. Where it was not built, `pictures` draws with Pillow.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream import native

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.adapters.views import Window
    from tfstream.images import ImageSpec

__all__ = ["resample"]

_WHEN = {False: 0, None: 1, True: 2}  # of antialias


# As native/samples/render.cc lays it out: a pointer, what is known of the pixels, the window, and
# what the image shall be. (A structure of ctypes takes ten times as long to fill.)
_REQUEST = struct.Struct("@P8i4d5i3f3f")


def resample(
    spec: ImageSpec,
    pixels: npt.NDArray[np.uint8],
    window: Window,
    stored: tuple[int, int],
    ratio: int,
    orientation: int,
    *,
    planes: bool = False,
) -> npt.NDArray[Any]:
    """What a window of a picture shows, as `TfstreamResample` makes it.

    Args:
        spec: How images are made.
        pixels: uint8 [rows, columns, 3], the picture as it is stored, so many times smaller.
        window: In pixels of the picture as displayed, not reduced.
        stored: Height and width of the picture as stored, not reduced.
        ratio: 1, 2, 4 or 8: how many times smaller the pixels are.
        orientation: Exif's, 1 to 8; others count as 1.
        planes: Whether the channels come first.

    Returns:
        [*spec.size, 3], or with planes [3, *spec.size]; uint8 or else float32.

    Raises:
        ValueError: The pixels have another size than they should.
        MemoryError: Memory does not suffice.
    """
    library = native.samples()
    rows, columns = (-(-side // ratio) for side in stored)
    if library is None or pixels.shape != (rows, columns, 3) or pixels.dtype != np.uint8:
        raise ValueError(
            f"uint8 pixels of shape {(rows, columns, 3)} are resampled, by the built library "
            f"(got {pixels.dtype} {pixels.shape})"
        )
    pixels = np.ascontiguousarray(pixels)
    scale, offset = spec.scale_and_offset
    shape = (3, *spec.size) if planes else (*spec.size, 3)
    out = np.empty(shape, np.uint8 if spec.dtype == "uint8" else np.float32)
    request = _REQUEST.pack(
        _address(pixels),
        *(rows, columns, ratio, *stored),
        *(orientation if 1 <= orientation <= 8 else 1, window.flip, _WHEN[spec.antialias]),
        *window[:4],
        *(*spec.size, spec.dtype != "uint8", planes, spec.normalize == "standardize"),
        *scale,
        *offset,
    )
    if library.TfstreamRender(request, _address(out)):
        raise MemoryError(f"no memory to resample a picture to {spec.size}")
    return out


def _address(array: npt.NDArray[Any]) -> int:
    if array.flags.writeable:  # the quick way
        view: Any = array
        return ctypes.addressof(ctypes.c_char.from_buffer(view))
    return array.ctypes.data

"""The kernel's resampling without TensorFlow: decoded pixels to images, in native code.

It is a library of its own (`native/pictures`), called through ctypes, which lets other threads of
Python run meanwhile. Where it was not built, `pictures` draws with Pillow.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.adapters.views import Window
    from tfstream.images import ImageSpec

__all__ = ["library", "resample"]

_PATH = Path(__file__).parent.parent / "lib" / "libtfstream_pictures.so"
_WHEN = {False: 0, None: 1, True: 2}  # of antialias


class _Request(ctypes.Structure):
    """As native/pictures/render.cc lays it out."""

    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("ratio", ctypes.c_int32),
        ("stored_height", ctypes.c_int32),
        ("stored_width", ctypes.c_int32),
        ("orientation", ctypes.c_int32),
        ("flip", ctypes.c_int32),
        ("antialias", ctypes.c_int32),
        ("window", ctypes.c_double * 4),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("floats", ctypes.c_int32),
        ("planes", ctypes.c_int32),
        ("standardize", ctypes.c_int32),
        ("scale", ctypes.c_float * 3),
        ("offset", ctypes.c_float * 3),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library's functions; None where it was not built."""
    try:
        native = ctypes.CDLL(str(_PATH))
    except OSError:
        return None
    native.TfstreamRender.restype = ctypes.c_int32
    native.TfstreamRender.argtypes = [ctypes.POINTER(_Request), ctypes.c_void_p]
    return native


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
    native = library()
    rows, columns = (-(-side // ratio) for side in stored)
    if native is None or pixels.shape != (rows, columns, 3) or pixels.dtype != np.uint8:
        raise ValueError(
            f"uint8 pixels of shape {(rows, columns, 3)} are resampled, by the built library "
            f"(got {pixels.dtype} {pixels.shape})"
        )
    pixels = np.ascontiguousarray(pixels)
    scale, offset = spec.scale_and_offset
    shape = (3, *spec.size) if planes else (*spec.size, 3)
    out = np.empty(shape, np.uint8 if spec.dtype == "uint8" else np.float32)
    request = _Request(
        pixels=pixels.ctypes.data,
        rows=rows,
        columns=columns,
        ratio=ratio,
        stored_height=stored[0],
        stored_width=stored[1],
        orientation=orientation if 1 <= orientation <= 8 else 1,
        flip=window.flip,
        antialias=_WHEN[spec.antialias],
        window=(window.top, window.left, window.height, window.width),
        height=spec.size[0],
        width=spec.size[1],
        floats=spec.dtype != "uint8",
        planes=planes,
        standardize=spec.normalize == "standardize",
        scale=scale,
        offset=offset,
    )
    if native.TfstreamRender(request, out.ctypes.data):
        raise MemoryError(f"no memory to resample a picture to {spec.size}")
    return out

"""The native libraries that do without TensorFlow, called through ctypes.

Each function lets other threads of Python run meanwhile. Where a library was not built, what it
does is done in Python.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

__all__ = ["packing", "samples"]


@functools.cache
def packing() -> ctypes.CDLL | None:
    """What `native/packing` was compiled to; None where it was not."""
    text, number, address = ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p
    native = _load("libtfstream_pack.so")
    if native is not None:
        native.TfstreamPackScan.restype = None
        native.TfstreamPackScan.argtypes = [text, number, address, address]
        native.TfstreamPackWrite.restype = number
        native.TfstreamPackWrite.argtypes = [
            *(ctypes.c_int32, address, address, number),
            *(text, number, number, address, address),
        ]
    return native


@functools.cache
def samples() -> ctypes.CDLL | None:
    """What `native/samples` was compiled to; None where it was not."""
    native = _load("libtfstream_samples.so")
    if native is not None:
        native.TfstreamIsFrame.restype = ctypes.c_int32
        native.TfstreamIsFrame.argtypes = [ctypes.c_char_p, ctypes.c_int64]
        native.TfstreamFind.restype = ctypes.c_int32
        native.TfstreamFind.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_char_p]
        native.TfstreamRender.restype = ctypes.c_int32
        native.TfstreamRender.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    return native


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(Path(__file__).parent / "lib" / name))
    except OSError:
        return None

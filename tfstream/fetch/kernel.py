"""The native op's side of fetching: it asks under a ticket, and is answered here."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CacheError, StorageError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["deliver", "end", "register"]

Begin = Callable[[int, int, bool, str, "npt.NDArray[np.int64]", tuple[int, int, int]], None]

_FETCH = ctypes.CFUNCTYPE(
    None,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_bool,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_int64),
    ctypes.c_int64,
    ctypes.POINTER(ctypes.c_int64),
)
_FLAW_BYTES = 200
_INTERNAL = 13  # TensorFlow's code
_NOT_THE_CACHE = {errno.ECANCELED, errno.ENOENT, errno.EINVAL, errno.ENOMEM}

_native: Any = None
_callback: Any = None  # referred to, lest it be collected


def register(native: ctypes.CDLL, begin: Begin) -> None:
    """Says what the op calls.

    Args:
        native: The kernel's library.
        begin: Is called with (ticket, stream, skip_corrupt, source, numbers, samples), from any
            thread, and must see to it that the ticket is ended.
    """
    global _native, _callback
    native.tfstream_deliver.argtypes = [
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int64,
    ]
    native.tfstream_deliver.restype = ctypes.c_int64
    native.tfstream_end.argtypes = [ctypes.c_int64, ctypes.c_int, ctypes.c_char_p]
    native.tfstream_end.restype = None

    def fetch(
        ticket: int, stream: int, skip: bool, source: bytes, numbers: Any, count: int, samples: Any
    ) -> None:
        try:
            copied = np.ctypeslib.as_array(numbers, (count,)).copy()
            begin(ticket, stream, skip, source.decode(), copied, tuple(samples[:3]))
        except BaseException as error:  # nobody else would end it, and the op waits
            end(ticket, _INTERNAL, f"tfstream: {type(error).__name__}: {error}")

    _native = native
    _callback = _FETCH(fetch)
    native.tfstream_set_fetch.argtypes = [_FETCH]
    native.tfstream_set_fetch.restype = None
    native.tfstream_set_fetch(_callback)


def deliver(ticket: int, places: npt.NDArray[Any]) -> dict[int, str]:
    """Hands records to the op, which checks them.

    Args:
        ticket: Of the op's run.
        places: PLACE [n], C-contiguous.

    Returns:
        What is wrong, by row of `places`; nothing where all are sound.

    Raises:
        CacheError: The cached file cannot be read.
        StorageError: The op has ended, or no memory is left.
    """
    flaws = np.empty((len(places), _FLAW_BYTES), np.uint8)
    bad = _native.tfstream_deliver(
        ticket, places.ctypes.data, len(places), flaws.ctypes.data, _FLAW_BYTES
    )
    if bad < 0:
        what = f"Cannot take records from the page cache: {os.strerror(-1 - bad)}."
        kind = StorageError if -1 - bad in _NOT_THE_CACHE else CacheError
        raise kind(-1 - bad, what)
    if bad == 0:
        return {}
    rows = np.flatnonzero(flaws[:, 0]).tolist()
    return {row: flaws[row].tobytes().split(b"\0", 1)[0].decode() for row in rows}


def end(ticket: int, code: int = 0, message: str = "") -> None:
    """Ends the op's run: with what was delivered, or an error of TensorFlow's code."""
    _native.tfstream_end(ticket, code, message.encode(errors="replace"))

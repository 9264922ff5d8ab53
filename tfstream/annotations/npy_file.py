"""The `.npy` files of numpy: their headers, judged without trust, and the numbers behind them."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from tfstream.errors import AnnotationError, StorageError
from tfstream.format import tensors
from tfstream.format.tensors import TensorSpec

__all__ = ["Header", "body", "header"]

_MAGIC = b"\x93NUMPY"
_MOST_AXES = 32
_ARCHIVES = ((b"PK", "a .npz archive: write one array a file, with numpy.save"),)


@dataclass(frozen=True)
class Header:
    """What a file says of its array.

    Attributes:
        spec: Type and shape.
        offset: Byte of the file where the numbers begin.
        swapped: Whether they are big-endian.
        fortran: Whether the first axis varies fastest.
    """

    spec: TensorSpec
    offset: int
    swapped: bool
    fortran: bool


def header(path: str) -> Header:
    """Reads the header of a file, and compares what it says with the file's size.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It is no `.npy` file of numbers, or is cut short.
        StorageError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return _header(path, file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def body(path: str, data: bytes) -> tuple[TensorSpec, bytes]:
    """The array of a whole file: what it is, and its numbers as records hold them.

    Args:
        path: For messages.
        data: The file.

    Raises:
        AnnotationError: See `header`.
    """
    found = _header(path, io.BytesIO(data), len(data))
    raw = data[found.offset :]
    if not (found.swapped or found.fortran):
        return found.spec, raw
    stored = np.dtype(found.spec.dtype).newbyteorder(">" if found.swapped else "<")
    shape = found.spec.shape
    array = np.frombuffer(raw, stored)
    array = array.reshape(shape[::-1]).T if found.fortran else array.reshape(shape)
    return found.spec, tensors.tensor_of(array).data


def _header(path: str, file: BinaryIO, size: int) -> Header:
    begin = file.read(len(_MAGIC) + 2)
    if begin[: len(_MAGIC)] != _MAGIC:
        known = next((what for mark, what in _ARCHIVES if begin.startswith(mark)), None)
        if not begin:
            raise AnnotationError(f"{path} is empty: it has 0 bytes.")
        if known:
            raise AnnotationError(f"{path} is {known}.")
        raise AnnotationError(f"{path} is no .npy file: it begins with {begin!r}.")
    version = tuple(begin[len(_MAGIC) :])
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise AnnotationError(
            f"{path} is a .npy file of version {'.'.join(map(str, version))}, for arrays with "
            "named fields: write plain numbers, with numpy.save."
        )
    try:
        # Parsed as a literal of at most 10,000 characters: nothing in it is run.
        shape, fortran, dtype = readers[version](file)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise AnnotationError(f"The header of {path} cannot be read: {error}.") from error
    if dtype.hasobject:
        raise AnnotationError(
            f"{path} holds pickled Python objects, which are never loaded, as that could run "
            "anything: write numbers, with numpy.save(..., allow_pickle=False)."
        )
    if not all(isinstance(axis, int) and 0 <= axis < 2**63 for axis in shape):
        raise AnnotationError(f"{path} has the shape {shape!r:.80}: lengths are 0 or more.")
    if len(shape) > _MOST_AXES:
        raise AnnotationError(f"{path} has {len(shape)} axes, and {_MOST_AXES} is the most.")
    spec = TensorSpec(dtype.name, tuple(map(int, shape)))
    if why := tensors.fault(spec):
        raise AnnotationError(f"{path}: {why}.")
    offset = file.tell()
    if size != offset + spec.size:
        raise AnnotationError(
            f"{path} is damaged: {spec} takes {spec.size:,} bytes, and there are "
            f"{size - offset:,} behind the header."
        )
    return Header(spec, offset, dtype.byteorder == ">", bool(fortran) and len(shape) > 1)

"""The TFRecord frame around each record: length, payload, and a CRC32C of either."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

import google_crc32c

from tfstream import errors, native
from tfstream.storage.directory import Directory
from tfstream.storage.reader import read_exactly

__all__ = [
    "FOOTER_BYTES",
    "FRAME_BYTES",
    "HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "OpenShard",
    "ShardWriter",
    "fetch_record",
    "frame",
    "header_fault",
    "masked_crc",
    "payload_fault",
    "read_record",
    "stated_length",
    "unframe",
]

# A frame is: u64 length | u32 masked CRC of the length | payload | u32 masked CRC
# of the payload, all little-endian (tensorflow/core/lib/io/record_writer.h).
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEADER = struct.Struct("<QI")
HEADER_BYTES = _HEADER.size
FOOTER_BYTES = _CRC.size
# What a frame adds to its payload.
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES

_MASK_DELTA = 0xA282EAD8

# An Example cannot be larger: protobuf's own limit.
MAX_PAYLOAD_BYTES = (1 << 31) - 1


def masked_crc(data: bytes) -> int:
    """The CRC32C of `data`, rotated and shifted as TFRecord files store it.

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _header(payload: bytes) -> bytes:
    length = _LENGTH.pack(len(payload))
    return length + _CRC.pack(masked_crc(length))


def frame(payload: bytes) -> bytes:
    """The payload with its header and footer: `FRAME_BYTES` longer.

    >>> unframe(frame(b"abc"), path="x.tfrecord", offset=0)
    b'abc'
    """
    return b"".join((_header(payload), payload, _CRC.pack(masked_crc(payload))))


def stated_length(header: bytes) -> int:
    """The payload's length in bytes as the first `HEADER_BYTES` bytes state it, unchecked."""
    return int(_LENGTH.unpack_from(header)[0])


def header_fault(header: bytes) -> str | None:
    """What is wrong with a frame's header; None when it is sound.

    A sound header may still state more than the file holds: compare before
    reading that much.

    Args:
        header: The frame's first `HEADER_BYTES` bytes, fewer where the file ends.
    """
    if len(header) < HEADER_BYTES:
        return f"only {len(header)} of its {HEADER_BYTES} header bytes are there"
    length, crc = _HEADER.unpack_from(header)
    if masked_crc(header[: _LENGTH.size]) != crc:
        return "its length does not match the length's CRC32C"
    if length > MAX_PAYLOAD_BYTES:
        return f"it states {length} bytes; a record has less than 2 GiB"
    return None


def payload_fault(payload: bytes, footer: bytes) -> str | None:
    """What is wrong with a payload, by the CRC behind it; None when it is sound.

    Args:
        payload: All of it.
        footer: The frame's last `FOOTER_BYTES` bytes, fewer where the file ends.
    """
    if len(footer) == FOOTER_BYTES and masked_crc(payload) == _CRC.unpack(footer)[0]:
        return None
    return f"its {len(payload)} bytes do not match their CRC32C"


def unframe(
    frame_bytes: bytes, *, path: str | os.PathLike[str], offset: int, key: str = ""
) -> bytes:
    """The payload of one whole frame, its length and both its CRCs checked.

    Args:
        frame_bytes: The frame, no byte more or less.
        path: The shard, for the error.
        offset: Byte of the shard where the frame begins, for the error.
        key: The record's key where it is known, for the error.

    Raises:
        CorruptRecordError: Something does not match; names path, offset and key.
    """
    library = native.samples()
    if library is not None and library.TfstreamIsFrame(frame_bytes, len(frame_bytes)):
        return frame_bytes[HEADER_BYTES:-FOOTER_BYTES]
    header = frame_bytes[:HEADER_BYTES]
    payload = frame_bytes[HEADER_BYTES:-FOOTER_BYTES]  # once: most are large
    fault = header_fault(header)
    if fault is None and (length := stated_length(header)) != len(frame_bytes) - FRAME_BYTES:
        expected = max(len(frame_bytes) - FRAME_BYTES, 0)
        fault = f"its header states a payload of {length} bytes where {expected} are expected"
    if fault is None:
        fault = payload_fault(payload, frame_bytes[-FOOTER_BYTES:])
    if fault is not None:
        raise _corrupt(path, offset, key, fault)
    return payload


def read_record(path: str | os.PathLike[str], offset: int, length: int, *, key: str = "") -> bytes:
    """Reads one record from a shard on local disk.

    Args:
        path: The shard.
        offset: Byte where the frame begins.
        length: Bytes of the whole frame, payload and `FRAME_BYTES`.
        key: The record's key where it is known, for the error.

    Returns:
        The payload, both CRCs checked.

    Raises:
        CorruptRecordError: There is no such record there, or it does not match its CRCs.
        StorageError: The shard cannot be opened or read.
    """
    with OpenShard(path) as shard:
        return shard.read(offset, length, key=key)


class OpenShard:
    """A shard on local disk, open: for whoever reads more than one record of it.

    Args:
        path: The shard.

    Raises:
        StorageError: It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by __exit__)
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise self._unreadable(error) from error

    def __enter__(self) -> OpenShard:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def read(self, offset: int, length: int, *, key: str = "") -> bytes:
        """Reads one record; as `read_record`."""
        _check_place(self._path, offset, length, self._size, key)
        try:
            data = os.pread(self._file.fileno(), length, offset)
            while len(data) < length:  # of 2 GiB the system reads less at once
                more = os.pread(self._file.fileno(), length - len(data), offset + len(data))
                if not more:
                    break  # the file shrank meanwhile: unframe says so
                data += more
        except OSError as error:
            raise self._unreadable(error) from error
        return unframe(data, path=self._path, offset=offset, key=key)

    def _unreadable(self, error: OSError) -> errors.StorageError:
        return errors.StorageError(
            error.errno, f"Cannot read shard {self._path}: {error.strerror}."
        )


def fetch_record(
    directory: Directory, name: str, offset: int, length: int, *, key: str = ""
) -> bytes:
    """Reads one record from a shard, wherever the dataset is; what fails is tried again.

    Args:
        directory: The dataset's.
        name: Of the shard, relative to it.
        offset: Byte where the frame begins.
        length: Bytes of the whole frame, payload and `FRAME_BYTES`.
        key: The record's key where it is known, for the error.

    Returns:
        The payload, both CRCs checked.

    Raises:
        CorruptRecordError: There is no such record there, or it does not match its CRCs.
        StorageError: The shard cannot be read.
    """
    if directory.path is not None:
        return read_record(directory.path / name, offset, length, key=key)
    info = directory.stat(name)
    path = directory.locate(name)
    _check_place(path, offset, length, info.size, key)
    data = bytes(read_exactly(directory, info, offset, length))
    return unframe(data, path=path, offset=offset, key=key)


class ShardWriter:
    """Appends framed records to a file and knows where each one lies.

    >>> import io
    >>> writer = ShardWriter(io.BytesIO())
    >>> writer.append(b"abc"), writer.append(b""), writer.bytes, writer.records
    ((0, 19), (19, 16), 35, 2)

    Attributes:
        bytes: Written so far, which is where the next frame begins.
        records: Appended so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Makes a writer.

        Args:
            file: A buffered binary file at its beginning; closing it is the caller's.
        """
        self.bytes = 0
        self.records = 0
        self._file = file

    def append(self, payload: bytes) -> tuple[int, int]:
        """Writes one record.

        Args:
            payload: The record.

        Returns:
            (offset, length) of its frame, in bytes.
        """
        offset, length = self.bytes, len(payload) + FRAME_BYTES
        # Three writes into the file's buffer: joining them would copy the image once more.
        self._file.write(_header(payload))
        self._file.write(payload)
        self._file.write(_CRC.pack(masked_crc(payload)))
        self.skip(length, 1)
        return offset, length

    def skip(self, length: int, records: int) -> None:
        """Takes note of records that were written to the file by other means.

        Args:
            length: Bytes of their frames.
            records: How many there are.
        """
        self.bytes += length
        self.records += records


def _check_place(
    path: str | os.PathLike[str], offset: int, length: int, size: int, key: str
) -> None:
    """Before reading: a length that lies must not claim memory."""
    if offset < 0 or length < FRAME_BYTES or offset + length > size:
        raise _corrupt(
            path,
            offset,
            key,
            f"a frame of {length} bytes cannot lie there: the file has {size} bytes",
        )


def _corrupt(
    path: str | os.PathLike[str], offset: int, key: str, reason: str
) -> errors.CorruptRecordError:
    name = f" (key {key!r})" if key else ""
    return errors.CorruptRecordError(
        f"Record at byte {offset} of {os.fspath(path)}{name} is corrupt: {reason}."
    )

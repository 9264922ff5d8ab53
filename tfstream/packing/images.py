"""What an image file is, and whether it is whole, without decoding it where that can be avoided.

A full decode costs several times as much as all else that packing does to an image, so JPEG files
are judged by their structure: header, tables, and every marker up to the end of the image. That
finds files that are cut short, empty, or something else altogether. Only where the structure is
doubtful is the image decoded, and the decoder has the last word.
"""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
from dataclasses import dataclass

from tfstream.errors import AnnotationError, StorageError
from tfstream.storage.read import read_descriptor

__all__ = ["ImageFacts", "check_body", "probe"]

_READ_AHEAD = 4096  # bytes: holds all of a JPEG's header, unless there is a thumbnail in it
_EXIF_ORIENTATION = 0x0112

# Pillow's names; MPO is a JPEG with further pictures behind it.
_FORMATS = {
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "PNG": "png",
    "BMP": "bmp",
    "GIF": "gif",
    "WEBP": "webp",
}

_SOI, _EOI, _SOS, _APP1, _DHT, _DQT = 0xD8, 0xD9, 0xDA, 0xE1, 0xC4, 0xDB
# Frames that decoders know: baseline, extended, progressive; the last two arithmetic-coded as well.
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
# In coded data 0xFF before zero is a byte of it, D0 to D7 are restart markers, 0xFF is padding.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class ImageFacts:
    """An image file as it was when it was looked at.

    Attributes:
        format: "jpeg", "png", "bmp", "gif" or "webp", whatever the file's name says.
        width, height: Pixels, as stored.
        orientation: EXIF's, 1 to 8.
        bytes: Of the file.
        mtime_ns: When it was last written.
    """

    format: str
    width: int
    height: int
    orientation: int
    bytes: int
    mtime_ns: int

    @property
    def displayed(self) -> tuple[int, int]:
        """(width, height) once the orientation is applied."""
        transposed = self.orientation >= 5
        return (self.height, self.width) if transposed else (self.width, self.height)


class _Doubtful(Exception):
    """The structure is not that of an ordinary JPEG file: only a decoder can tell."""


class _Endless(Exception):
    """The coded data runs to the file's last byte: the JPEG was cut short, or ends in zeros."""


def probe(path: str) -> ImageFacts:
    """Looks at an image file: of a JPEG, the header and the last bytes.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It is empty, not an image, not whole, or of a kind that is not supported.
        StorageError: It cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return _probe(path, descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error


def check_body(path: str, data: bytes) -> None:
    """Checks a whole file that `probe` has seen the ends of.

    Raises:
        AnnotationError: It cannot be decoded.
    """
    if not data.startswith(b"\xff\xd8"):
        return  # probe has read the other formats from end to end
    try:
        _check_jpeg_body(data)
    except _Doubtful:
        _decode(path, data)
    except _Endless:
        raise _cut_short(path) from None


def _probe(path: str, descriptor: int) -> ImageFacts:
    status = os.fstat(descriptor)
    size = status.st_size
    head = os.pread(descriptor, _READ_AHEAD, 0)
    if not head:
        raise AnnotationError(f"{path} is empty: it has 0 bytes.")
    found = None
    if head.startswith(b"\xff\xd8"):
        try:
            found = _jpeg_header(descriptor, head)
            if os.pread(descriptor, 2, size - 2) != b"\xff\xd9":
                _check_jpeg_body(read_descriptor(descriptor, size))
        except _Doubtful:
            found = None
        except _Endless:
            raise _cut_short(path) from None
    format, width, height, orientation = found or _decode(path, read_descriptor(descriptor, size))
    if width <= 0 or height <= 0:
        raise AnnotationError(f"{path} holds an image of {width} x {height} pixels.")
    return ImageFacts(format, width, height, orientation, size, status.st_mtime_ns)


def _cut_short(path: str) -> AnnotationError:
    return AnnotationError(f"{path} is cut short: the JPEG's end-of-image marker is missing.")


def _jpeg_header(descriptor: int, head: bytes) -> tuple[str, int, int, int]:
    """(format, width, height, orientation) from the segments before the coded data."""
    base, at = 0, 2  # `head` is what lies at byte `base` of the file; `at` counts from there
    frame = None
    orientation = 0
    seen = set()
    while True:
        if at + 20 > len(head):  # 20 bytes: a frame header for four components
            base, at = base + at, 0
            head = os.pread(descriptor, _READ_AHEAD, base)
            if len(head) < 4:
                raise _Doubtful
        if head[at] != 0xFF:
            raise _Doubtful
        marker = head[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = head[at + 2] << 8 | head[at + 3]
        if length < 2 or marker < 0xC0 or _SOI <= marker <= _EOI or 0xD0 <= marker <= 0xD7:
            raise _Doubtful
        if marker == _SOS:
            if frame is None or _DQT not in seen or not seen & {_DHT, 0xC9, 0xCA}:
                raise _Doubtful
            return "jpeg", frame[0], frame[1], orientation or 1
        if marker in _FRAMES and length >= 8:
            precision, height, width, components = struct.unpack_from(">BHHB", head, at + 4)
            if frame or precision != 8 or components not in (1, 3, 4) or not (width and height):
                raise _Doubtful
            frame = (width, height)
        elif marker in _FRAMES or marker in _OTHER_FRAMES:
            raise _Doubtful
        elif marker == _APP1 and not orientation:
            segment = head[at + 4 : at + 2 + length]
            if len(segment) < length - 2:
                segment = os.pread(descriptor, length - 2, base + at + 4)
            orientation = _exif_orientation(segment)
        seen.add(marker)
        at += 2 + length


def _exif_orientation(segment: bytes) -> int:
    """The orientation that an APP1 segment states; 0 where it states none."""
    if not segment.startswith(b"Exif\0\0"):
        return 0
    tiff = segment[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for place in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * place)
            if tag == _EXIF_ORIENTATION:
                return value if kind == 3 and 1 <= value <= 8 else 0
    except struct.error:  # cut short: as good as none
        pass
    return 0


def _check_jpeg_body(data: bytes) -> None:
    """Follows the markers from the first byte to the end of the image.

    Raises:
        _Doubtful: Something else stands where a marker should.
        _Endless: The end never comes.
    """
    at = 2
    while True:
        marker = data[at + 1 : at + 2]
        if data[at : at + 1] != b"\xff" or not marker:
            raise _Doubtful
        kind = marker[0]
        if kind == 0xFF:
            at += 1
            continue
        if kind == _EOI:
            return
        if kind < 0xC0 or kind == _SOI or 0xD0 <= kind <= 0xD7 or at + 4 > len(data):
            raise _Doubtful
        length = data[at + 2] << 8 | data[at + 3]
        if length < 2:
            raise _Doubtful
        at += 2 + length
        if kind == _SOS:
            found = _MARKER.search(data, at)
            if found is None:
                raise _Endless
            at = found.start()


def _decode(path: str, data: bytes) -> tuple[str, int, int, int]:
    """What Pillow finds in a file, decoded to its last row.

    Raises:
        AnnotationError: Pillow cannot decode it, or it is of another format than ours.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # broken EXIF, a large image: no concern of the caller's
            with Image.open(io.BytesIO(data)) as image:
                format = _FORMATS.get(image.format or "")
                if format is None:
                    raise AnnotationError(
                        f"{path} is a {image.format} file: only JPEG, PNG, BMP, GIF and WebP can "
                        "be packed."
                    )
                width, height = image.size
                # Not getexif(): without EXIF that decodes a PNG to look behind its pixels.
                exif = image.info.get("exif") or b""
                if format == "png":
                    image.verify()  # the CRC of every chunk, which is as good as a decode
                else:
                    image.load()
    except AnnotationError:
        raise
    except UnidentifiedImageError:
        raise AnnotationError(
            f"{path} is not an image that can be decoded: it begins with {data[:8]!r}."
        ) from None
    except (OSError, ValueError, SyntaxError, TypeError, struct.error, EOFError) as error:
        raise AnnotationError(f"{path} cannot be decoded: {error}.") from error
    except Image.DecompressionBombError as error:
        raise AnnotationError(f"{path} is too large: {error}.") from error
    if not exif.startswith(b"Exif\0\0"):  # WebP holds it bare
        exif = b"Exif\0\0" + exif
    return format, width, height, _exif_orientation(exif) or 1

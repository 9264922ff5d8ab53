"""What most samples need of a record, found in place by native code.

Protobuf copies a record, and so its image, several times. Records that hold anything out of the
ordinary go through protobuf all the same, and so do the features that few samples need.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable

from tfstream import native
from tfstream.errors import CorruptRecordError
from tfstream.format import example
from tfstream.format.features import Features

__all__ = ["Found"]

# As native/samples/find.cc lays it out.
_LAYOUT = struct.Struct("@6q4q2i")


class Found:
    """What a record holds.

    Args:
        payload: A serialized `tf.train.Example`.
        place: Tells where it was read, for messages.

    Attributes:
        key: Its key.
        encoded: The stored image; empty where there is none.
        jpeg_size: Height and width in pixels that the image's header states; None: not known.
        height, width: Of the image as displayed, in pixels; 0 where they are not known.
        orientation: Exif's.
        label: Index of the main label; -1 where there is none.
        labelled: Whether the main label has a name.

    Raises:
        CorruptRecordError: The bytes are no Example, or hold something else where these belong.
    """

    def __init__(self, payload: bytes, place: Callable[[], str]) -> None:
        self._payload, self._place = payload, place
        try:
            self._find()
        except (TypeError, ValueError) as error:  # a number for a text, or a text that is none
            raise CorruptRecordError(f"the record in {place()} cannot be used: {error}") from error

    def _find(self) -> None:
        payload = self._payload
        library = native.samples()
        found = ctypes.create_string_buffer(_LAYOUT.size)
        if library is None or library.TfstreamFind(payload, len(payload), found):
            self._read()
            return
        image, image_bytes, key, key_bytes, _, text_bytes, *numbers = _LAYOUT.unpack(found.raw)
        self.height, self.width, self.orientation, self.label, rows, columns = numbers
        self.key = payload[key : key + key_bytes].decode()
        self.labelled = text_bytes > 0
        self.encoded: bytes | memoryview = memoryview(payload)[image : image + image_bytes]
        self.jpeg_size = (rows, columns) if rows else None

    def _read(self) -> None:
        """The same, by protobuf."""
        features = self.features
        self.key = features.text(example.KEY)
        self.encoded = bytes(features.first(example.ENCODED, b""))
        self.jpeg_size = None
        self.height = int(features.first(example.HEIGHT, 0))
        self.width = int(features.first(example.WIDTH, 0))
        self.orientation = int(features.first(example.ORIENTATION, 1))
        self.label = int(features.first(example.LABEL, -1))
        self.labelled = bool(features.first(example.LABEL_TEXT, b""))

    @functools.cached_property
    def features(self) -> Features:
        """All of its features."""
        return Features(self._payload, self._place())

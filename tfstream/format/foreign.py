"""Records that tfstream did not write, as if it had: one at a time, without TensorFlow.

Within a graph, `ops.translate_records` calls it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tfstream.errors import CorruptRecordError, TfstreamError, UnknownLabelError
from tfstream.format import example, index
from tfstream.format.feature_map import FLAGS, PASSED, SIDES, FeatureMap
from tfstream.format.features import Features, put_bytes, put_floats, put_ints
from tfstream.format.image_header import ImageHeader, read_header
from tfstream.format.label_map import LabelMap
from tfstream.v1 import example_pb2

if TYPE_CHECKING:
    from tfstream.v1.manifest_pb2 import Manifest

__all__ = ["OBJECT", "Translator", "UnlistedLabelError"]

# The label of objects in records that say where they are, and not what.
OBJECT = "object"

_WHOLE = (0.0, 0.0, 1.0, 1.0)
_UPRIGHT = 1  # an EXIF orientation


class UnlistedLabelError(UnknownLabelError):
    """A record has a label that the label map does not list.

    Attributes:
        label: Its name or number, as the record has it.
    """

    def __init__(self, message: str, label: str | int = "") -> None:
        super().__init__(message)
        self.label = label

    def __reduce__(self) -> tuple[type[UnlistedLabelError], tuple[str, str | int]]:
        return type(self), (str(self), self.label)


class _Content(NamedTuple):
    """What a record says, but for what nothing depends on."""

    key: str
    encoded: bytes
    header: ImageHeader
    labels: list[int]  # of each object, its index
    boxes: list[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Translator:
    """Makes others' records ours, by a feature map.

    Pixels are taken as TensorFlow decodes them, without an EXIF orientation: that is what the boxes
    of such records are fractions of.

    Attributes:
        features: The map.
        labels: The label map; its names may be told by number.
    """

    features: FeatureMap
    labels: LabelMap

    @classmethod
    def of(cls, manifest: Manifest) -> Translator | None:
        """The one of a version; None where tfstream wrote all its records."""
        if not manifest.schema.HasField("features"):
            return None
        features = FeatureMap.from_proto(manifest.schema.features)
        return cls(features, LabelMap.from_proto(manifest.labels))

    def translate(self, payload: bytes, key: str = "") -> bytes:
        """A record of ours with the same content.

        Args:
            payload: The record as it is stored.
            key: Its key, where no feature holds it.

        Raises:
            CorruptRecordError: It is no Example, or not one that the map fits.
            UnlistedLabelError: It has a label that the label map does not list.
        """
        found = Features(payload)
        return self.translate_features(found, key)

    def translate_features(self, found: Features, key: str = "") -> bytes:
        """See `translate`; of a record that was parsed already."""
        with _told():
            return self._translate(found, self._content(found, key))

    def row(self, found: Features, key: str, *, offset: int, length: int) -> index.Row:
        """The row of an index that `translate` and `index.Row.of` would give, sooner.

        Args:
            found: The record, parsed.
            key: Its key, where no feature holds it.
            offset: Byte of the shard where the record's frame begins.
            length: Bytes of the whole frame.

        Raises:
            CorruptRecordError: See `translate`.
            UnlistedLabelError: See `translate`.
        """
        with _told():
            content = self._content(found, key)
            if not self._rest.isdisjoint(found.names):  # what must be decoded to be checked
                image = example.decode(self._translate(found, content))
                return index.Row.of(image, offset=offset, length=length)
            names = [self.labels.names[place] for place in content.labels]
            header = content.header
            main = example.largest_box(content.boxes, header.height, header.width)
            return index.Row(
                key=content.key,
                offset=offset,
                length=length,
                width=header.width,
                height=header.height,
                format=header.format,
                orientation=_UPRIGHT,
                bytes=len(content.encoded),
                label=None if main is None else names[main],
                objects=len(names),
                labels=dict(sorted(Counter(names).items())),
                metadata=self._columns(found),
            )

    @functools.cached_property
    def _rest(self) -> frozenset[str]:
        flags = {self.features.roles[role] for role in FLAGS if role in self.features.roles}
        return frozenset((*PASSED, *flags))

    def _content(self, found: Features, key: str) -> _Content:
        roles = self.features.roles
        encoded = _one(found, roles["image"], bytes)
        header = read_header(encoded)
        if header is None:
            raise ValueError(f"{roles['image']!r} ({len(encoded)} bytes) is no image")
        if "key" in roles:
            key = _text(found, roles["key"])
        labels = self._labels(found)
        return _Content(key, encoded, header, labels, self._boxes(found, len(labels)))

    def _translate(self, found: Features, content: _Content) -> bytes:
        made = example_pb2.Example()
        feature = made.features.feature
        for name in PASSED:
            found.copy(name, made, name)
        roles = self.features.roles
        header = content.header
        put_bytes(feature[example.ENCODED], [content.encoded])
        put_bytes(feature[example.FORMAT], [header.format.encode()])
        put_ints(feature[example.HEIGHT], [header.height])
        put_ints(feature[example.WIDTH], [header.width])
        put_ints(feature[example.ORIENTATION], [_UPRIGHT])
        put_bytes(feature[example.KEY], [content.key.encode()])
        if "filename" in roles and found.values(roles["filename"]):
            put_bytes(feature[example.FILENAME], [_text(found, roles["filename"]).encode()])
        self._put_objects(feature, content)
        if self.features.objects:
            for role, name in FLAGS.items():
                if role in roles:
                    found.copy(roles[role], made, name)
        if self.features.columns:
            self._put_columns(found, feature)
        return made.SerializeToString(deterministic=True)

    def _labels(self, found: Features) -> list[int]:
        """The index of each object's label; of the image's, where there are no objects."""
        text, number = self.label_roles
        if text is None and number is None:
            return [self._index(OBJECT)] * (self._boxed(found) if self.features.objects else 0)
        if text is not None and not self.features.numbers:
            names = found.values(text)
            return [self._index(name.decode()) for name in names if name or self.features.objects]
        numbers = found.values(number or "")
        # Of an image, a negative one means that nobody knows.
        return [self._index(each) for each in numbers if each >= 0 or self.features.objects]

    @property
    def label_roles(self) -> tuple[str | None, str | None]:
        """The features that hold the labels' names, and their numbers."""
        roles = self.features.roles
        if self.features.objects:
            return roles.get("object_text"), roles.get("object_label")
        return roles.get("label_text"), roles.get("label")

    def _index(self, label: str | int) -> int:
        """The index of a label by its name, or by its number."""
        known = self.labels.id.get(label) if isinstance(label, str) else self._by_number.get(label)
        if known is None:
            raise UnlistedLabelError(
                f"The record has the label {label!r}, which is not among the "
                f"{len(self.labels.names)} labels of the map.",
                label,
            )
        return known

    @functools.cached_property
    def _by_number(self) -> dict[int, int]:
        return {number: index for index, number in enumerate(self.features.numbers)}

    def _boxed(self, found: Features) -> int:
        """How many boxes there are."""
        roles = self.features.roles
        if "boxes" in roles:
            return len(found.values(roles["boxes"])) // len(SIDES)
        return len(found.values(roles[SIDES[0]])) if SIDES[0] in roles else 0

    def _boxes(self, found: Features, count: int) -> list[Sequence[float]]:
        """Of each object: ymin, xmin, ymax, xmax in 0..1."""
        roles = self.features.roles
        if not self.features.objects or not ("boxes" in roles or SIDES[0] in roles):
            return [_WHOLE] * count
        if "boxes" in roles:
            values = found.values(roles["boxes"])
            sides = [values[place :: len(SIDES)] for place in range(len(SIDES))]
            told = len(values) / len(SIDES)
        else:
            sides = [found.values(roles[side]) for side in SIDES]
            told = max(map(len, sides))
        if any(len(side) != count for side in sides) or told != count:
            raise ValueError(f"it has {count} labels for {told:g} boxes")
        return list(zip(*sides, strict=True))

    def _put_objects(self, feature: Any, content: _Content) -> None:
        labels, boxes = content.labels, content.boxes
        names = [self.labels.names[place].encode() for place in labels]
        put_ints(feature[example.OBJECT_LABEL], labels)
        put_bytes(feature[example.OBJECT_TEXT], names)
        for place, name in enumerate(example.BOX):
            put_floats(feature[name], [box[place] for box in boxes])
        main = example.largest_box(boxes, content.header.height, content.header.width)
        if main is not None:
            put_ints(feature[example.LABEL], [labels[main]])
            put_bytes(feature[example.LABEL_TEXT], [names[main]])
        elif self.labels.background is not None:
            put_ints(feature[example.LABEL], [self.labels.background])

    def _put_columns(self, found: Features, feature: Any) -> None:
        plain: dict[str, Any] = {}
        if example.METADATA in feature:
            plain = dict(json.loads(feature[example.METADATA].bytes_list.value[0]))
        plain.update(self._columns(found))
        if plain:
            text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
            feature[example.METADATA].Clear()
            put_bytes(feature[example.METADATA], [text.encode()])

    def _columns(self, found: Features) -> dict[str, Any]:
        """The values of the metadata columns that features hold."""
        plain: dict[str, Any] = {}
        for column, name in self.features.columns.items():
            values = found.values(name)
            if len(values) > 1:
                raise ValueError(f"{name!r} has {len(values)} values, where one is expected")
            if len(values):
                value = values[0]
                plain[column] = value.decode() if isinstance(value, bytes) else value
        return plain


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Says of a fault that it is the record's."""
    try:
        yield
    except TfstreamError:
        raise
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise CorruptRecordError(f"The record cannot be read: {error}.") from error


def _one(found: Features, name: str, kind: type | tuple[type, ...]) -> Any:
    """The only value of a feature."""
    values = found.values(name)
    if len(values) != 1 or not isinstance(values[0], kind):
        held = type(values[0]).__name__ if values else "none"
        raise ValueError(f"{name!r} has {len(values)} values ({held}), where one is expected")
    return values[0]


def _text(found: Features, name: str) -> str:
    """A value as text: a number is written out."""
    value = _one(found, name, (bytes, int))
    return value.decode() if isinstance(value, bytes) else str(value)

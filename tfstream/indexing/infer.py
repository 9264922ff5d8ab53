"""What the features of some records are to us: by their names, types and values."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tfstream.errors import InvalidArgumentError
from tfstream.format import example, index
from tfstream.format.feature_map import FLAGS, PASSED, ROLES, SIDES, FeatureMap, unknown_role
from tfstream.format.features import Features
from tfstream.format.image_header import read_header
from tfstream.format.names import nearest

__all__ = ["TYPES", "Expected", "column_of", "infer"]

_BYTES, _INTS, _FLOATS = "bytes_list", "int64_list", "float_list"
TYPES = {_BYTES: "string", _INTS: "int", _FLOATS: "float"}

# Names that others give to features, the first that is there counts: the TF Object Detection API's,
# those of TensorFlow Datasets, and what else is common.
_NAMES: Mapping[str, Sequence[str]] = {
    "image": (example.ENCODED, "image", "jpeg", "jpg", "png", "image_raw", "image_bytes"),
    "filename": (example.FILENAME, "filename", "file_name"),
    "label": (example.LABEL, "label", "image/label", "class", "target"),
    "label_text": (example.LABEL_TEXT, "label_text", "class_name"),
    "boxes": ("objects/bbox", "objects/bboxes", "bbox", "bboxes"),
    **{side: (name,) for side, name in zip(SIDES, example.BOX, strict=True)},
    "object_label": (example.OBJECT_LABEL, "objects/label", "objects/labels"),
    "object_text": (example.OBJECT_TEXT, "objects/text"),
    "difficult": (example.DIFFICULT, "objects/is_difficult"),
    "truncated": (example.TRUNCATED, "objects/is_truncated"),
    "occluded": (example.OCCLUDED, "objects/is_occluded"),
    "crowd": (example.CROWD, "objects/is_crowd"),
}
_KEYS = (
    example.KEY,
    "source_id",
    "key",
    "image/id",
    "image_id",
    "id",
    example.FILENAME,
    "image/filename",
    "filename",
    "file_name",
)
_ROLE_KINDS: Mapping[str, Collection[str]] = {
    "image": (_BYTES,),
    "key": (_BYTES, _INTS),
    "filename": (_BYTES,),
    "label": (_INTS,),
    "label_text": (_BYTES,),
    "boxes": (_FLOATS,),
    **dict.fromkeys(SIDES, (_FLOATS,)),
    "object_label": (_INTS,),
    "object_text": (_BYTES,),
    **dict.fromkeys(FLAGS, (_INTS,)),
}
# What the image says itself.
_TOLD = (
    example.FORMAT,
    example.HEIGHT,
    example.WIDTH,
    example.ORIENTATION,
    example.LABEL,
    example.LABEL_TEXT,
    "image/colorspace",
    "image/channels",
)
_LONGEST_TEXT = 4096  # bytes: longer ones are documents or tensors, no column


@dataclasses.dataclass(frozen=True)
class Expected:
    """What all records should be like.

    Attributes:
        features: The map; its labels' numbers are not known yet.
        kinds: The type of each feature that may occur.
        always: Those that must.
        metadata: The type of each metadata column.
        sampled: How many records say so.
        chosen_key: Whether nobody has asked for the key by name.
        ignored: Features that may be anything.
    """

    features: FeatureMap
    kinds: Mapping[str, str]
    always: frozenset[str]
    metadata: Mapping[str, str]
    sampled: int
    chosen_key: bool
    ignored: frozenset[str]

    def disagreement(self, there: Mapping[str, str | None]) -> str | None:
        """In what a record is not as expected; None where it is.

        Args:
            there: The type of each of its features.
        """
        for name, kind in there.items():
            if name in self.ignored:
                continue
            expected = self.kinds.get(name)
            if expected is None and kind is not None:
                return (
                    f"it has a feature {name!r}, which none of the first {self.sampled} records "
                    f"has. If that is meant, leave it out by `--ignore {name}`"
                )
            if kind is not None and kind != expected:
                return f"its {name!r} is a {kind}, and that of others is a {expected}"
        for name in self.always:
            if there.get(name) is None:
                return f"it has no {name!r}, which others have"
        return None


def infer(
    samples: Sequence[Features],
    *,
    given: Mapping[str, str],
    ignore: Collection[str] = (),
    place: str = "",
) -> Expected:
    """Tells what features are, from some records.

    Args:
        samples: At least one.
        given: Features by role, as the user says; "key" may be "", for none.
        ignore: Features that shall be left alone.
        place: Where the records are, for messages.

    Raises:
        InvalidArgumentError: A feature that was named is not there or cannot be what was said; or
            none is an image.
    """
    seen = _Seen(samples, ignore)
    for name in ignore:
        seen.require(name, place)
    roles = dict(_given_roles(seen, given, place))
    for role, names in _NAMES.items():
        if role in roles or (role in SIDES and "boxes" in roles):
            continue
        for name in names:
            if name not in ignore and seen.kinds.get(name) in _ROLE_KINDS[role]:
                roles[role] = name
                break
    _settle_image(seen, roles, place)
    if "boxes" in roles and any(side in roles for side in SIDES):
        for side in SIDES:
            roles.pop(side, None)
    if not all(side in roles for side in SIDES):
        for side in SIDES:
            roles.pop(side, None)
    if any(role in roles for role in ("object_label", "object_text", "boxes", SIDES[0])):
        # The label of an image with objects is that of the largest; its own is metadata.
        for role in ("label", "label_text"):
            if role not in given:
                roles.pop(role, None)
    if "key" not in given:
        key = next((name for name in _KEYS if name not in ignore and seen.is_unique(name)), None)
        if key is not None:
            roles["key"] = key
    taken = {*roles.values(), *PASSED, *_TOLD, *ignore}
    columns = {column_of(name): name for name in sorted(seen.kinds) if seen.is_column(name, taken)}
    metadata = {column: TYPES[str(seen.kinds[name])] for column, name in columns.items()}
    metadata.update(seen.own_metadata())
    always = seen.always & {*roles.values()}
    return Expected(
        features=FeatureMap(roles, columns),
        kinds={name: kind for name, kind in seen.kinds.items() if kind is not None},
        always=frozenset(always),
        metadata=metadata,
        sampled=len(samples),
        chosen_key="key" not in given,
        ignored=frozenset(ignore),
    )


def _given_roles(seen: _Seen, given: Mapping[str, str], place: str) -> Iterable[tuple[str, str]]:
    for role, name in given.items():
        if role not in ROLES:
            raise unknown_role(role)
        if role == "key" and not name:
            continue
        seen.require(name, place)
        kind = seen.kinds[name]
        if kind is not None and kind not in _ROLE_KINDS[role]:
            raise InvalidArgumentError(
                f"Feature {name!r} in {place} is a {kind}: the {role} must be a "
                f"{' or a '.join(_ROLE_KINDS[role])}."
            )
        yield role, name


def _settle_image(seen: _Seen, roles: dict[str, str], place: str) -> None:
    """Finds the image by its bytes, where its name does not tell."""
    if "image" in roles and seen.is_image(roles["image"]):
        return
    named = roles.get("image")
    images = [name for name in sorted(seen.kinds) if seen.is_image(name)]
    if named is None and len(images) == 1:
        roles["image"] = images[0]
        return
    if not images and (seen.are_sequences or _BYTES not in seen.kinds.values()):
        raise InvalidArgumentError(_without_image(seen, place))
    told = f"{named!r} holds none" if named else f"{' and '.join(images) or 'none'} could be one"
    raise InvalidArgumentError(
        f"It cannot be told which feature of the records in {place} is the image (JPEG, PNG, GIF, "
        f"BMP or WebP): {told}. Say it by `--feature image=NAME`; they have "
        f"{', '.join(sorted(seen.kinds)) or 'no features'}."
    )


def _without_image(seen: _Seen, place: str) -> str:
    there = ", ".join(f"{name} ({kind or 'empty'})" for name, kind in sorted(seen.kinds.items()))
    if seen.are_sequences:
        return (
            f"The records in {place} are tf.train.SequenceExamples, which are not read: no feature "
            f"of their context is an image; it has {there}. Write a tf.train.Example for each "
            "image, or name other files."
        )
    return (
        f"No feature of the records in {place} can be the image, as none is of bytes (a "
        f"bytes_list): they have {there}. Name files whose records hold encoded images (JPEG, "
        "PNG, GIF, BMP or WebP)."
    )


class _Seen:
    """The features of the sampled records."""

    def __init__(self, samples: Sequence[Features], ignore: Collection[str]) -> None:
        self.kinds: dict[str, str | None] = {}
        self.always: set[str] = set()
        self._values: dict[str, list[Sequence[Any]]] = defaultdict(list)
        self._samples = samples
        for place, sample in enumerate(samples):
            there = sample.kinds
            for name, kind in there.items():
                # Where it is empty, its type may be missing.
                self.kinds[name] = self.kinds.get(name) or kind
                self._values[name].append(sample.values(name))
            present = {name for name, kind in there.items() if kind is not None}
            self.always = present if place == 0 else self.always & present

    @property
    def are_sequences(self) -> bool:
        return any(sample.is_sequence for sample in self._samples)

    def require(self, name: str, place: str) -> None:
        if name not in self.kinds:
            raise InvalidArgumentError(
                f"None of the {len(self._samples)} records that were looked at in {place} has a "
                f"feature {name!r}. {nearest(name, sorted(self.kinds), 'features')}"
            )

    def is_image(self, name: str) -> bool:
        return self.kinds[name] == _BYTES and all(
            len(values) == 1 and read_header(values[0]) is not None for values in self._values[name]
        )

    def is_unique(self, name: str) -> bool:
        """Whether it has one value in each record, and each another one."""
        values = self._values.get(name, [])
        if self.kinds.get(name) not in _ROLE_KINDS["key"] or len(values) < len(self._samples):
            return False
        if any(len(each) != 1 or each[0] == b"" for each in values):
            return False
        return len({each[0] for each in values}) == len(values)

    def is_column(self, name: str, taken: Collection[str]) -> bool:
        """Whether it is metadata: a number or a text a record, at most."""
        if name in taken or self.kinds[name] is None:
            return False
        values = self._values[name]
        if any(len(each) > 1 for each in values) or not any(map(len, values)):
            return False
        return all(_is_text(each[0]) for each in values if len(each))

    def own_metadata(self) -> dict[str, str]:
        """The columns of records that tfstream wrote elsewhere."""
        found: dict[str, str] = {}
        for values in self._values.get(example.METADATA, []):
            for text in values:
                from tfstream.v1.annotated_image_pb2 import AnnotatedImage

                image = AnnotatedImage()
                example.put_metadata(image, json.loads(text))
                found.update(index.schema_of(image))
        return found


def _is_text(value: object) -> bool:
    if not isinstance(value, bytes):
        return True
    if len(value) > _LONGEST_TEXT or b"\0" in value:
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def column_of(name: str) -> str:
    """What the column of a feature is called.

    >>> column_of("image/license"), column_of("label")
    ('image.license', 'feature.label')
    """
    column = name.replace("/", ".")
    return f"feature.{column}" if column in index.COLUMNS or column == "split" else column

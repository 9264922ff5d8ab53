"""What is to be indexed, and as what: all that is known before every record is read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence

from tfstream import errors
from tfstream.format.features import Features
from tfstream.format.foreign import OBJECT
from tfstream.format.label_map import LabelMap
from tfstream.indexing import labels as label_files
from tfstream.indexing import tfds
from tfstream.indexing.files import Found, common_directory
from tfstream.indexing.infer import Expected, infer
from tfstream.indexing.scan import ScanTask, place_of, records_of
from tfstream.indexing.splits import split_by_globs, split_by_name
from tfstream.packing.plan import order_splits

__all__ = ["Plan", "make_plan"]

_SAMPLED_SHARDS, _SAMPLED_RECORDS = 16, 32


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known before all records are read.

    Attributes:
        found: The shards, in storage order.
        splits: Of each shard.
        keys: What keys of each shard's records begin with, where they hold none.
        expected: What records should be like.
        labels: The labels that there may be, with `numbers`; None: any.
        numbers: The number of each label; empty: records hold names.
        info: What TensorFlow Datasets says of the files; None: nothing.
    """

    found: Found
    splits: tuple[str, ...]
    keys: tuple[str, ...]
    expected: Expected
    labels: LabelMap | None
    numbers: tuple[int, ...]
    info: tfds.TfdsInfo | None

    @property
    def commit(self) -> str:
        """Of what is indexed, and how."""
        features = self.expected.features
        told = [
            [[each.name, each.size, each.generation] for each in self.found.infos],
            list(self.splits),
            [sorted(features.roles.items()), sorted(features.columns.items())],
            sorted(self.expected.metadata.items()),
            sorted(self.expected.ignored),
            None if self.labels is None else [list(self.labels.names), list(self.numbers)],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]

    def name(self, place: int) -> str:
        """What the index of a shard is called."""
        return f"{self.splits[place]}-{self.commit}-{place:05d}"

    def tasks(self) -> list[ScanTask]:
        """The scan of each shard."""
        names = [self.name(place) for place in range(len(self.found.infos))]
        return [
            ScanTask(
                directory=self.found.directory,
                info=info,
                index_path=f"shards/{name}.parquet",
                key=key,
                expected=self.expected,
                labels=self.labels,
                numbers=self.numbers,
            )
            for info, name, key in zip(self.found.infos, names, self.keys, strict=True)
        ]


def make_plan(
    found: Found,
    labels: str | os.PathLike[str] | None,
    splits: Mapping[str, str] | None,
    features: dict[str, str],
    ignore: tuple[str, ...],
) -> Plan:
    """Looks at the first records of some shards, and at what lies beside them.

    Args:
        found: The shards.
        labels: See `index`, as the next three.
        splits: See there.
        features: See there.
        ignore: See there.

    Raises:
        InvalidArgumentError: It cannot be told what is what.
        CorruptRecordError: A file is no TFRecord file, or a record no Example.
        DatasetNotFoundError: No file holds a record.
        StorageError: A file cannot be read.
    """
    directory, infos = found.directory, found.infos
    below = _metadata_directory(found)
    info = None if below is None else tfds.read_info(directory, below)
    if splits is not None:
        names = [split_by_globs(each.name, splits) for each in infos]
    else:
        names = [split_by_name(each.name, info.splits if info else ()) for each in infos]
    # In the order in which a dataset lists its splits.
    places = {name: place for place, name in enumerate(order_splits(names))}
    order = sorted(range(len(infos)), key=lambda place: (places[names[place]], infos[place].name))
    infos = tuple(infos[place] for place in order)
    found = Found(directory, infos)
    where = directory.locate(infos[0].name) + (f" and {len(infos) - 1} more" if infos[1:] else "")
    samples = _samples(found)
    expected = infer(samples, given=features, ignore=ignore, place=where)
    given: tuple[LabelMap | None, tuple[int, ...]] = (None, ())
    roles = expected.features.roles
    prefix = "object_" if expected.features.objects else ""
    text = f"{prefix}text" if prefix else "label_text"
    if labels is not None:
        given = label_files.from_file(labels, _texts(samples, roles.get(text)))
    elif below is not None and f"{prefix}label" in roles:
        feature = roles[f"{prefix}label"]
        listed = tfds.read_labels(directory, below, feature)
        if listed is not None:
            file = directory.locate(tfds.labels_name(below, feature))
            named = LabelMap(tuple(listed), has_background=False, file=file)
            given = named, tuple(range(len(listed)))
    known, numbers = given
    if text in roles or f"{prefix}label" not in roles:
        numbers = ()  # records say names, or nothing
    if known is None and prefix and text not in roles and f"{prefix}label" not in roles:
        known = LabelMap.from_names([OBJECT], background=False)
    shared = common_directory(each.name for each in infos)
    bases = [each.name.rpartition("/")[2] for each in infos]
    short = len(set(bases)) == len(bases)
    return Plan(
        found=found,
        splits=tuple(names[place] for place in order),
        keys=tuple(bases if short else [each.name[len(shared) :] for each in infos]),
        expected=expected,
        labels=known,
        numbers=numbers,
        info=info,
    )


def _texts(samples: Sequence[Features], feature: str | None) -> set[str]:
    """The labels' names that some records say."""
    said = {value for sample in samples for value in sample.values(feature or "")}
    return {value.decode(errors="replace") for value in said}


def _metadata_directory(found: Found) -> str | None:
    """The one directory that all shards are in; None where there are several."""
    parents = {each.name.rpartition("/")[0] for each in found.infos}
    if len(parents) > 1:
        for parent in sorted(parents):
            below = f"{parent}/" if parent else ""
            if tfds.read_info(found.directory, below) is not None:
                raise errors.InvalidArgumentError(
                    f"{found.directory.locate(below)} is a dataset of TensorFlow Datasets, and "
                    f"there are files elsewhere ({len(parents)} directories): index one dataset, "
                    "in one version, at a time."
                )
        return None
    parent = parents.pop()
    return f"{parent}/" if parent else ""


def _samples(found: Found) -> list[Features]:
    """Some records from the beginnings of some shards, spread over all of them."""
    step = max(1, len(found.infos) // _SAMPLED_SHARDS)
    samples: list[Features] = []
    for info in found.infos[::step]:
        for number, frame in zip(
            range(_SAMPLED_RECORDS), records_of(found.directory, info), strict=False
        ):
            try:
                sample = Features(frame.payload or b"")
                if not sample.kinds:
                    raise errors.CorruptRecordError(
                        "it is not a tf.train.Example with features: SequenceExamples and other "
                        "messages cannot be indexed."
                    )
            except errors.CorruptRecordError as error:
                place = place_of(found.directory.locate(info.name), number, frame.offset)
                raise errors.CorruptRecordError(f"{place} cannot be used: {error}") from error
            samples.append(sample)
    if not samples:
        raise errors.DatasetNotFoundError(
            f"None of the {len(found.infos)} files in {found.directory} holds a record: there is "
            "nothing to index."
        )
    return samples

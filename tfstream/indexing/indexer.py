"""Makes a dataset of TFRecord files that are there already, where they are."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import tfstream
from tfstream import errors
from tfstream.format import manifest, statistics
from tfstream.format.change import change
from tfstream.format.feature_map import FeatureMap
from tfstream.format.label_map import LabelMap
from tfstream.indexing import labels as label_files
from tfstream.indexing import tfds
from tfstream.indexing.files import Found, absences, find
from tfstream.indexing.infer import TYPES, column_of
from tfstream.indexing.keys import any_repeated, first_repeated, renumber
from tfstream.indexing.plan import Plan, make_plan
from tfstream.indexing.scan import Scanned, scan
from tfstream.packing.options import process_count
from tfstream.packing.pool import Pool
from tfstream.packing.progress import Progress
from tfstream.packing.version import merge_indexes
from tfstream.packing.workers import Workers
from tfstream.storage.directory import Access
from tfstream.v1 import manifest_pb2

__all__ = ["IndexResult", "index"]

# Below that, starting processes takes longer than it spares.
_WORTH_PROCESSES = 64 << 20  # bytes


@dataclasses.dataclass(frozen=True)
class IndexResult:
    """What an indexing made.

    Attributes:
        dest: The dataset's directory or URI.
        version: That was made: 1.
        splits: Records by split.
        classes: Labels, and the background where there is one.
        shards: How many were indexed.
        bytes: Of these shards.
        features: By role, the feature that was taken for it.
        columns: By metadata column, its feature.
        ignored: Features that are nothing to tfstream, or were left out.
        resumed: Shards that an interrupted run had indexed before.
        seconds: That it took.
    """

    dest: str
    version: int
    splits: dict[str, int]
    classes: int
    shards: int
    bytes: int
    features: dict[str, str]
    columns: dict[str, str]
    ignored: tuple[str, ...]
    resumed: int
    seconds: float


def index(
    *sources: str | os.PathLike[str],
    into: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    splits: Mapping[str, str] | None = None,
    features: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    processes: int | None = None,
    project: str | None = None,
    message: str = "",
    author: str | None = None,
    progress: bool = True,
) -> IndexResult:
    """Makes a dataset of TFRecord files of `tf.train.Example`s, which stay where and as they are.

    Every record is read once, checked and confirmed to be like the others; indexes and a manifest
    are all that is written. An interrupted run, called again in the same way, goes on where it
    stopped.

    Args:
        sources: Files, globs, or directories that are searched for what is named like a TFRecord
            file. A directory of TensorFlow Datasets says the splits and the labels' names.
        into: The dataset's directory; the files may be elsewhere on local disk, and must stay
            there. None: the only source, a directory or `gs://bucket/prefix`.
        labels: A file with a label a line, numbered from 0, or a `.pbtxt` label map with ids,
            whose classes are called by `display_name`, else by `name`. None: the names that
            TensorFlow Datasets keeps beside the files; or those that records have; or their
            numbers.
        splits: By name, a glob of its files. None: as the files' names say.
        features: By role ("image", "key", "label", "boxes" ..., see `FeatureMap`), the feature.
            Those that are not said are found by their names. `{"key": ""}`: no feature is the key.
        ignore: Features that shall be left out, and may be anything.
        processes: How many to use; None: one a core.
        project: Billed for requests, if the bucket is "requester pays".
        message: What for; the manifest keeps it.
        author: Who indexes; None: $TFSTREAM_AUTHOR, or the user's name and the host's.
        progress: Whether to tell of the progress, on standard error.

    Returns:
        What was made; `tfstream.index` returns the dataset itself, opened.

    Raises:
        DatasetNotFoundError: A source does not exist, or names no TFRecord file.
        DatasetExistsError: There is a dataset already.
        InvalidArgumentError: An argument cannot be used, or it cannot be told what is what.
        UnknownLabelError: A record has a label that the label file does not list.
        CorruptRecordError: A file is compressed or no TFRecord file; or a record is damaged, not
            like the others, or has the key of another one. It is named by file, number and byte.
        StorageError: A file cannot be read or written.
        PackError: A worker died.
    """
    begun = time.monotonic()
    workers = process_count(processes)
    found = find(sources, into, Access(project))
    if sum(info.size for info in found.infos) < _WORTH_PROCESSES:
        workers = 1
    existing = manifest.versions(found.directory)
    with Progress(show=progress) as show, Pool(workers) as pool:
        plan = make_plan(found, labels, splits, dict(features or {}), tuple(ignore))
        if existing:
            _refuse(found, plan, existing)
        for line in (*absences(found.infos), _told(plan)):
            show.note(line)
        plan, scanned = _scan_all(plan, pool, show)
    if plan.info is not None:
        counts: dict[str, list[int]] = defaultdict(list)
        for split, each in zip(plan.splits, scanned, strict=True):
            counts[split].append(each.sums.records)
        tfds.check_counts(plan.info, counts)
    names, numbers = plan.labels, plan.numbers
    if names is None:
        used = {label for each in scanned for label in each.labels}
        names, numbers = label_files.from_records(used, _pairs(scanned))
    made = _manifest(plan, scanned, names, numbers, message, author)
    with Progress(show=progress) as show:
        merge_indexes(found.directory, made, show)
    manifest.commit(found.directory, made)
    expected = plan.expected
    roles, columns = dict(expected.features.roles), dict(expected.features.columns)
    return IndexResult(
        dest=str(found.directory),
        version=made.version,
        splits={split.name: split.statistics.records for split in made.splits},
        classes=LabelMap.from_proto(made.labels).classes,
        shards=sum(len(split.shards) for split in made.splits),
        bytes=sum(shard.bytes for split in made.splits for shard in split.shards),
        features=roles,
        columns=columns,
        ignored=tuple(sorted(set(expected.kinds) - expected.features.wanted)),
        resumed=sum(each.resumed for each in scanned),
        seconds=time.monotonic() - begun,
    )


def _refuse(found: Found, plan: Plan, existing: Sequence[int]) -> None:
    loaded = manifest.load(found.directory, existing[-1])
    held = {shard.path: shard.bytes for split in loaded.splits for shard in split.shards}
    there = {info.name: info.size for info in found.infos}
    look = "look at it with `tfstream info`"
    if held.keys() - there.keys() or not held:
        same = "something else"
    elif held.items() - there.items():
        same = "these files, as they were before they changed"
    elif loaded.commit == plan.commit or loaded.change.operation == "index":
        some = f"{len(held)} of these {len(there)} files"
        same = "these very files" if len(held) == len(there) else some
    else:
        same = f"these files, edited since (the last edit is a {loaded.change.operation})"
        look = f"see `tfstream versions {shlex.quote(str(found.directory))}`"
    raise errors.DatasetExistsError(
        f"{found.directory} holds a dataset already, version {existing[-1]}, of {same}: {look}, "
        "or give another directory by --into."
    )


def _told(plan: Plan) -> str:
    features = plan.expected.features
    roles = ", ".join(f"{role}={name}" for role, name in features.roles.items())
    key = "" if "key" in features.roles else "; keys are made of file and number"
    columns = f"; metadata {', '.join(plan.expected.metadata)}" if plan.expected.metadata else ""
    return f"Features: {roles}{key}{columns}"


def _scan_all(plan: Plan, pool: Workers, show: Progress) -> tuple[Plan, list[Scanned]]:
    """All shards, in their order; keys are numbered where a feature turns out not to be unique."""
    tasks = plan.tasks()
    show.begin("Indexing")
    # In their order, so that of several faults the same one is told each time.
    scanned = list(pool.map(scan, tasks, show.update))
    show.end()
    expected = plan.expected
    if "key" not in expected.features.roles or not any_repeated(scanned):
        return plan, scanned
    feature = expected.features.roles["key"]
    first, second, key = first_repeated(tasks, scanned)
    if not expected.chosen_key:
        raise errors.CorruptRecordError(
            f"{second} has the key {key!r}, which is that of {first}. Name another feature by "
            "`--feature key=NAME`, or none by `--feature key=`: keys are made of file and number "
            "then."
        )
    show.note(f"{feature} is no key, as {key!r} occurs twice: keys are made of file and number")
    roles = {role: name for role, name in expected.features.roles.items() if role != "key"}
    columns, metadata = dict(expected.features.columns), dict(expected.metadata)
    column = None if feature in roles.values() else column_of(feature)
    if column is not None:  # it is metadata, like any other
        columns[column] = feature
        metadata[column] = TYPES[expected.kinds[feature]]
    features = FeatureMap(roles, columns)
    expected = dataclasses.replace(expected, features=features, metadata=metadata)
    plan = dataclasses.replace(plan, expected=expected)
    return plan, renumber(tasks, plan.tasks(), scanned, column)


def _pairs(scanned: Sequence[Scanned]) -> dict[str, set[int]]:
    pairs: dict[str, set[int]] = defaultdict(set)
    for each in scanned:
        for name, numbers in each.pairs.items():
            pairs[name] |= numbers
    return pairs


def _manifest(
    plan: Plan,
    scanned: Sequence[Scanned],
    labels: LabelMap,
    numbers: tuple[int, ...],
    message: str,
    author: str | None,
) -> manifest_pb2.Manifest:
    numbered = "key" not in plan.expected.features.roles
    features = dataclasses.replace(plan.expected.features, numbers=numbers)
    background = any(each.sums.background for each in scanned)
    return manifest_pb2.Manifest(
        version=1,
        commit=plan.commit,
        tfstream_version=tfstream.__version__,
        splits=list(_splits(plan, scanned, numbered)),
        labels=dataclasses.replace(labels, has_background=background).to_proto(),
        schema=manifest_pb2.Schema(metadata=plan.expected.metadata, features=features.to_proto()),
        pack=manifest_pb2.PackParameters(format="tfrecord"),
        change=change("index", message=message, author=author, parent=0),
    )


def _splits(plan: Plan, scanned: Sequence[Scanned], numbered: bool) -> Iterator[manifest_pb2.Split]:
    for split in dict.fromkeys(plan.splits):
        places = [place for place, name in enumerate(plan.splits) if name == split]
        yield manifest_pb2.Split(
            name=split,
            shards=[
                manifest_pb2.Shard(
                    path=plan.found.infos[place].name,
                    index_path=f"shards/{plan.name(place)}.parquet",
                    records=scanned[place].sums.records,
                    bytes=plan.found.infos[place].size,
                    name=plan.name(place),
                    key=plan.keys[place] if numbered else "",
                )
                for place in places
                if scanned[place].sums.records
            ],
            statistics=statistics.to_proto(
                statistics.merge(scanned[place].sums for place in places)
            ),
        )

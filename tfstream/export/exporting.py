"""Makes files of a dataset's records, in one of several formats."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfstream.annotations.tree import IMAGE_EXTENSIONS
from tfstream.errors import InvalidArgumentError
from tfstream.export.naming import Claims
from tfstream.export.registry import writer
from tfstream.export.sink import Sink, require_empty
from tfstream.export.writer import Context, ExportWriter, Item, split_of
from tfstream.file_names import Template, path_fault
from tfstream.format import index
from tfstream.packing.progress import Progress
from tfstream.storage.uri import require_local

if TYPE_CHECKING:
    from tfstream.records import Records
    from tfstream.stored import StoredRecords

__all__ = ["Exported", "export"]


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        directory: Where.
        format: In which format.
        records: How many images.
        bytes: Of all files.
        lost: What the format cannot hold: counts by kind, such as `{"masks": 12}`.
    """

    directory: str
    format: str
    records: int
    bytes: int
    lost: Mapping[str, int] = dataclasses.field(default_factory=dict)


def export(
    data: Records,
    directory: str | os.PathLike[str],
    *,
    format: str = "auto",
    template: str | None = None,
    progress: bool = False,
) -> Exported:
    """Writes a dataset, or a slice of one, as files that `tfstream pack` and others read.

    Images are written as they are stored. Metadata that the format has no place for is in a file
    `<image>.metadata.json` beside the image. docs/exporting.md says what each format holds.

    Args:
        data: What to write.
        directory: A new or empty one.
        format: "voc", "coco", "yolo", "imagefolder", "webdataset", or "images" (and their
            metadata, alone); "auto" is "voc" where there are objects, and "images" where there are
            none.
        template: Of the images' names below their directory, with `{key}`, `{split}`, `{label}`
            (or "background"), `{name}` (the last part of the key), `{ext}` (".jpg") and every
            column of the metadata. None: such that the key is got back.
        progress: Show it on stderr.

    Raises:
        InvalidArgumentError: There are no records or no such format; the directory is not empty;
            the template names what there is not, gives two records one name, or leads out of the
            directory.
        CorruptRecordError: A record does not match its checksums; what was written before stays.
        StorageError: A file cannot be written; what was written before stays.

    >>> data = tfstream.open("packed").slice("labels.dog >= 1")    # doctest: +SKIP
    >>> export(data, "dogs", format="coco").lost                   # doctest: +SKIP
    {'occluded flags': 3}
    """
    require_local(directory, "an export", "export to a local directory, and upload that")
    root = Path(directory)
    make = None if format == "auto" else writer(format)
    require_empty(root)
    records = data.stored
    if make is None:
        make = writer("voc" if _has_objects(records) else "images")
    lost: Counter[str] = Counter()
    with Sink(root) as sink, Progress(show=progress) as told:
        target = make(Context(sink, data.labels, lost))
        names = _Names(records, target, template)
        count = names.check(lost)
        own = [name for name in records.columns if name not in (*index.COLUMNS, "split")]
        told.begin("Exporting", count)
        for row, image in records.all():
            before = sink.bytes
            if image.HasField("target"):
                lost["numbers to be predicted"] += 1
            if image.void and "void" not in target.holds:
                lost["places of which nobody says what they show (void)"] += 1
            metadata = {name: row[name] for name in own if row[name] is not None}
            target.write(Item(names.path(row), split_of(row["split"]), image, row, metadata))
            told.update(1, sink.bytes - before)
        target.finish()
        written = sink.bytes
    return Exported(os.fspath(directory), target.name, count, written, dict(sorted(lost.items())))


def _has_objects(records: StoredRecords) -> bool:
    return any(row["objects"] for row in records.all_rows())


class _Names:
    """The path of each record's image; found fit before anything is written.

    Args:
        records: What is written.
        target: Who writes it.
        template: Of the images' names; None: the format's own way.

    Raises:
        InvalidArgumentError: The template is not one, or of no use for the format.
    """

    def __init__(self, records: StoredRecords, target: ExportWriter, template: str | None) -> None:
        self._records = records
        self._target = target
        self._by = "the key" if template is None else f"the template {template!r}"
        self._template: Template | None = None
        if template is not None:
            if fault := target.template_fault(template):
                raise InvalidArgumentError(
                    f"the template {template!r} is of no use for {target.name}: {fault}"
                )
            own = [name for name in records.columns if name != "labels"]  # which is a map
            self._template = Template(template, own)

    def path(self, row: Mapping[str, Any]) -> str:
        """The path of a record's image below the directory of images."""
        if self._template is None:
            return self._target.path(row)
        return self._template.fill(self._target.named(row))

    def check(self, lost: Counter[str]) -> int:
        """Goes through all records: their number.

        Args:
            lost: Is told of keys and splits that become others.

        Raises:
            InvalidArgumentError: There are none, or a file cannot have the name that it would have.
        """
        claims, count = Claims(), 0
        for row in self._records.all_rows():
            path = self.path(row)
            self._require_usable(path, row)
            claims.add(self._target.claims(path))
            self._target.look(row)
            if self._target.key(path) not in (None, row["key"]):
                lost["keys that become others"] += 1
            split = split_of(row["split"])
            if split != row["split"]:
                lost[f"records of the split {row['split']!r}, which becomes {split!r}"] += 1
            count += 1
        if not count:
            raise InvalidArgumentError("there are no records to export: nothing was written")
        suspects = claims.suspects()
        if suspects is not None:
            self._require_distinct(suspects)
        return count

    def _require_usable(self, path: str, row: Mapping[str, Any]) -> None:
        key, fault = row["key"], path_fault(path)
        if row["format"] == "tensor":
            raise InvalidArgumentError(
                f"record {key!r} holds a tensor and no image, and formats of images have no place "
                "for it: stream it, or take it by its key from Python. Nothing was written"
            )
        if fault is None and posixpath.splitext(path)[1].lower() not in IMAGE_EXTENSIONS:
            fault = "does not end as the name of an image does (with {ext})"
        if fault is not None:
            raise InvalidArgumentError(
                f"{self._by} makes {path!r} of record {key!r}, which {fault}: nothing was written"
            )

    def _require_distinct(self, suspects: Any) -> None:
        """Neither have two records the same file, nor is one's file another's directory."""
        owners: dict[str, str] = {}
        for row in self._records.all_rows():
            for name in filter(suspects, self._target.claims(self.path(row))):
                if owners.setdefault(name, row["key"]) != row["key"]:
                    raise self._collision(owners[name], row["key"], name)
        for row in self._records.all_rows():
            for name in self._target.claims(self.path(row)):
                while name := posixpath.dirname(name):
                    if name in owners:
                        raise self._collision(owners[name], row["key"], name)

    def _collision(self, one: str, other: str, name: str) -> InvalidArgumentError:
        way = "put {key}, or something else that tells them apart, into it"
        if self._template is None:
            way = "name them by a template such as {split}/{name}{ext} (--template)"
        return InvalidArgumentError(
            f"{self._by} gives the records {one!r} and {other!r} the same file, {name}: {way}. "
            "Nothing was written"
        )

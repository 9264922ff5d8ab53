"""Makes files of a dataset's records: images, annotations, metadata."""

from __future__ import annotations

import dataclasses
import json
import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfstream.annotations import voc_write
from tfstream.annotations.tree import IMAGE_EXTENSIONS
from tfstream.errors import InvalidArgumentError, StorageError
from tfstream.file_names import Template, path_fault
from tfstream.format import index
from tfstream.packing.progress import Progress
from tfstream.stored import StoredRecords

if TYPE_CHECKING:
    from tfstream.records import Records
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

__all__ = ["DEFAULT_TEMPLATE", "Exported", "export"]

DEFAULT_TEMPLATE = "{key}{ext}"
_SIDECAR = ".metadata.json"
# The lists of a PASCAL VOC tree, by the names that splits have here.
_LISTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        directory: Where.
        records: How many images.
        bytes: Of all files.
        annotations: "voc": XML files; "metadata": nothing but sidecars.
    """

    directory: str
    records: int
    bytes: int
    annotations: str


def export(
    data: Records,
    directory: str | os.PathLike[str],
    *,
    template: str = DEFAULT_TEMPLATE,
    progress: bool = False,
) -> Exported:
    """Writes a dataset, or a slice of one, as image files with their annotations.

    Where there are objects, as a PASCAL VOC tree, which `tfstream pack` reads: JPEGImages,
    Annotations, and ImageSets/Main for splits of the names train, val (or validation) and test.
    Where there are none, the images alone. Metadata that the XML has no place for is in a file
    `<image>.metadata.json` beside the image. Images are written as they are stored.

    Args:
        data: What to write.
        directory: A new or empty one.
        template: Of the images' names below their directory, with `{key}`, `{split}`, `{label}`
            (or "background"), `{name}` (the last part of the key), `{ext}` (".jpg") and every
            column of the metadata.
        progress: Show it on stderr.

    Raises:
        InvalidArgumentError: There are no records; the directory is not empty; the template names
            what there is not, gives two records one name, or leads out of the directory.
        CorruptRecordError: A record does not match its checksums; what was written before stays.
        StorageError: A file cannot be written; what was written before stays.

    >>> data = tfstream.open("packed").slice("labels.dog >= 1")    # doctest: +SKIP
    >>> export(data, "dogs", template="{split}/{label}/{name}{ext}")    # doctest: +SKIP
    """
    root = Path(directory)
    _require_empty(root)
    plan = _Plan(data.stored, template)
    written = 0
    with Progress(show=progress) as told:
        told.begin("Exporting", len(plan.paths))
        for path, (row, image) in zip(plan.paths, plan.records.all(), strict=True):
            size = sum(_write(root / name, data) for name, data in plan.files(path, row, image))
            written += size
            told.update(1, size)
    written += sum(_write(root / name, data) for name, data in plan.lists())
    kind = "voc" if plan.voc else "metadata"
    return Exported(os.fspath(directory), len(plan.paths), written, kind)


class _Plan:
    """Which file each record becomes; made, and found fit, before anything is written.

    Args:
        records: What is written.
        template: Of the images' names.

    Raises:
        InvalidArgumentError: There are no records, or files of theirs cannot have such names.
    """

    def __init__(self, records: StoredRecords, template: str) -> None:
        self.records = records
        self._template = template
        self._metadata = [name for name in records.columns if name not in (*index.COLUMNS, "split")]
        own = [name for name in records.columns if name != "labels"]  # which is a map
        named = Template(template, own)
        self.voc = False
        self.paths: list[str] = []
        keys: list[str] = []
        self._stems: dict[str | None, list[str]] = {}  # by split
        for row in records.all_rows():
            path = named.fill(row)
            self._require_usable(path, row["key"])
            self.voc = self.voc or row["objects"] > 0
            self.paths.append(path)
            keys.append(row["key"])
            self._stems.setdefault(row["split"], []).append(posixpath.splitext(path)[0])
        if not keys:
            raise InvalidArgumentError("there are no records to export: nothing was written")
        self._require_distinct(keys)

    def _require_usable(self, path: str, key: str) -> None:
        fault = path_fault(path)
        if fault is None and posixpath.splitext(path)[1].lower() not in IMAGE_EXTENSIONS:
            fault = "does not end as the name of an image does (with {ext})"
        if fault is not None:
            raise InvalidArgumentError(
                f"the template {self._template!r} makes {path!r} of record {key!r}, which {fault}: "
                "nothing was written"
            )

    def _require_distinct(self, keys: list[str]) -> None:
        """Neither have two records the same file, nor is one's file another's directory."""
        owners: dict[str, str] = {}
        for path, key in zip(self.paths, keys, strict=True):
            for name in self._names(path):
                if owners.setdefault(name, key) is not key:
                    raise self._collision(owners[name], key, name)
        for path, key in zip(self.paths, keys, strict=True):
            for name in self._names(path):
                while name := posixpath.dirname(name):
                    if name in owners:
                        raise self._collision(owners[name], key, name)

    def _collision(self, one: str, other: str, name: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"the template {self._template!r} gives the records {one!r} and {other!r} the same "
            f"file, {name}: put {{key}}, or something else that tells them apart, into it. "
            "Nothing was written"
        )

    def _names(self, path: str) -> tuple[str, ...]:
        """The files of one record: the image, what is beside it, its annotation."""
        if not self.voc:
            return path, path + _SIDECAR
        image = f"JPEGImages/{path}"
        return image, image + _SIDECAR, f"Annotations/{posixpath.splitext(path)[0]}.xml"

    def files(
        self, path: str, row: Mapping[str, Any], image: AnnotatedImage
    ) -> Iterator[tuple[str, bytes]]:
        """What to write for one record: files below the directory, and what they hold."""
        name, sidecar, *annotation = self._names(path)
        yield name, image.encoded
        beside = {name: row[name] for name in self._metadata if row[name] is not None}
        for xml in annotation:
            yield xml, voc_write.to_xml(image, posixpath.basename(path), beside)
            beside = voc_write.beyond_xml(beside)
        if beside:
            yield sidecar, json.dumps(beside, ensure_ascii=False, indent=1).encode()

    def lists(self) -> Iterator[tuple[str, bytes]]:
        """The lists of a tree's splits; none where there is a split that readers do not know."""
        if not self.voc or not self._stems.keys() <= _LISTS.keys():
            return
        lists: dict[str, list[str]] = {}
        for split, stems in self._stems.items():
            lists.setdefault(_LISTS[str(split)], []).extend(stems)
        for name, stems in lists.items():
            yield f"ImageSets/Main/{name}.txt", "".join(f"{stem}\n" for stem in stems).encode()


def _require_empty(root: Path) -> None:
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InvalidArgumentError(
            f"{root} is a file: name a directory to export to, a new or an empty one"
        ) from None
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {root}: {error.strerror}.") from error
    if names:
        raise InvalidArgumentError(
            f"{root} is not empty (it holds {min(names)!r}), and nothing is overwritten: name a "
            "new directory to export to"
        )


def _write(path: Path, data: bytes) -> int:
    """Writes a new file, whole or not at all; gives its size."""
    made = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            made = True
            file.write(data)
    except BaseException as error:
        if made:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StorageError(
                error.errno, f"Cannot write {path}: {error.strerror}. What was written stays."
            ) from error
        raise
    return len(data)

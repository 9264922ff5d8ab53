"""WebDataset: tar files, in which files of one name and several endings are a sample."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tfstream.annotations.files import split_in
from tfstream.annotations.json_lines import fill
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place
from tfstream.annotations.tree import IMAGE_EXTENSIONS, find_trees, list_directory
from tfstream.errors import AnnotationError, StorageError
from tfstream.storage.read import read_file
from tfstream.v1 import annotated_image_pb2

__all__ = ["LABELS", "WebDataset"]

# What the numbers in .cls stand for: a list of {"name", "title"}, beside the tar files.
LABELS = "labels.json"
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_LARGEST = 64 << 20  # bytes of a .json or .cls
_LONGEST = 240  # bytes of a sample's last part, which becomes a file's name
_TEXTS = ("json", "cls")


@dataclass
class _Sample:
    """The files of one name, as they stand in a row."""

    name: str
    image: Path | None = None
    texts: dict[str, bytes] = field(default_factory=dict)
    problem: str = ""


class WebDataset(AnnotationReader):
    """Samples of an image and a .json, a .cls or both, in tar files that are not compressed.

    The .json is as in JSON lines, without the image's path; `key`, where it is there, is the key,
    which else is the sample's name. The .cls is a label, or its number in labels.json. The split is
    what the tar file's name speaks of. Images are copied out of the tar files for the packing.
    """

    name = "webdataset"
    layout = "WebDataset's .tar files, with an image and a .json or .cls a sample"
    boxes: Literal["corners", "sizes", "other"] = "other"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: any(map(_is_ours, _tars(path))))

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directory of the tar files."""
        return (root,)

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Goes through the tar files."""
        labels = _labels(root)
        listing.labels.update(labels)
        names = list(labels)
        number = 0
        for path in _tars(root):
            split = split_in(os.path.basename(path)) or "train"
            for sample in _samples(path, listing):
                yield _entry(sample, path, split, names, listing.scratch / str(number))
                number += 1

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of what its sample says."""
        image = annotated_image_pb2.AnnotatedImage()
        if entry.annotation:
            try:
                name, told = json.loads(entry.annotation)
                fill(image, told)
            except AnnotationError as error:
                raise AnnotationError(
                    f"{entry.annotation_path}: the sample {name!r}: {error}"
                ) from error
        place(entry, image)
        return image


def _tars(root: str) -> list[str]:
    names = [name for name in list_directory(root)[0] if name.lower().endswith(".tar")]
    return [os.path.join(root, name) for name in names]


def _is_ours(path: str) -> bool:
    """Whether the first sample of a tar file is an image with something said of it."""
    try:
        with tarfile.open(path, "r:") as tar:
            kinds: dict[str, set[str]] = {}
            for _, member in zip(range(32), tar, strict=False):
                if match := _NAME.fullmatch(member.name):
                    kinds.setdefault(match[1], set()).add(match[2].lower())
    except (tarfile.TarError, OSError):
        return False
    return any(
        any(f".{kind}" in IMAGE_EXTENSIONS for kind in some) and some & set(_TEXTS)
        for some in kinds.values()
    )


def _labels(root: str) -> dict[str, str]:
    """The labels in their order, with their titles; none where no file says them."""
    path = os.path.join(root, LABELS)
    if not os.path.exists(path):
        return {}
    try:
        told = json.loads(read_file(path))
        found = {each["name"]: each.get("title", "") for each in told}
        if len(found) == len(told) and all(isinstance(n, str) and n for n in found):
            return {name: str(title) for name, title in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise AnnotationError(
        f"{path} is not a JSON list of labels, each once: "
        '[{"name": "cat", "title": ""}, …] is expected.'
    )


def _samples(path: str, listing: Listing) -> Iterator[_Sample]:
    """The samples of a tar file, their images copied into the scratch directory."""
    sample: _Sample | None = None
    target = listing.scratch / "image"
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                match = _NAME.fullmatch(member.name)
                if not member.isreg() or member.issparse() or match is None:
                    if not member.isdir():
                        listing.left_out["members of tar files that are no files of a sample"] += 1
                    continue
                if sample is None or sample.name != match[1]:
                    if sample is not None:
                        yield sample
                    sample = _Sample(match[1])
                _take(tar, member, match[2].lower(), sample, target, listing)
    except (tarfile.TarError, EOFError) as error:
        where = f", behind the sample {sample.name!r}" if sample else ""
        raise AnnotationError(
            f"{path} is not a tar file, is compressed or is cut short{where}: {error}."
        ) from error
    except OSError as error:
        raise StorageError(
            error.errno, f"Cannot copy the images out of {path}: {error.strerror}."
        ) from error
    if sample is not None:
        yield sample


def _take(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    kind: str,
    sample: _Sample,
    target: Path,
    listing: Listing,
) -> None:
    """Takes one file of a sample in."""
    source = tar.extractfile(member)
    if source is None:
        return
    if f".{kind}" in IMAGE_EXTENSIONS:
        if sample.image is not None:
            sample.problem = f"the sample {sample.name!r} has several images"
            return
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file)
        sample.image = target.with_suffix(f".{kind}")
    elif kind not in _TEXTS:
        listing.left_out[f"files of samples that end in .{kind}"] += 1
    elif kind in sample.texts:
        sample.problem = f"the sample {sample.name!r} has several files .{kind}"
    elif member.size > _LARGEST:
        sample.problem = f"{member.name!r} has {member.size:,} bytes, of {_LARGEST:,} at most"
    else:
        sample.texts[kind] = source.read()


def _entry(sample: _Sample, path: str, split: str, labels: list[str], directory: Path) -> Entry:
    """The entry of a sample, its image moved to a file of its name."""
    key, told, problem = sample.name, {}, sample.problem
    if len(os.fsencode(os.path.basename(sample.name))) > _LONGEST:
        problem = f"the sample {sample.name[:80]!r}… has a name of more than {_LONGEST} bytes"
    if sample.image is None and not problem:
        problem = f"the sample {sample.name!r} has no image"
    try:
        told = _parse(sample, labels)
        key = told.get("key") or key
        if not isinstance(key, str):
            raise AnnotationError(f"its key is not text: {key!r:.80}")
    except AnnotationError as error:
        problem = problem or f"the sample {sample.name!r}: {error}"
        key = sample.name
    image = ""
    if sample.image is not None and not problem:
        directory.mkdir()
        image = str(directory / (os.path.basename(sample.name) + sample.image.suffix))
        os.rename(sample.image.with_suffix(""), image)
        os.utime(image, ns=(0, 0))  # the same in each run: what was packed before is known again
    return Entry(
        key=key,
        split=split,
        annotation_path=path,
        image_path=image,
        annotation=json.dumps([sample.name, told]).encode(),
        problem=f"{path}: {problem}" if problem else "",
    )


def _parse(sample: _Sample, labels: list[str]) -> dict[str, Any]:
    """What a sample's files say, as of JSON lines."""
    told: dict[str, Any] = {}
    if "json" in sample.texts:
        try:
            told = json.loads(sample.texts["json"])
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"its .json does not parse: {error}") from error
        if not isinstance(told, dict):
            raise AnnotationError(f"its .json holds no object but {str(told)[:40]!r}")
    if "cls" in sample.texts and not any(name in told for name in ("objects", "label", "labels")):
        try:
            text = sample.texts["cls"].decode().strip()
        except UnicodeDecodeError as error:
            raise AnnotationError("its .cls is not UTF-8 text") from error
        if text.isdecimal() and labels:
            if int(text) > len(labels):
                raise AnnotationError(f"its .cls is {text}, and {LABELS} has {len(labels)} labels")
            if int(text) == len(labels):  # the background
                return told
            text = labels[int(text)]
        if not text:
            raise AnnotationError("its .cls is empty")
        told["label"] = text
    return told

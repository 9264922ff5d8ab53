"""Open Images: CSV files of boxes and of image labels."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from tfstream.annotations.files import ImageFiles, key_of, split_in
from tfstream.annotations.groups import Groups
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.rows import head, rows
from tfstream.annotations.tables import find_image, subdirectories
from tfstream.annotations.tree import find_trees, list_directory
from tfstream.errors import AnnotationError
from tfstream.v1 import annotated_image_pb2

__all__ = ["OpenImages"]

_NEEDED = {"ImageID", "LabelName", "Confidence"}
_BOX = ("XMin", "YMin", "XMax", "YMax")
_FLAGS = {"IsOccluded": "occluded", "IsTruncated": "truncated", "IsGroupOf": "crowd"}
_CLASSES = re.compile(r"class-descriptions.*\.csv$")
_BELOW = ("", "annotations", "labels", "metadata", "csv")


class OpenImages(AnnotationReader):
    """Files such as `train-annotations-bbox.csv`, with the images in `train`, or elsewhere below.

    Image labels (`…-human-imagelabels.csv`) make objects without a box, where their confidence is
    above 0 and no box has the label. Labels are the identities ("/m/01g317"); the files
    class-descriptions….csv give their order and titles. The key is the image's path below the
    tree. Masks and relationships are not read.
    """

    name = "open-images"
    layout = "Open Images' CSV files, with the columns ImageID, LabelName and Confidence"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: bool(_files(path)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """None: of what is packed nothing is an image, and so nothing is met again."""
        return ()

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Reads the files once, and yields every image with its rows."""
        files = _files(root)
        for path in _classes(root):
            for row in rows(path, ","):
                if row.problem:
                    raise AnnotationError(f"{row.problem}.")
                if row.fields[0] != "LabelName" and len(row.fields) > 1:
                    listing.labels.setdefault(row.fields[0], row.fields[1])
        groups = Groups(listing.scratch, sum(os.path.getsize(path) for path in files))
        headers = []
        for number, path in enumerate(files):
            split = _split(path)
            lines = rows(path, ",")
            names = next(lines).fields
            headers.append(names)
            at = names.index("ImageID")
            for row in lines:
                if row.problem:
                    yield _wrong(path, split, "", row.problem)
                else:
                    value = json.dumps([number, row.line, row.fields]).encode()
                    groups.add(f"{split}\0{row.fields[at]}", value)
        images = ImageFiles(root)
        inner = subdirectories(root)
        shared = json.dumps([files, headers]).encode()
        for group, values in groups.all():
            split, _, name = group.partition("\0")
            number, line, _fields = json.loads(values[0])
            long = "validation" if split == "val" else split
            try:
                found = find_image(images, name, [long, f"images/{long}", *inner])
                image = os.path.join(root, found or images.inside(f"{long}/{name}.jpg"))
            except AnnotationError as error:
                yield _wrong(files[number], split, name, f"{files[number]}:{line}: {error}")
                continue
            yield Entry(
                key=key_of(os.path.relpath(image, root)),
                split=split,
                annotation_path=files[number],
                image_path=image,
                image_found=found is not None,
                sidecars=images.sidecars(found) if found else (),
                annotation=b'{"rows":[%s],"files":%s}' % (b",".join(values), shared),
            )
        if images.unnamed:
            listing.left_out["images without annotation"] += images.unnamed

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Makes an image of its rows."""
        require_image(entry)
        image = annotated_image_pb2.AnnotatedImage()
        told = json.loads(entry.annotation)
        files, headers = told["files"]
        loose: dict[str, None] = {}
        for number, line, fields in told["rows"]:
            row = dict(zip(headers[number], fields, strict=True))
            where = f"{files[number]}:{line}"
            if "XMin" in row:
                _object(row, image.objects.add(), where)
            elif _number(row, "Confidence", where) > 0:
                loose[row["LabelName"]] = None
        boxed = {item.label for item in image.objects}
        for label in loose:
            if label not in boxed:
                image.objects.add(label=label)
        place(entry, image)
        return image


def _object(row: dict[str, str], item: annotated_image_pb2.Object, where: str) -> None:
    item.label = row["LabelName"]
    box = item.box
    box.normalized = True
    box.xmin, box.ymin, box.xmax, box.ymax = (_number(row, name, where) for name in _BOX)
    for name, field in _FLAGS.items():
        if row.get(name) == "1":  # -1 is not known
            setattr(item, field, True)


def _number(row: dict[str, str], name: str, where: str) -> float:
    try:
        return float(row[name])
    except ValueError:
        raise AnnotationError(
            f"{where}: {name} is not a number: {row[name]!r}, in the line "
            f"{','.join(row.values())[:80]!r}"
        ) from None


def _split(path: str) -> str:
    return split_in(os.path.basename(path)) or "train"


def _named(root: str) -> Iterator[tuple[str, str]]:
    for below in _BELOW:
        directory = os.path.join(root, below) if below else root
        for name in list_directory(directory)[0]:
            if name.lower().endswith(".csv"):
                yield name, os.path.join(directory, name)


def _files(root: str) -> list[str]:
    found = []
    for _, path in _named(root):
        first = head(path)
        names = set(first[1][0]) if first else set()
        # Files of masks and relationships have other columns besides.
        if names >= _NEEDED and (set(_BOX) <= names or not names & {"MaskPath", "LabelName1"}):
            found.append(path)
    return found


def _classes(root: str) -> list[str]:
    return [path for name, path in _named(root) if _CLASSES.search(name)]


def _wrong(path: str, split: str, key: str, problem: str) -> Entry:
    return Entry(key=key, split=split, annotation_path=path, image_path="", problem=problem)

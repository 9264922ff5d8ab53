"""The ILSVRC CLS-LOC tree (Kaggle's ImageNet object localization), with its CSV solutions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from tfstream.annotations import voc_xml
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, place, require_image
from tfstream.annotations.rows import rows
from tfstream.annotations.tree import find_trees, walk_pairs
from tfstream.errors import AnnotationError
from tfstream.format.label_map import LabelMap
from tfstream.v1 import annotated_image_pb2

__all__ = ["IlsvrcClsLoc"]

_ANNOTATIONS = os.path.join("Annotations", "CLS-LOC")
_IMAGES = os.path.join("Data", "CLS-LOC")
_SYNSETS = "LOC_synset_mapping.txt"
_HEADER = ("ImageId", "PredictionString")
_WORDNET = re.compile(r"n\d{8}")


class IlsvrcClsLoc(AnnotationReader):
    """Images in `Data/CLS-LOC/train/<class>/` and `Data/CLS-LOC/val/`.

    What is in an image is said by `Annotations/CLS-LOC/<split>/**.xml`, else by the files
    LOC_train_solution.csv and LOC_val_solution.csv beside the tree or in it, else, without a box,
    by the directory of its class. Labels are WordNet identities, in the order and with the titles
    of LOC_synset_mapping.txt. Images of which nothing is said are left out: those of the test. The
    key is the path below Data/CLS-LOC.
    """

    name = "ilsvrc-cls-loc"
    layout = "Data/CLS-LOC, with Annotations/CLS-LOC or LOC_train_solution.csv"

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: os.path.isdir(os.path.join(path, _IMAGES)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories of annotations and of images."""
        return os.path.join(root, _ANNOTATIONS), os.path.join(root, _IMAGES)

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree."""
        if synsets := _beside(root, _SYNSETS):
            mapping = LabelMap.from_file(synsets)
            listing.labels.update(zip(mapping.names, mapping.titles, strict=True))
        solutions: dict[str, _Solution] = {}
        for split in ("train", "val"):
            path = _beside(root, f"LOC_{split}_solution.csv")
            if path is not None:
                solutions[split] = _Solution(path)
                yield from (_wrong(path, split, problem) for problem in solutions[split].problems)
        annotations, images = self.guarded(root)
        for pair in walk_pairs(annotations, images):
            split, _, rest = pair.stem.partition("/")
            stem = pair.stem.rpartition("/")[2]
            told = solutions[split].take(stem) if split in solutions else None
            label = rest.partition("/")[0]
            path, said = pair.annotation_path, b""
            if path is None and told is not None:
                path, said = solutions[split].path, told
            elif path is None and split == "train" and _WORDNET.fullmatch(label):
                path, said = pair.image_path, label.encode()
            if path is None:
                listing.left_out["images without annotation"] += 1
                continue
            yield Entry(
                key=pair.stem,
                split=split,
                annotation_path=path,
                image_path=pair.image_path or os.path.join(images, pair.stem + ".JPEG"),
                image_found=pair.image_path is not None,
                sidecars=pair.sidecars,
                annotation=said,
            )
        for split, solution in solutions.items():
            for stem, where in solution.rest():
                below = f"{stem.partition('_')[0]}/{stem}" if split == "train" else stem
                yield Entry(
                    key=f"{split}/{below}",
                    split=split,
                    annotation_path=where,
                    image_path=os.path.join(images, split, f"{below}.JPEG"),
                    image_found=False,
                )

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads the XML of an image, or what a solution says of it."""
        require_image(entry)
        if not entry.annotation:
            return voc_xml.read(entry)
        image = annotated_image_pb2.AnnotatedImage()
        words = entry.annotation.decode().split()
        if len(words) == 1:
            image.objects.add(label=words[0])
        elif len(words) % 5:
            raise AnnotationError(
                f"{entry.annotation_path}: {entry.key}: there are {len(words)} words, and five "
                f"make an object: {' '.join(words)[:80]!r}"
            )
        else:
            for at in range(0, len(words), 5):
                item = image.objects.add(label=words[at])
                try:
                    edges = [float(word) for word in words[at + 1 : at + 5]]
                except ValueError as error:
                    raise AnnotationError(
                        f"{entry.annotation_path}: {entry.key}: {error}"
                    ) from error
                item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax = edges
        place(entry, image)
        return image


class _Solution:
    """What a file of solutions says of each image, and which ones nobody has asked for."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []
        self._told: dict[str, tuple[int, bytes]] = {}  # the line, and what it says
        lines = rows(path, ",")
        header = next(lines, None)
        if header is None or header.fields != _HEADER:
            raise AnnotationError(f"{path} does not begin with the columns {', '.join(_HEADER)}.")
        for row in lines:
            if row.problem:
                self.problems.append(row.problem)
            elif os.path.isabs(row.fields[0]) or ".." in row.fields[0].split("/"):
                self.problems.append(
                    f"{path}:{row.line}: {row.fields[0]!r} leads out of the tree: name images as "
                    "their files are, without directory"
                )
            elif row.fields[0] in self._told:
                self.problems.append(f"{path}:{row.line}: {row.fields[0]!r} is named again")
            else:
                self._told[row.fields[0]] = row.line, row.fields[1].encode()

    def take(self, stem: str) -> bytes | None:
        """What is said of an image, once."""
        return self._told.pop(stem, (0, None))[1]

    def rest(self) -> Iterator[tuple[str, str]]:
        """The images that nobody has asked for, each with the line that speaks of it."""
        for stem, (line, _) in sorted(self._told.items()):
            yield stem, f"{self.path}:{line}"


def _beside(root: str, name: str) -> str | None:
    """A file in the tree, or beside it as Kaggle's archive has it."""
    for directory in (root, os.path.dirname(os.path.abspath(root))):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    return None


def _wrong(path: str, split: str, problem: str) -> Entry:
    return Entry(key="", split=split, annotation_path=path, image_path="", problem=problem)

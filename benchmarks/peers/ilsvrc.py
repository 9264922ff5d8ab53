"""The images and annotations that all peers pack: a tree of the ILSVRC DET kind."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["Annotation", "Sample", "annotation", "samples"]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One image of the tree.

    Attributes:
        key: Its path below the images' root, without extension.
        image: The image file.
        xml: The annotation file.
    """

    key: str
    image: str
    xml: str


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What one annotation file says.

    Attributes:
        width, height: Of the image, in pixels.
        names: Of the objects.
        boxes: (xmin, ymin, xmax, ymax) of each object, in pixels.
        label: The number of the image's class.
    """

    width: int
    height: int
    names: list[str]
    boxes: list[tuple[float, float, float, float]]
    label: int


def samples(tree: str | os.PathLike[str], split: str = "train") -> list[Sample]:
    """The images of a split, sorted by key."""
    root = Path(tree, "Data", "DET")
    found = []
    for image in sorted(Path(root, split).rglob("*.JPEG")):
        key = image.relative_to(root).with_suffix("").as_posix()
        found.append(Sample(key, str(image), str(Path(tree, "Annotations", "DET", key + ".xml"))))
    return found


def annotation(sample: Sample) -> Annotation:
    """Parses one annotation, with the standard library's fast parser."""
    root = ElementTree.parse(sample.xml).getroot()
    size = root.find("size")
    names, boxes = [], []
    for item in root.iterfind("object"):
        box = item.find("bndbox")
        names.append(item.findtext("name"))
        boxes.append(tuple(float(box.findtext(e)) for e in ("xmin", "ymin", "xmax", "ymax")))
    label = int(os.path.basename(os.path.dirname(sample.image))[1:])
    return Annotation(
        int(size.findtext("width")), int(size.findtext("height")), names, boxes, label
    )

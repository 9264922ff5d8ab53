"""Images that have all that a record may have, and what of it a format gives back."""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import packed
import trees

import tfstream
from tfstream.annotations import masks
from tfstream.export import Exported
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Polygon, Value

WIDTH, HEIGHT = 48, 36
LABELS = ("zebra", "a & <b>", "dog")  # not in the order of the alphabet
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
KEYS = ("plain", "a/b.c", "a/B.c", "train/x", "n00000001/ü – 猫", "<i>&amp;/ 'q'", "images/in", "e")


def mask(number: int) -> bytes:
    """A mask of some pixels, not the same for any two numbers."""
    inside = np.zeros((HEIGHT, WIDTH), np.uint8)
    inside[2 + number : 9 + number, 3:20] = 1
    inside[4 + number, 5:9] = 0
    return masks.encode(inside)


def image(number: int, key: str = "") -> AnnotatedImage:
    """An image without objects, of one of all formats."""
    format = FORMATS[number % len(FORMATS)]
    made = AnnotatedImage(
        key=key or KEYS[number],
        split="val" if number % 3 == 2 else "train",
        encoded=trees.encoded(trees.picture(number, WIDTH, HEIGHT), format),
        format=format.lower(),
        width=WIDTH,
        height=HEIGHT,
    )
    made.metadata["day"].int_value = number
    made.metadata["folder"].string_value = "f & g"
    made.metadata["camera.side"].string_value = 'left "or"\nright'
    made.metadata["night"].bool_value = number % 2 == 0
    made.metadata["heat"].CopyFrom(Value(float_value=number / 3))
    return made


def thing(number: int, label: str, *parts: str) -> Object:
    """An object with a box, and more of the fields named in `parts`."""
    xmin, ymin = 1.25 + number, 2 + number / 3
    item = Object(label=label, box=Box(xmin=xmin, ymin=ymin, xmax=30 + number, ymax=35.5))
    for part in parts:
        if part == "polygons":
            item.polygons.append(Polygon(x=[xmin, 30 + number, xmin], y=[ymin, ymin, 35.5]))
        elif part == "parts":
            item.polygons.append(Polygon(x=[xmin, 30 + number, xmin], y=[ymin, ymin, 35.5]))
            item.polygons.append(Polygon(x=[0, 1.125, 1, 0.5], y=[0, 0, 4.0625, 2]))
        elif part == "mask":
            item.mask = mask(number)
        elif part == "keypoints":
            item.keypoints.add(x=xmin, y=ymin, visibility=2, name="nose")
            item.keypoints.add(x=40.7, y=ymin, visibility=1, name="tail")
        else:
            setattr(item, part, True)
    return item


def images() -> list[AnnotatedImage]:
    """One image a key: some without objects, others with all kinds of them."""
    made = [image(number) for number in range(len(KEYS))]
    made[0].objects.append(thing(0, "dog", "polygons", "truncated", "difficult"))
    made[0].objects.append(thing(3, "zebra", "occluded"))
    made[1].objects.append(thing(1, "zebra", "parts"))
    made[2].objects.append(thing(2, "a & <b>", "mask", "crowd"))
    made[3].objects.append(thing(0, "dog", "keypoints"))
    made[4].objects.append(thing(5, "dog", "keypoints", "polygons", "occluded"))
    made[5].objects.append(thing(0, "dog", "mask"))
    made[6].objects.append(thing(2, "zebra"))
    return made


def pack(root: Path, source: object = None, **options: object) -> Path:
    """Packs the images, or a tree."""
    given = {"labels": labels_file(root)} if source is None else {}
    source = images() if source is None else source
    tfstream.pack(source, root / "packed", progress=False, processes=1, **{**given, **options})
    return root / "packed"


def labels_file(root: Path) -> Path:
    """The labels in their order."""
    return trees.put(root / "labels.txt", "".join(f"{label}\n" for label in LABELS))


def again(root: Path, out: Path, **options: object) -> Path:
    """Packs what was exported."""
    shutil.rmtree(root / "again", ignore_errors=True)
    tfstream.pack(out, root / "again", progress=False, processes=1, **options)
    return root / "again"


def export(dataset: Path, out: Path, format: str, **options: object) -> Exported:
    """Exports a packed dataset."""
    return tfstream.open(dataset).export(out, format=format, **options)


def by_split(root: Path, *, without: Collection[str] = ()) -> dict[str, dict[str, AnnotatedImage]]:
    """The records by split and key, without some fields of objects, and without file names.

    A box that is to be left out becomes that of the whole image, as records have it without one.
    """
    found: dict[str, dict[str, AnnotatedImage]] = {}
    for name in tfstream.open(root).splits:
        for one in packed.records(root, name):
            one.image_path = ""
            for item in one.objects:
                for part in without:
                    item.ClearField(part)
                if "box" in without:
                    item.box.CopyFrom(Box(xmax=1, ymax=1, normalized=True))
            found.setdefault(name, {})[one.key] = one
    return found


def pixels(item: Object) -> np.ndarray:
    """The pixels of an object's mask."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(item.mask)))

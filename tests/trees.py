"""Small image trees to pack, in the layouts of ILSVRC DET, PASCAL VOC and COCO."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("n01440764", "n02084071", "n02121808")


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object as the XML has it: box in pixels, as text so that a test may write anything."""

    name: str
    xmin: object
    ymin: object
    xmax: object
    ymax: object
    extra: str = ""

    def xml(self) -> str:
        return (
            f"\t<object>\n\t\t<name>{self.name}</name>\n{self.extra}\t\t<bndbox>\n"
            f"\t\t\t<xmin>{self.xmin}</xmin>\n\t\t\t<xmax>{self.xmax}</xmax>\n"
            f"\t\t\t<ymin>{self.ymin}</ymin>\n\t\t\t<ymax>{self.ymax}</ymax>\n"
            "\t\t</bndbox>\n\t</object>\n"
        )


def picture(number: int, width: int = 48, height: int = 36, mode: str = "RGB") -> Image.Image:
    """A picture that is different for each number and cheap to make."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (number % 7 + 1) + y * k + 37 * number) % 256 for k in (1, 3, 5)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, format: str = "JPEG", orientation: int = 1) -> bytes:
    """The picture as a file; pixels are stored as they are, whatever the orientation says."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    if format in ("JPEG", "PNG", "WEBP"):
        image.save(buffer, format, exif=exif)
    else:
        image.save(buffer, format)
    return buffer.getvalue()


def annotation(
    things: Sequence[Thing],
    *,
    size: tuple[object, object] | None = (48, 36),
    folder: str = "folder",
    name: str = "name",
    head: str = "",
) -> str:
    """An annotation file of the VOC kind."""
    measure = (
        ""
        if size is None
        else f"\t<size>\n\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n"
    )
    return (
        f"{head}<annotation>\n\t<folder>{folder}</folder>\n\t<filename>{name}</filename>\n"
        "\t<source>\n\t\t<database>made up</database>\n\t</source>\n"
        f"{measure}\t<segmented>0</segmented>\n"
        f"{''.join(thing.xml() for thing in things)}</annotation>\n"
    )


def things(number: int, width: int = 48, height: int = 36) -> list[Thing]:
    """None to three objects; none for each tenth image."""
    if number % 10 == 9:
        return []
    return [
        Thing(
            LABELS[(number + place) % len(LABELS)],
            place,
            place + 1,
            width // 2 + number % (width // 2) - place,
            height // 2 + number % (height // 2) - place,
        )
        for place in range(number % 3 + 1)
    ]


def put(path: Path, data: bytes | str) -> Path:
    """Writes a file, and the directories that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def make_ilsvrc_tree(
    root: Path, train: int = 12, val: int = 4, *, width: int = 48, height: int = 36
) -> Path:
    """Makes Annotations/DET and Data/DET with images of the same size; gives `root`.

    Image i of a split lies in the directory of label i % 3 (in "train") or in none (in "val"), and
    has the objects `things(i)`.
    """
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            label = LABELS[number % len(LABELS)]
            stem = f"{label}/{label}_{number:05d}" if split == "train" else f"val_{number:05d}"
            size = (width, height)
            put(
                root / "Annotations/DET" / split / f"{stem}.xml",
                annotation(things(number, *size), size=size, name=Path(stem).name),
            )
            put(
                root / "Data/DET" / split / f"{stem}.JPEG",
                encoded(picture(number + (1000 if split == "val" else 0), *size)),
            )
    return root


def make_voc_tree(
    root: Path, train: int = 6, val: int = 3, test: int = 2, *, year: int = 2012
) -> Path:
    """Makes Annotations, JPEGImages and ImageSets/Main; the test images have no annotation."""
    number = 0
    lists: dict[str, list[str]] = {}
    for split, count in (("train", train), ("val", val), ("test", test)):
        for _ in range(count):
            stem = f"{year}_{number:06d}"
            lists.setdefault(split, []).append(stem)
            put(root / "JPEGImages" / f"{stem}.jpg", encoded(picture(number)))
            if split != "test":
                put(root / "Annotations" / f"{stem}.xml", annotation(things(number), name=stem))
            number += 1
    lists["trainval"] = lists.get("train", []) + lists.get("val", [])
    for name, stems in lists.items():
        put(root / "ImageSets/Main" / f"{name}.txt", "".join(f"{stem}\n" for stem in stems))
    put(root / "ImageSets/Main/dog_train.txt", "".join(f"{s}  1\n" for s in lists.get("train", [])))
    return root


def make_coco_tree(root: Path, train: int = 3) -> Path:
    """Makes annotations/instances_train2017.json and train2017, with a dog in each image."""
    names = [f"{number:012d}.jpg" for number in range(train)]
    for number, name in enumerate(names):
        put(root / "train2017" / name, encoded(picture(number)))
    told = {
        "images": [
            {"id": number, "file_name": name, "width": 48, "height": 36}
            for number, name in enumerate(names)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 18, "bbox": [1, 2, 10, 20]}
            for number in range(train)
        ],
        "categories": [{"id": 18, "name": "dog"}],
    }
    put(root / "annotations/instances_train2017.json", json.dumps(told))
    return root

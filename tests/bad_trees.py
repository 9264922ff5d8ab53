"""A small good tree of each format, for tests that spoil it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import trees

DOG = "n02084071"
BOXES = "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\n"


def picture(path: Path, number: int = 0) -> Path:
    """An image file."""
    return trees.put(path, trees.encoded(trees.picture(number)))


def _xml(root: Path, images: str, annotations: str) -> None:
    for number, name in enumerate(("a", "b")):
        picture(root / images / f"{name}.jpg", number)
        xml = trees.annotation([trees.Thing(DOG, 1, 2, 30, 20)])
        trees.put(root / annotations / f"{name}.xml", xml)


def ilsvrc_det(root: Path) -> None:
    """Data/DET/val and Annotations/DET/val."""
    _xml(root, "Data/DET/val", "Annotations/DET/val")


def ilsvrc_cls_loc(root: Path) -> None:
    """Data/CLS-LOC/val with a solution."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"ILSVRC/Data/CLS-LOC/val/{name}.JPEG", number)
    lines = "".join(f"{name},{DOG} 1 2 30 20 \n" for name in ("a", "b"))
    trees.put(root / "LOC_val_solution.csv", f"ImageId,PredictionString\n{lines}")


def voc(root: Path) -> None:
    """JPEGImages, Annotations and a list."""
    _xml(root, "JPEGImages", "Annotations")
    trees.put(root / "ImageSets/Main/train.txt", "a\nb\n")


def coco(root: Path) -> None:
    """A JSON file and a directory of images."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"train/{name}.jpg", number)
    put_coco(root)


def put_coco(root: Path, *, images: tuple[dict, ...] = (), annotations: tuple[dict, ...] = ()):
    """The JSON file, with more images and annotations."""
    told = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 48, "height": 36},
            {"id": 2, "file_name": "b.jpg", "width": 48, "height": 36},
            *images,
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20]},
            *annotations,
        ],
        "categories": [{"id": 1, "name": "dog"}],
    }
    return trees.put(root / "annotations/instances_train.json", json.dumps(told, indent=1))


def yolo(root: Path) -> None:
    """data.yaml, images and labels."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"images/train/{name}.jpg", number)
        trees.put(root / f"labels/train/{name}.txt", "0 0.5 0.5 0.5 0.5\n")
    trees.put(root / "data.yaml", "train: images/train\nnames: [dog]\n")


def open_images(root: Path) -> None:
    """A table of boxes and a directory of images."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"train/{name}.jpg", number)
    lines = "".join(f"{name},/m/1,1,0,0.5,0,0.5\n" for name in ("a", "b"))
    trees.put(root / "train-annotations-bbox.csv", BOXES + lines)


def labelme(root: Path) -> None:
    """A JSON file beside each image."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"train/{name}.jpg", number)
        put_labelme(root / f"train/{name}.json")


def put_labelme(path: Path, **more: object) -> Path:
    """One of the JSON files."""
    shape = {"label": "dog", "points": [[1, 2], [30, 20]], "shape_type": "rectangle"}
    told = {"version": "5", "shapes": [shape], "imagePath": f"{path.stem}.jpg", **more}
    return trees.put(path, json.dumps({**told, "imageWidth": 48, "imageHeight": 36}))


def jsonl(root: Path) -> None:
    """A line an image."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"{name}.jpg", number)
    lines = (json.dumps({"image": f"{name}.jpg", "label": "dog"}) for name in ("a", "b"))
    trees.put(root / "train.jsonl", "".join(f"{line}\n" for line in lines))


def csv(root: Path) -> None:
    """A row an image."""
    for number, name in enumerate(("a", "b")):
        picture(root / f"{name}.jpg", number)
    trees.put(root / "train.csv", "path,label\na.jpg,dog\nb.jpg,cat\n")


def imagefolder(root: Path) -> None:
    """A directory a class."""
    picture(root / "train/cat/a.jpg")
    picture(root / "train/dog/b.jpg")


def webdataset(root: Path) -> None:
    """A tar file."""
    put_tar(root)


def put_tar(root: Path, *more: tuple[str, bytes]) -> Path:
    """The tar file, with more members."""
    image = trees.encoded(trees.picture(0))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (("a.jpg", image), ("a.cls", b"dog"), *more):
            head = tarfile.TarInfo(name)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
    return trees.put(root / "train-0.tar", buffer.getvalue())


GOOD = {
    "ilsvrc-det": ilsvrc_det,
    "ilsvrc-cls-loc": ilsvrc_cls_loc,
    "voc": voc,
    "coco": coco,
    "yolo": yolo,
    "open-images": open_images,
    "labelme": labelme,
    "jsonl": jsonl,
    "csv": csv,
    "imagefolder": imagefolder,
    "webdataset": webdataset,
}

"""Ways to spoil the good trees, and what the error says: a table, for tests of all formats."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import bad_trees
import trees

LATIN = "dög".encode("latin-1")


def append(path: Path, data: bytes | str) -> None:
    path.write_bytes(path.read_bytes() + (data.encode() if isinstance(data, str) else data))


def line_of(**told: object) -> str:
    return json.dumps(told) + "\n"


Spoil = Callable[[Path], object]

# What is wrong, in which format's tree, how it comes about, and words of the error.
CASES: list[tuple[str, str, Spoil, str]] = [
    # An image that is named, and not there.
    (
        "missing image",
        "ilsvrc-det",
        lambda r: (r / "Data/DET/val/b.jpg").unlink(),
        "The image of {root}/Annotations/DET/val/b.xml is missing: there is no",
    ),
    (
        "missing image",
        "ilsvrc-cls-loc",
        lambda r: append(r / "LOC_val_solution.csv", f"c,{bad_trees.DOG} 1 2 3 4\n"),
        "The image of {root}/LOC_val_solution.csv:4 is missing: there is no",
    ),
    (
        "missing image",
        "voc",
        lambda r: (r / "JPEGImages/b.jpg").unlink(),
        "The image of {root}/Annotations/b.xml is missing: there is no",
    ),
    (
        "missing image",
        "coco",
        lambda r: (r / "train/b.jpg").unlink(),
        "is missing: there is no {root}/train/b.jpg",
    ),
    (
        "missing image",
        "yolo",
        lambda r: (r / "images/train/b.jpg").unlink(),
        "The image of {root}/labels/train/b.txt is missing",
    ),
    (
        "missing image",
        "open-images",
        lambda r: (r / "train/b.jpg").unlink(),
        "is missing: there is no {root}/train/b.jpg",
    ),
    (
        "missing image",
        "labelme",
        lambda r: (r / "train/b.jpg").unlink(),
        "is missing: there is no {root}/train/b.jpg",
    ),
    (
        "missing image",
        "jsonl",
        lambda r: (r / "b.jpg").unlink(),
        "is missing: there is no {root}/b.jpg",
    ),
    (
        "missing image",
        "csv",
        lambda r: (r / "b.jpg").unlink(),
        "is missing: there is no {root}/b.jpg",
    ),
    (
        "missing image",
        "webdataset",
        lambda r: bad_trees.put_tar(r, ("b.cls", b"dog")),
        "the sample 'b' has no image",
    ),
    (
        "missing image",
        "imagefolder",
        lambda r: os.symlink("nowhere.jpg", r / "train/dog/c.jpg"),
        "{root}/train/dog/c.jpg is not there",
    ),
    # The same thing twice.
    (
        "duplicate",
        "voc",
        lambda r: append(r / "ImageSets/Main/train.txt", "b\n"),
        "b.xml: its key 'b' is that of an earlier record of the same file",
    ),
    (
        "duplicate",
        "ilsvrc-cls-loc",
        lambda r: append(r / "LOC_val_solution.csv", f"b,{bad_trees.DOG} 1 2 3 4\n"),
        "LOC_val_solution.csv:4: 'b' is named again",
    ),
    (
        "duplicate",
        "coco",
        lambda r: bad_trees.put_coco(r, images=({"id": 2, "file_name": "a.jpg"},)),
        "images[1] and images[2] both have the id 2",
    ),
    (
        "duplicate",
        "coco",
        lambda r: bad_trees.put_coco(r, annotations=({"id": 1, "image_id": 1, "category_id": 1},)),
        "the annotation id 1 is used 2 times",
    ),
    (
        "duplicate",
        "coco",
        lambda r: bad_trees.put_coco(r, images=({"id": 3, "file_name": "a.jpg"},)),
        "its key 'train/a' is that of an earlier record of the same file",
    ),
    (
        "duplicate",
        "yolo",
        lambda r: bad_trees.picture(r / "images/train/b.png"),
        "its key 'train/b' is that of {root}/images/train/b.jpg already",
    ),
    (
        "duplicate",
        "imagefolder",
        lambda r: bad_trees.picture(r / "train/dog/b.png"),
        "its key 'train/dog/b' is that of {root}/train/dog/b.jpg already",
    ),
    (
        "duplicate",
        "jsonl",
        lambda r: append(r / "train.jsonl", line_of(image="b.jpg", label="cat")),
        "train.jsonl: its key 'b' is that of an earlier record",
    ),
    (
        "duplicate",
        "webdataset",
        lambda r: (
            bad_trees.put_tar(r),
            (r / "train-0.tar").rename(r / "x.tar"),
            bad_trees.put_tar(r),
        ),
        "its key 'a' is that of {root}/train-0.tar already",
    ),
    # A class that nobody has named.
    (
        "category",
        "coco",
        lambda r: bad_trees.put_coco(r, annotations=({"id": 5, "image_id": 2, "category_id": 9},)),
        "there is no category of its category_id 9",
    ),
    (
        "category",
        "yolo",
        lambda r: append(r / "labels/train/b.txt", "7 0.5 0.5 0.5 0.5\n"),
        "labels/train/b.txt:2: there is the class 7",
    ),
    # A line that is none.
    (
        "malformed",
        "ilsvrc-det",
        lambda r: append(r / "Annotations/DET/val/b.xml", "<x>"),
        "b.xml:23: the XML does not parse",
    ),
    (
        "malformed",
        "voc",
        lambda r: append(r / "Annotations/b.xml", "<x>"),
        "b.xml:23: the XML does not parse",
    ),
    (
        "malformed",
        "ilsvrc-cls-loc",
        lambda r: append(r / "LOC_val_solution.csv", "c\n"),
        "LOC_val_solution.csv:4: there are 1 values, where 2 belong, in the line 'c'",
    ),
    (
        "malformed",
        "coco",
        lambda r: append(r / "annotations/instances_train.json", "]"),
        "something stands behind the object's end",
    ),
    (
        "malformed",
        "yolo",
        lambda r: append(r / "labels/train/b.txt", "0 0.5\n"),
        "b.txt:2: there are 2 numbers",
    ),
    (
        "malformed",
        "open-images",
        lambda r: append(r / "train-annotations-bbox.csv", "a,/m/1,0\n"),
        "bbox.csv:4: there are 3 values, where 7 belong, in the line 'a,/m/1,0'",
    ),
    (
        "malformed",
        "labelme",
        lambda r: append(r / "train/b.json", "]"),
        "train/b.json:1: the JSON does not parse: Extra data at character",
    ),
    (
        "malformed",
        "jsonl",
        lambda r: append(r / "train.jsonl", "{\n"),
        "train.jsonl:3: the JSON does not parse: Expecting property name enclosed in",
    ),
    (
        "malformed",
        "csv",
        lambda r: append(r / "train.csv", "a.jpg\n"),
        "train.csv:4: there are 1 values, where 2 belong, in the line 'a.jpg'",
    ),
    (
        "malformed",
        "webdataset",
        lambda r: bad_trees.put_tar(r, ("b.jpg", b"x"), ("b.json", b"{")),
        "train-0.tar: the sample 'b': its .json does not parse",
    ),
    # Text that is not UTF-8, as all else is.
    (
        "encoding",
        "ilsvrc-det",
        lambda r: append(r / "Annotations/DET/val/b.xml", LATIN),
        "b.xml:23: the XML does not parse",
    ),
    (
        "encoding",
        "voc",
        lambda r: append(r / "ImageSets/Main/train.txt", LATIN),
        "Main/train.txt is not UTF-8 text",
    ),
    (
        "encoding",
        "ilsvrc-cls-loc",
        lambda r: append(r / "LOC_val_solution.csv", LATIN + b",x\n"),
        "LOC_val_solution.csv:4: it is not UTF-8",
    ),
    (
        "encoding",
        "coco",
        lambda r: append(r / "annotations/instances_train.json", LATIN),
        "is not UTF-8 text",
    ),
    (
        "encoding",
        "yolo",
        lambda r: append(r / "data.yaml", b"# " + LATIN),
        "data.yaml is not UTF-8 text",
    ),
    (
        "encoding",
        "yolo",
        lambda r: append(r / "labels/train/b.txt", LATIN),
        "labels/train/b.txt is not UTF-8 text",
    ),
    (
        "encoding",
        "open-images",
        lambda r: append(r / "train-annotations-bbox.csv", LATIN + b",/m/1,1,0,1,0,1\n"),
        "train-annotations-bbox.csv:4: it is not UTF-8",
    ),
    (
        "encoding",
        "labelme",
        lambda r: append(r / "train/b.json", LATIN),
        "train/b.json is not UTF-8",
    ),
    (
        "encoding",
        "jsonl",
        lambda r: append(r / "train.jsonl", b'{"image": "a.jpg", "label": "' + LATIN + b'"}\n'),
        "train.jsonl:3: it is not UTF-8",
    ),
    (
        "encoding",
        "csv",
        lambda r: append(r / "train.csv", b"a.jpg," + LATIN + b"\n"),
        "train.csv:4: it is not UTF-8, as what is before it, in the line",
    ),
    (
        "encoding",
        "webdataset",
        lambda r: bad_trees.put_tar(r, ("b.jpg", b"x"), ("b.cls", LATIN)),
        "the sample 'b': its .cls is not UTF-8",
    ),
    (
        "encoding",
        "imagefolder",
        lambda r: os.rename(os.fsencode(r / "train/dog"), os.fsencode(r / "train") + b"/" + LATIN),
        "is not UTF-8",
    ),
    # Paths that lead out of the tree.
    (
        "outside",
        "voc",
        lambda r: append(r / "ImageSets/Main/train.txt", "/etc/passwd\n"),
        "Main/train.txt:3: '/etc/passwd' leads out of",
    ),
    (
        "outside",
        "coco",
        lambda r: bad_trees.put_coco(r, images=({"id": 3, "file_name": "/etc/passwd.jpg"},)),
        "leads out of",
    ),
    (
        "outside",
        "coco",
        lambda r: bad_trees.put_coco(r, images=({"id": 3, "file_name": "../../x.jpg"},)),
        "leads out of",
    ),
    (
        "outside",
        "yolo",
        lambda r: trees.put(r / "data.yaml", "train: /etc\nnames: [dog]\n"),
        "leads out of",
    ),
    (
        "outside",
        "yolo",
        lambda r: trees.put(r / "data.yaml", "train: ../..\nnames: [dog]\n"),
        "leads out of",
    ),
    (
        "outside",
        "ilsvrc-cls-loc",
        lambda r: append(r / "LOC_val_solution.csv", f"../../x,{bad_trees.DOG} 1 2 3 4\n"),
        "LOC_val_solution.csv:4: '../../x' leads out of",
    ),
    (
        "outside",
        "open-images",
        lambda r: append(r / "train-annotations-bbox.csv", "../../x,/m/1,1,0,1,0,1\n"),
        "leads out of",
    ),
    (
        "outside",
        "jsonl",
        lambda r: append(r / "train.jsonl", line_of(image="/etc/x.jpg", label="a")),
        "train.jsonl:3: the image path '/etc/x.jpg' leads out of",
    ),
    # Links that make a tree without end.
    ("loop", "ilsvrc-det", lambda r: os.symlink("..", r / "Data/DET/val/up"), "a tree without end"),
    ("loop", "voc", lambda r: os.symlink("..", r / "JPEGImages/up"), "a tree without end"),
    (
        "loop",
        "ilsvrc-cls-loc",
        lambda r: os.symlink("..", r / "ILSVRC/Data/CLS-LOC/val/up"),
        "a tree without end",
    ),
    ("loop", "coco", lambda r: os.symlink("..", r / "train/up"), "a tree without end"),
    ("loop", "yolo", lambda r: os.symlink("..", r / "images/train/up"), "a tree without end"),
    ("loop", "open-images", lambda r: os.symlink("..", r / "train/up"), "a tree without end"),
    ("loop", "labelme", lambda r: os.symlink("..", r / "train/up"), "a tree without end"),
    ("loop", "jsonl", lambda r: os.symlink(".", r / "up"), "a tree without end"),
    ("loop", "csv", lambda r: os.symlink(".", r / "up"), "a tree without end"),
    ("loop", "imagefolder", lambda r: os.symlink("..", r / "train/dog/up"), "a tree without end"),
    ("outside", "csv", lambda r: append(r / "train.csv", "../x.jpg,a\n"), "leads out of"),
]

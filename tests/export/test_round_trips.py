"""What is exported and packed again is what it was, as far as the format holds it."""

from __future__ import annotations

from pathlib import Path

import exportable
import pytest
import trees

import tfstream
from tfstream.export import FORMATS

FLAGS = ("difficult", "truncated", "occluded", "crowd")


@pytest.mark.parametrize("format", ["voc", "coco", "webdataset"])
def test_whatever_the_format_holds_comes_back(dataset: Path, tmp_path: Path, format: str) -> None:
    done = exportable.export(dataset, tmp_path / "out", format)
    labels = {"labels": tmp_path / "out/labels.txt"} if format == "voc" else {}
    back = exportable.again(tmp_path, tmp_path / "out", format=format, **labels)
    without = {"voc": ["keypoints"]}.get(format, [])
    wanted = exportable.by_split(dataset, without=without)
    found = exportable.by_split(back, without=without)
    if format == "coco":  # which numbers its images
        for one in [each for split in found.values() for each in split.values()]:
            del one.metadata["coco.id"]
    assert found == wanted
    assert tfstream.open(back).labels == tfstream.open(dataset).labels
    lost = {
        "voc": {
            "labels whose order is in labels.txt alone (tfstream pack --labels)": 3,
            "objects with keypoints": 2,
        }
    }
    assert done.lost == lost.get(format, {})
    assert (done.format, done.records) == (format, len(exportable.KEYS))


@pytest.mark.parametrize("format", ["voc", "webdataset", "coco"])
def test_what_is_void_comes_back_or_is_told(tmp_path: Path, format: str) -> None:
    one = exportable.images()[2]
    one.void = exportable.mask(12)  # beside the object's mask
    done = exportable.export(exportable.pack(tmp_path, [one]), tmp_path / "out", format)
    back = exportable.by_split(exportable.again(tmp_path, tmp_path / "out", format=format))
    (found,) = back["val"].values()
    said = done.lost.get("places of which nobody says what they show (void)", 0)
    assert said == (format == "coco")
    assert found.void == (b"" if format == "coco" else one.void)


def test_yolo_gives_boxes_and_outlines_back(dataset: Path, tmp_path: Path) -> None:
    data = tfstream.open(dataset).slice('not key in ("train/x", "n00000001/ü – 猫")')
    done = data.export(tmp_path / "out", format="yolo")
    assert done.lost == {
        "crowd flags": 1,
        "difficult flags": 1,
        "masks": 2,
        "occluded flags": 1,
        "objects with outlines of several parts, of which the box is written": 1,
        "truncated flags": 1,
    }
    back = exportable.again(tmp_path, tmp_path / "out")
    without = [*FLAGS, "mask"]
    wanted = exportable.by_split(dataset, without=without)
    (split,) = (name for name, images in wanted.items() if "a/b.c" in images)
    wanted[split]["a/b.c"].objects[0].ClearField("polygons")  # two parts
    found = exportable.by_split(back, without=without)
    for name, images in found.items():
        assert images == {key: wanted[name][key] for key in images}
    assert sum(map(len, found.values())) == len(data)
    assert tfstream.open(back).labels.names == exportable.LABELS


def test_yolo_gives_poses_back_where_all_have_as_many_points(dataset: Path, tmp_path: Path) -> None:
    done = exportable.export(dataset, tmp_path / "out", "yolo")
    assert done.lost["objects with outlines"] == 3
    assert done.lost["objects whose keypoints have names"] == 2
    assert done.lost["objects without keypoints, which get 2 that are not labelled"] == 6
    back = exportable.by_split(exportable.again(tmp_path, tmp_path / "out"))
    wanted = exportable.by_split(dataset, without=[*FLAGS, "mask", "polygons"])
    for split, images in wanted.items():
        for key, one in images.items():
            for item in one.objects:
                for point in item.keypoints:
                    point.name = ""
                if not item.keypoints:
                    item.keypoints.add()
                    item.keypoints.add()
            assert back[split][key] == one


def test_a_directory_a_class_gives_the_main_label_back(dataset: Path, tmp_path: Path) -> None:
    done = exportable.export(dataset, tmp_path / "out", "imagefolder")
    kinds = {
        "boxes": 8,
        "images without objects, which become of the class 'background'": 1,
        "keys that become others": 8,
        "objects beside the main one": 1,
        "labels whose order is in labels.txt alone (tfstream pack --labels)": 3,
    }
    assert kinds.items() <= done.lost.items()
    back = exportable.by_split(exportable.again(tmp_path, tmp_path / "out"))
    for split, images in exportable.by_split(dataset).items():
        rows = tfstream.open(dataset).split(split).metadata.to_pylist()
        labels = {row["key"]: row["label"] or "background" for row in rows}
        for key, one in images.items():
            found = back[split][f"{split}/{labels[key]}/{key}"]
            assert [item.label for item in found.objects] == [labels[key]]
            assert (found.encoded, found.metadata) == (one.encoded, one.metadata)
    # What comes from such a tree keeps its keys.
    second = tfstream.open(tmp_path / "again").export(tmp_path / "second", format="imagefolder")
    assert second.lost == {}


def test_images_of_every_format_are_as_they_were_stored(dataset: Path, tmp_path: Path) -> None:
    tfstream.open(dataset).export(tmp_path / "out", format="images")
    for one in exportable.images():
        ending = one.format.replace("jpeg", "jpg")
        assert (tmp_path / "out" / f"{one.key}.{ending}").read_bytes() == one.encoded


def test_coco_keeps_the_identities_of_its_images(tmp_path: Path) -> None:
    trees.make_coco_tree(tmp_path / "tree", train=3)
    packed = exportable.pack(tmp_path, tmp_path / "tree")
    exportable.export(packed, tmp_path / "out", "coco")
    back = exportable.again(tmp_path, tmp_path / "out")
    assert exportable.by_split(back) == exportable.by_split(packed)


def test_keys_that_no_file_can_have_are_escaped_and_told(tmp_path: Path) -> None:
    keys = [
        "../up",
        "/root",
        ".hidden/x",
        "line\nbreak",
        "back\\slash",
        " edge ",
        "a.png/b",
        "\u2028",
    ]
    images = [exportable.image(number, key) for number, key in enumerate(keys)]
    for one in images:
        one.objects.append(exportable.thing(1, "dog"))
    packed = exportable.pack(tmp_path, images)
    for format in FORMATS:
        done = exportable.export(packed, tmp_path / format, format)
        assert done.lost.get("keys that become others", 0) == (0 if format == "webdataset" else 8)
        if format not in ("images", "imagefolder"):  # which need two classes to be found
            assert len(tfstream.open(exportable.again(tmp_path, tmp_path / format))) == 8
    # The last one tells keys as they are.
    back = tfstream.open(exportable.again(tmp_path, tmp_path / "webdataset"))
    assert sorted(back.metadata["key"].to_pylist()) == sorted(keys)


def test_splits_of_other_names_become_those_that_the_formats_know(tmp_path: Path) -> None:
    images = exportable.images()
    for one, split in zip(images, ["extra", "validation", "test"] * 3, strict=False):
        one.split = split
    packed = exportable.pack(tmp_path, images)
    for format in ("voc", "coco", "yolo", "webdataset"):
        done = exportable.export(packed, tmp_path / format, format)
        assert done.lost["records of the split 'extra', which becomes 'train'"] == 3
        assert done.lost["records of the split 'validation', which becomes 'val'"] == 3
        back = tfstream.open(exportable.again(tmp_path, tmp_path / format))
        assert {name: len(back.split(name)) for name in back.splits} == {
            "train": 3,
            "val": 3,
            "test": 2,
        }

"""What cannot be exported is told before anything is written, or leaves nothing half written."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import exportable
import numpy as np
import pytest
from emulator import Bucket
from packed import digests

import tfstream
from tfstream.errors import InvalidArgumentError, StorageError
from tfstream.export import FORMATS
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Tensor


def test_a_format_that_there_is_not_lists_those_there_are(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"format='cocoo' is not a format to export to: did you mean 'coco'\? There are "
        r"'voc', 'coco', 'yolo', 'imagefolder', 'webdataset', 'images', and 'auto'\.",
    ):
        exportable.export(dataset, tmp_path / "out", "cocoo")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_a_directory_that_holds_something_is_left_alone(
    dataset: Path, tmp_path: Path, format: str
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InvalidArgumentError, match=r"is not empty \(it holds 'mine.txt'\)"):
        exportable.export(dataset, tmp_path, format)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("format", FORMATS)
def test_two_records_of_one_name_are_told_before_anything_is_written(
    dataset: Path, tmp_path: Path, format: str
) -> None:
    template = "{split}/{label}/x{ext}"
    with pytest.raises(
        InvalidArgumentError, match=r"gives the records '.*' and '.*' the same file, .*: put \{key"
    ):
        tfstream.open(dataset).export(tmp_path / "out", format=format, template=template)
    assert not (tmp_path / "out").exists()


def test_a_template_without_classes_is_of_no_use_for_directories_of_classes(
    dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"the template '\{key\}\{ext\}' is of no use for imagefolder: a class is a directory "
        r"of its split, so it has to begin with \{split\}/\{label\}/",
    ):
        tfstream.open(dataset).export(tmp_path / "out", format="imagefolder", template="{key}{ext}")


@pytest.mark.parametrize("format", ["coco", "yolo", "imagefolder", "webdataset"])
def test_templates_name_the_images_of_every_format(
    dataset: Path, tmp_path: Path, format: str
) -> None:
    template = "{split}/{label}/{day}{ext}"
    tfstream.open(dataset).export(tmp_path / "out", format=format, template=template)
    back = tfstream.open(exportable.again(tmp_path, tmp_path / "out"))
    assert len(back) == len(exportable.KEYS)
    if format != "webdataset":  # which tells keys as they are
        rows = tfstream.open(dataset).metadata.to_pylist()
        assert sorted(back.metadata["key"].to_pylist()) == sorted(
            f"{row['split']}/{row['label'] or 'background'}/{row['day']}" for row in rows
        )


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_whole_files_alone(dataset: Path, tmp_path: Path, format: str) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = 1500  # bytes: less than some images have
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limit[1]))
        with pytest.raises(
            StorageError, match=r"Cannot write .*: File too large. What was written stays\."
        ):
            exportable.export(dataset, tmp_path / "out", format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    stored = {one.encoded for one in exportable.images()}
    files = [path for path in (tmp_path / "out").rglob("*.*") if path.is_file()]
    for path in files:
        data = path.read_bytes()
        whole = {".json": _is_json(data), ".xml": data.endswith(b"</annotation>\n")}
        assert data in stored or whole[path.suffix]


def _is_json(data: bytes) -> bool:
    try:
        return bool(json.loads(data))
    except ValueError:
        return False


def test_a_dataset_in_a_bucket_is_exported(dataset: Path, bucket: Bucket, tmp_path: Path) -> None:
    bucket.upload(dataset)
    tfstream.open(bucket.uri).export(tmp_path / "out", format="coco")
    exportable.export(dataset, tmp_path / "local", "coco")
    assert digests(tmp_path / "out") == digests(tmp_path / "local")


def test_tensors_are_no_images_and_targets_are_counted(tmp_path: Path) -> None:
    images = exportable.images()[:3]
    for one in images[:2]:
        one.target.dtype, one.target.data = "float32", np.float32(1).tobytes()
    images.append(AnnotatedImage(key="t", tensor=Tensor(dtype="uint8", shape=[2], data=b"ab")))
    images[3].target.CopyFrom(images[0].target)
    images[2].target.CopyFrom(images[0].target)
    data = tfstream.open(exportable.pack(tmp_path, images[:3]))
    done = data.export(tmp_path / "out", format="webdataset")
    assert done.lost == {"numbers to be predicted": 3}
    data = tfstream.open(exportable.pack(tmp_path / "t", images[3:]))
    with pytest.raises(InvalidArgumentError, match="record 't' holds a tensor and no image"):
        data.export(tmp_path / "t/out")


def test_labels_in_the_order_of_the_alphabet_need_no_file(tmp_path: Path) -> None:
    images = exportable.images()[:2]
    dataset = exportable.pack(tmp_path, images, labels=None)
    done = exportable.export(dataset, tmp_path / "out", "voc")
    assert done.lost == {}
    assert not (tmp_path / "out/labels.txt").exists()


def test_titles_go_where_there_is_a_place_for_them(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("n00000002 dog, hound\nn00000001 cat\nother\n")
    images = [exportable.image(0), exportable.image(1)]
    images[0].objects.append(exportable.thing(0, "n00000001"))
    images[1].objects.append(exportable.thing(0, "n00000002"))
    dataset = exportable.pack(tmp_path, images, labels=tmp_path / "map.txt")
    wanted = tfstream.open(dataset).labels
    for format in ("voc", "coco", "imagefolder", "webdataset"):
        exportable.export(dataset, tmp_path / format, format)
        beside = tmp_path / format / "labels.txt"
        given = {"labels": beside} if format in ("voc", "imagefolder") else {}
        back = exportable.again(tmp_path, tmp_path / format, **given)
        assert tfstream.open(back).labels == wanted
    assert exportable.export(dataset, tmp_path / "yolo", "yolo").lost == {"titles of labels": 2}

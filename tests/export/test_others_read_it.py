"""What is exported, read by programs that are not ours."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import exportable
import numpy as np
import packed
import pytest
import yaml

import tfstream
from tfstream.export.webdataset import WebDatasetWriter
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Object

WIDTH, HEIGHT = exportable.WIDTH, exportable.HEIGHT


def stored(dataset: Path) -> dict[str, AnnotatedImage]:
    return {one.key: one for one in packed.records(dataset)}


def edges(item: Object) -> list[float]:
    """Of an object's box, in pixels."""
    box = item.box
    return [box.xmin * WIDTH, box.ymin * HEIGHT, box.xmax * WIDTH, box.ymax * HEIGHT]


def test_pycocotools_finds_the_boxes_masks_and_keypoints(dataset: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="needs pip install pycocotools")
    exportable.export(dataset, tmp_path, "coco")
    records = stored(dataset)
    seen = 0
    for split in ("train", "val"):
        read = coco.COCO(tmp_path / f"annotations/instances_{split}.json")
        for told in read.loadImgs(read.getImgIds()):
            one = records[told["file_name"].rpartition(".")[0]]
            assert (tmp_path / "images" / told["file_name"]).read_bytes() == one.encoded
            annotations = read.loadAnns(read.getAnnIds([told["id"]], iscrowd=None))
            for item, annotation in zip(one.objects, annotations, strict=True):
                seen += 1
                (category,) = read.loadCats([annotation["category_id"]])
                assert category["name"] == item.label
                x, y, width, height = annotation["bbox"]
                np.testing.assert_allclose([x, y, x + width, y + height], edges(item), rtol=1e-6)
                assert annotation["iscrowd"] == item.crowd
                if item.mask:
                    np.testing.assert_array_equal(
                        read.annToMask(annotation), exportable.pixels(item)
                    )
                    assert annotation["area"] == exportable.pixels(item).sum()
                elif item.polygons:  # filled: as much as the area says, but for the border
                    filled = read.annToMask(annotation).sum()
                    assert abs(filled - annotation["area"]) < 2 * (WIDTH + HEIGHT)
                points = [(p.x * WIDTH, p.y * HEIGHT, p.visibility) for p in item.keypoints]
                found = np.reshape(annotation.get("keypoints", []), (-1, 3))
                np.testing.assert_allclose(found, np.reshape(points, (-1, 3)), rtol=1e-6)
    assert seen == sum(len(one.objects) for one in records.values())


def test_yolos_lines_are_what_its_format_says(dataset: Path, tmp_path: Path) -> None:
    data = tfstream.open(dataset).slice('not key in ("train/x", "n00000001/ü – 猫")')
    data.export(tmp_path, format="yolo")
    records = stored(dataset)
    told = yaml.safe_load((tmp_path / "data.yaml").read_text())
    images = [
        tmp_path / line
        for split in ("train", "val")
        for line in (tmp_path / told[split]).read_text().splitlines()
    ]
    assert len(images) == len(data)
    for path in images:
        below = path.relative_to(tmp_path / "images")
        one = records[str(below.with_suffix(""))]
        assert path.read_bytes() == one.encoded
        # The last "images" of the path is where the text's path has "labels".
        head, tail = str(path).rsplit("/images/", 1)
        lines = Path(f"{head}/labels/{tail}").with_suffix(".txt").read_text().splitlines()
        for line, item in zip(lines, one.objects, strict=True):
            number, *values = map(float, line.split())
            assert told["names"][int(number)] == item.label
            if len(values) == 4:
                x, y, width, height = values
                values = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                box = item.box
                np.testing.assert_allclose(
                    values, [box.xmin, box.ymin, box.xmax, box.ymax], atol=1e-7
                )
            else:
                (polygon,) = item.polygons
                np.testing.assert_allclose(
                    np.reshape(values, (-1, 2)), list(zip(polygon.x, polygon.y, strict=True))
                )


def test_webdataset_reads_the_tar_files(dataset: Path, tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="needs pip install webdataset")
    exportable.export(dataset, tmp_path, "webdataset")
    tars = sorted(map(str, tmp_path.glob("*.tar")))
    records = stored(dataset)
    found = {}
    for sample in wds.WebDataset(tars, shardshuffle=False, empty_check=False):
        told = json.loads(sample["json"])
        found[told["key"]] = sample
    assert found.keys() == records.keys()
    labels = tfstream.open(dataset).labels
    for key, sample in found.items():
        one = records[key]
        ending = one.format.replace("jpeg", "jpg")
        assert sample[ending] == one.encoded
        assert sample["__key__"] == key.replace(".", "%2E")
        label = tfstream.open(dataset)[key]["label"]
        assert int(sample["cls"]) == (labels.background if label is None else labels.id[label])


def test_tar_files_are_cut_by_size_and_are_the_same_bytes_each_time(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebDatasetWriter, "shard_bytes", 12_000)
    for name in ("one", "other"):
        exportable.export(dataset, tmp_path / name, "webdataset")
    assert packed.digests(tmp_path / "one") == packed.digests(tmp_path / "other")
    tars = sorted((tmp_path / "one").glob("train-*.tar"))
    assert [path.name for path in tars[:2]] == ["train-000000.tar", "train-000001.tar"]
    for path in tars:
        assert path.stat().st_size <= 12_000 + 1024
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
    back = exportable.again(tmp_path, tmp_path / "one")
    assert exportable.by_split(back) == exportable.by_split(dataset)


def test_long_names_stand_in_tar_files(tmp_path: Path) -> None:
    images = [exportable.image(0, f"{'d' * 120}/{'ü' * 90}")]
    dataset = exportable.pack(tmp_path, images)
    exportable.export(dataset, tmp_path / "out", "webdataset")
    data = (tmp_path / "out/train-000000.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames()[0] == f"{images[0].key}.jpg"

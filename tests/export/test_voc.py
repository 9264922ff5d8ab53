"""A PASCAL VOC tree of what is exported; and what holds for every format."""

from __future__ import annotations

import json
from pathlib import Path

import numbered
import numpy as np
import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st
from packed import digests, records
from tiny_dataset import write_dataset

import tfstream
from tfstream.annotations.voc_xml import parse
from tfstream.errors import CorruptRecordError, InvalidArgumentError
from tfstream.export import Exported, export
from tfstream.export.numbers import edge
from tfstream.export.voc_xml import beyond_xml, to_xml
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Polygon


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    trees.make_voc_tree(root / "tree", train=12, val=5, test=0)
    tfstream.pack(root / "tree", root / "packed", progress=False)
    return root / "packed"


@pytest.fixture
def plain(tmp_path: Path) -> tfstream.PackedDataset:
    """Images without any annotation."""
    images = [numbered.image(number) for number in range(0, 40, 4)]
    schema = {"number": "int", "scene": "string", "night": "bool"}
    write_dataset(tmp_path / "plain", {"train": [images]}, schema)
    return tfstream.open(tmp_path / "plain")


def test_what_is_exported_packs_to_the_same_records(packed: Path, tmp_path: Path) -> None:
    done = export(tfstream.open(packed), tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert done == Exported(str(tmp_path / "out"), "voc", 17, size)
    tfstream.pack(tmp_path / "out", tmp_path / "again", progress=False)
    for split in ("train", "val"):
        one = {image.key: image for image in records(packed, split)}
        other = {image.key: image for image in records(tmp_path / "again", split)}
        assert one == other
    assert tfstream.open(tmp_path / "again").labels.names == tfstream.open(packed).labels.names


def test_the_template_names_the_images(packed: Path, tmp_path: Path) -> None:
    data = tfstream.open(packed)
    export(data, tmp_path / "out", template="{split}/{label}/{name}{ext}")
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in tmp_path.rglob("*.jpg"))
    rows = data.metadata.to_pylist()
    assert found == sorted(
        f"JPEGImages/{row['split']}/{row['label'] or 'background'}/{row['key']}.jpg" for row in rows
    )
    assert len(tfstream.pack(tmp_path / "out", tmp_path / "again", progress=False)) == 17


def test_a_part_is_exported_in_its_own_splits(packed: Path, tmp_path: Path) -> None:
    data = tfstream.open(packed).slice("@split:0.5:0.2:0.3")
    export(data, tmp_path / "out")
    lists = {path.stem: path.read_text().split() for path in tmp_path.rglob("*.txt")}
    names = {"train": "train", "test": "test", "validation": "val"}
    assert lists == {
        names[split]: [row["key"] for row in data.split(split).metadata.to_pylist()]
        for split in data.splits
        if len(data.split(split))
    }


def test_without_annotations_images_and_metadata_are_written_alone(
    plain: tfstream.PackedDataset, tmp_path: Path
) -> None:
    assert export(plain, tmp_path / "out").format == "images"
    assert (tmp_path / "out/train/0004.png").read_bytes() == numbered.image(4).encoded
    told = json.loads((tmp_path / "out/train/0004.png.metadata.json").read_text())
    assert told == {"night": False, "number": 4, "scene": "scene 1"}
    assert len(list((tmp_path / "out").rglob("*.*"))) == 20


def test_metadata_that_xml_has_no_place_for_lies_beside_the_image(tmp_path: Path) -> None:
    data = tfstream.open(numbered.write(tmp_path / "packed", train=4))
    export(data, tmp_path / "out")
    told = (tmp_path / "out/JPEGImages/train/0003.png.metadata.json").read_text()
    assert json.loads(told) == {"night": True, "number": 3, "scene": "scene 1"}
    tfstream.pack(tmp_path / "out", tmp_path / "again", progress=False)
    again = tfstream.open(tmp_path / "again").sort_by("key").metadata
    assert again.to_pylist() == data.sort_by("key").metadata.to_pylist()
    kept = {"folder": "f", "segmented": True, "source.image": "flickr"}
    assert beyond_xml({**kept, "day": 3, "none": None}) == {"day": 3}
    assert beyond_xml({"segmented": "yes", "folder": " f"}) == {"segmented": "yes", "folder": " f"}


def test_an_annotation_is_read_back_as_it_was() -> None:
    image = AnnotatedImage(key="k", width=333, height=77, objects=[Object(label="a & <b>")])
    item = image.objects[0]
    item.difficult = item.occluded = item.truncated = item.crowd = True
    edges = np.float32([1 / 333, 0.1234567, 0.987654321, 76.5 / 77]).tolist()
    xmin, ymin, xmax, ymax = edges
    item.box.CopyFrom(Box(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, normalized=True))
    item.polygons.append(Polygon(x=[0.1, 0.5, 0.333], y=[0.2, 0.9, 1.0]))
    metadata = {"folder": "<f>", "source.database": "d", "segmented": True}
    back = parse(to_xml(image, "x & y.jpg", metadata), "x.xml")
    (again,) = back.objects
    assert _box(again, 333, 77) == _box(item, 1, 1)
    for read, wanted in zip(again.polygons, item.polygons, strict=True):
        np.testing.assert_allclose(np.divide(read.x, 333), wanted.x, rtol=1e-6)
        np.testing.assert_allclose(np.divide(read.y, 77), wanted.y, rtol=1e-6)
    for one in (again, item):
        del one.polygons[:]
        one.ClearField("box")
    assert again == item
    assert (back.width, back.height) == (333, 77)
    assert {name: value.string_value for name, value in back.metadata.items()} == {
        "folder": "<f>",
        "source.database": "d",
        "segmented": "",
    }


def _box(item: Object, width: int, height: int) -> list[np.float32]:
    """The sides as records hold them."""
    box = item.box
    sides = (box.xmin / width, box.ymin / height, box.xmax / width, box.ymax / height)
    return [np.float32(side) for side in sides]


@given(st.floats(0, 1, width=32), st.integers(1, 40_000))
def test_pixels_give_the_fraction_back(fraction: float, side: int) -> None:
    shown = edge(fraction, side)
    assert np.float32(float(shown) / side) == np.float32(fraction)
    assert float(shown) <= side


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{label}{ext}", r"gives the records '.*' and '.*' the same file, .*\.jpg: put \{key\}"),
        ("../{key}{ext}", r"makes '\.\./2012_\d+\.jpg' of record '2012_\d+', which has the part"),
        ("/tmp/{key}{ext}", "begins with /"),
        ("{key}", r"does not end as the name of an image does \(with \{ext\}\)"),
        ("{key}\n{ext}", "has a line break"),
        ("{lable}/{key}{ext}", r"did you mean \{label\}\?"),
    ],
)
def test_names_that_climb_out_or_collide_are_told_before_anything_is_written(
    packed: Path, tmp_path: Path, template: str, why: str
) -> None:
    data = tfstream.open(packed)
    with pytest.raises(InvalidArgumentError, match=why):
        export(data, tmp_path / "out", template=template)
    assert not (tmp_path / "out").exists()


def test_a_file_and_a_directory_cannot_have_one_name(tmp_path: Path) -> None:
    images = [numbered.image(1), numbered.image(2)]
    images[0].key, images[1].key = "a", "a.xml/b"
    write_dataset(
        tmp_path / "packed",
        {"train": [images]},
        {"number": "int", "scene": "string", "night": "bool"},
    )
    with pytest.raises(
        InvalidArgumentError, match=r"'a' and 'a.xml/b' the same file, Annotations/a"
    ):
        export(tfstream.open(tmp_path / "packed"), tmp_path / "out")


def test_nothing_is_overwritten(packed: Path, tmp_path: Path) -> None:
    precious = tmp_path / "out" / "JPEGImages" / "mine.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    before = digests(tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"is not empty \(it holds 'JPEGImages'\)"):
        export(tfstream.open(packed), tmp_path / "out")
    with pytest.raises(InvalidArgumentError, match=r"mine\.jpg is a file: name a directory"):
        export(tfstream.open(packed), precious)
    assert digests(tmp_path) == before


def test_nothing_to_export_is_an_error(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="there are no records to export"):
        export(tfstream.open(packed)[:0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_corrupt_record_is_named(tmp_path: Path) -> None:
    root = numbered.write(tmp_path / "packed", train=4)
    (shard,) = root.glob("shards/*.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-9] + b"123456789")
    with pytest.raises(CorruptRecordError, match="train/0003"):
        export(tfstream.open(root), tmp_path / "out")


def test_a_text_that_xml_cannot_hold_is_told() -> None:
    image = AnnotatedImage(key="k", width=1, height=1, objects=[Object(label="a\x01")])
    with pytest.raises(InvalidArgumentError, match=r"record 'k' has the text 'a\\x01'"):
        to_xml(image, "k.jpg", {})


def test_how_far_it_is_is_told_on_stderr(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tfstream.open(packed), tmp_path / "out", progress=True)
    assert "Exporting: 17 of 17 images" in capsys.readouterr().err

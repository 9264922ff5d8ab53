"""Trees: found, listed, paired."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import trees
from PIL import Image

import tfstream.annotations
from tfstream.annotations import Listing, masks
from tfstream.errors import (
    AnnotationError,
    DatasetNotFoundError,
    InvalidArgumentError,
    MissingImageError,
    StorageError,
)
from tfstream.export import export


def listing(source, format="auto"):
    reader, root = tfstream.annotations.locate(source, format)
    found = Listing(Path(tempfile.gettempdir()))
    return reader, list(reader.entries(root, found)), dict(found.left_out)


def test_a_file_that_is_called_xml_is_no_annotation(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path, train=2, val=0)
    _, before, _ = listing(root)
    some = next((root / "Annotations").rglob("*.xml"))
    (some.parent / "xml").write_text("a list of them")
    _, after, _ = listing(root)
    assert after == before


def test_an_ilsvrc_tree_is_paired_by_path(tmp_path):
    trees.make_ilsvrc_tree(tmp_path, train=4, val=2)
    reader, entries, left_out = listing(tmp_path)
    assert reader.name == "ilsvrc-det"
    assert [(e.split, e.key) for e in entries] == [
        ("train", "train/n01440764/n01440764_00000"),
        ("train", "train/n01440764/n01440764_00003"),
        ("train", "train/n02084071/n02084071_00001"),
        ("train", "train/n02121808/n02121808_00002"),
        ("val", "val/val_00000"),
        ("val", "val/val_00001"),
    ]
    assert left_out == {}
    image = reader.read(entries[1])
    assert (image.key, image.split) == (entries[1].key, "train")
    assert image.image_path == str(tmp_path / "Data/DET/train/n01440764/n01440764_00003.JPEG")
    assert image.annotation_path.endswith("n01440764_00003.xml")
    assert [item.label for item in image.objects] == ["n01440764"]


@pytest.mark.parametrize("below", ["ILSVRC", "kaggle/imagenet/ILSVRC"])
def test_a_tree_is_found_up_to_three_levels_below(tmp_path, below):
    trees.make_ilsvrc_tree(tmp_path / below, train=1, val=0)
    assert len(listing(tmp_path)[1]) == 1
    with pytest.raises(DatasetNotFoundError, match="three levels below"):
        listing(tmp_path, "voc")


def test_a_tree_four_levels_below_is_not_found(tmp_path):
    trees.make_ilsvrc_tree(tmp_path / "a/b/c/d", train=1)
    with pytest.raises(DatasetNotFoundError, match=r"Annotations/DET.*JPEGImages"):
        listing(tmp_path)


def test_images_are_found_whatever_the_case_of_their_extension(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path, train=3, val=0)
    for old, suffix in zip(sorted(root.rglob("*.JPEG")), (".Jpg", ".jpeg", ".PNG"), strict=True):
        old.rename(old.with_suffix(suffix))
    assert all(entry.image_found for entry in listing(root)[1])


def test_a_missing_image_is_named_with_its_annotation(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path, train=1, val=0)
    next(root.rglob("*.JPEG")).unlink()
    reader, (entry,), _ = listing(root)
    with pytest.raises(MissingImageError) as caught:
        reader.read(entry)
    assert str(root / "Data/DET/train/n01440764/n01440764_00000.JPEG") in str(caught.value)
    assert str(root / "Annotations/DET/train/n01440764/n01440764_00000.xml") in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_images_without_annotation_are_counted(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path, train=2, val=0)
    for number in range(3):
        trees.put(root / f"Data/DET/test/t{number}.JPEG", b"")
    trees.put(root / "Data/DET/test/.DS_Store", b"")
    trees.put(root / "Annotations/DET/train/n01440764/._n01440764_00000.xml", b"\0")
    _, entries, left_out = listing(root)
    assert len(entries) == 2
    assert left_out == {"images without annotation": 3}


def test_voc_splits_are_those_of_the_image_sets(tmp_path):
    root = trees.make_voc_tree(tmp_path / "VOCdevkit/VOC2012", train=2, val=1, test=2)
    trees.put(root / "Annotations/loose.xml", trees.annotation([]))
    reader, entries, left_out = listing(tmp_path)
    assert reader.name == "voc"
    assert [(e.split, e.key) for e in entries] == [
        ("train", "2012_000000"),
        ("train", "2012_000001"),
        ("val", "2012_000002"),
    ]
    assert left_out == {"annotations in no image set": 1, "images without annotation": 2}
    assert Path(reader.read(entries[0]).image_path) == root / "JPEGImages/2012_000000.jpg"


def test_trainval_counts_where_train_or_val_is_missing(tmp_path):
    root = trees.make_voc_tree(tmp_path, train=2, val=1)
    (root / "ImageSets/Main/val.txt").unlink()
    assert {entry.split for entry in listing(root)[1]} == {"trainval"}


def test_lines_of_image_sets_may_carry_a_number(tmp_path):
    root = trees.make_voc_tree(tmp_path, train=0, val=0, test=0)
    for stem in ("a", "b 1"):
        trees.put(root / f"JPEGImages/{stem}.jpg", b"")
        trees.put(root / f"Annotations/{stem}.xml", b"")
    (root / "ImageSets/Main/trainval.txt").unlink()
    trees.put(root / "ImageSets/Main/train.txt", "a -1\n\nb 1\nmissing  1\n")
    keys = [(entry.key, entry.image_found) for entry in listing(root)[1]]
    assert keys == [("a", True), ("b 1", True), ("missing", False)]


def test_without_image_sets_all_is_train(tmp_path):
    root = trees.make_voc_tree(tmp_path, train=2, val=2, test=1)
    for path in sorted((root / "ImageSets").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "ImageSets").rmdir()
    _, entries, left_out = listing(root)
    assert {entry.split for entry in entries} == {"train"}
    assert len(entries) == 4
    assert left_out == {"images without annotation": 1}


def test_image_sets_without_a_split_are_an_error(tmp_path):
    root = trees.make_voc_tree(tmp_path)
    for path in (root / "ImageSets/Main").iterdir():
        path.unlink()
    with pytest.raises(AnnotationError, match=r"train\.txt, val\.txt, test\.txt, trainval\.txt"):
        listing(root)


def test_several_years_are_listed(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        trees.make_voc_tree(tmp_path / "VOCdevkit" / year)
    with pytest.raises(InvalidArgumentError, match=r"2 image trees.*VOC2007.*VOC2012"):
        listing(tmp_path)


def test_an_unknown_format_is_told_the_known_ones(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"'cocoa'.*'ilsvrc-det', .*'voc'.*or 'auto'"):
        listing(tmp_path, "cocoa")


def test_no_source_or_a_file_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="There is no .*nowhere"):
        listing(tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match=r"a\.zip is not a directory.*unpack"):
        listing(trees.put(tmp_path / "a.zip", b"PK"))


def test_an_annotation_that_cannot_be_read_is_named(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path, train=1, val=0)
    reader, (entry,), _ = listing(root)
    Path(entry.annotation_path).unlink()
    Path(entry.annotation_path).mkdir()
    with pytest.raises(StorageError, match=r"Cannot read .*n01440764_00000\.xml: Is a directory"):
        reader.read(entry)


def test_a_file_name_that_is_not_utf_8_is_an_error(tmp_path):
    root = trees.make_voc_tree(tmp_path, train=1, val=0, test=0)
    trees.put(root / "ImageSets/Main/train.txt", "")
    for directory, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        old = root / directory / f"2012_000000{suffix}"
        old.rename(root / directory / f"\udcff{suffix}")
    for path in (root / "ImageSets/Main").iterdir():
        path.unlink()
    (root / "ImageSets/Main").rmdir()
    reader, (entry,), _ = listing(root)
    with pytest.raises(AnnotationError, match="not UTF-8"):
        reader.read(entry)


def test_a_link_to_a_directory_that_it_lies_in_is_an_error(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path, train=2, val=0)
    (root / "Data/DET/train/again").symlink_to(root / "Data/DET")
    with pytest.raises(
        AnnotationError, match="train/again leads back to .*Data/DET, which it lies"
    ):
        listing(root)


def put_masks(root, numbers, mode="P"):
    path = root / "SegmentationObject/2012_000001.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(numbers).convert(mode).save(path)


def test_voc_masks_belong_to_the_objects_in_their_order(tmp_path):
    root = trees.make_voc_tree(tmp_path, train=3, val=0, test=0)
    numbers = np.zeros((36, 48), np.uint8)
    numbers[2:5, 3:9], numbers[5:9, 3:9], numbers[9] = 1, 2, 255
    put_masks(root, numbers, "L")
    reader, entries, _ = listing(root)
    first, second = reader.read(entries[1]).objects
    assert masks.box(np.asarray(Image.open(io.BytesIO(first.mask)))) == (3, 2, 9, 5)
    assert masks.box(np.asarray(Image.open(io.BytesIO(second.mask)))) == (3, 5, 9, 9)
    assert not any(item.mask for item in reader.read(entries[0]).objects)
    assert masks.box(masks.decode(reader.read(entries[1]).void)) == (0, 9, 48, 10)
    assert not reader.read(entries[0]).void


def test_voc_borders_are_unknown_in_label_maps_and_come_back_when_exported(tmp_path):
    root = trees.make_voc_tree(tmp_path / "tree", train=3, val=0, test=0)
    numbers = np.zeros((36, 48), np.uint8)
    numbers[4:20, 4:30], numbers[8:16, 8:26] = 255, 1
    put_masks(root, numbers, "L")
    data = tfstream.pack(root, tmp_path / "packed", progress=False)
    arguments = {"batch_size": 3, "label": None, "masks": "semantic", "shuffle": False}
    arguments |= {"image": tfstream.ImageSpec((36, 48)), "elements": "dict"}
    (streamed,) = data.stream(**arguments).as_numpy_iterator()
    (arrays,) = data.to_numpy_iterator(**arguments)
    np.testing.assert_array_equal(streamed["masks"], arrays["masks"])
    found = dict(zip(streamed["key"].tolist(), streamed["masks"], strict=True))
    assert not (found[b"2012_000000"] == -1).any()
    assert "void" not in data["2012_000000"]
    np.testing.assert_array_equal(data["2012_000001"]["void"], numbers == 255)
    label_map = found[b"2012_000001"]
    np.testing.assert_array_equal(label_map == -1, numbers == 255)
    assert (label_map[numbers == 0] == data.labels.background).all()
    assert (label_map[numbers == 1] < data.labels.background).all()
    export(data, tmp_path / "out", format="voc")
    (written,) = (tmp_path / "out").rglob("SegmentationObject/*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(written)), numbers)
    smaller = tfstream.pack(root, tmp_path / "smaller", progress=False, max_side=24)
    (small,) = smaller.stream(**{**arguments, "image": tfstream.ImageSpec((18, 24))})
    assert (small["masks"].numpy() == -1).any()


@pytest.mark.parametrize(
    ("value", "mode", "words"),
    [(3, "L", "has an object 3, and .*xml has 2"), (1, "RGB", "has pixels of mode RGB")],
)
def test_voc_masks_that_fit_no_objects_are_an_error(tmp_path, value, mode, words):
    root = trees.make_voc_tree(tmp_path, train=3, val=0, test=0)
    put_masks(root, np.full((36, 48), value, np.uint8), mode)
    reader, entries, _ = listing(root)
    with pytest.raises(AnnotationError, match=words):
        reader.read(entries[1])

"""What may be wrong with any format's tree is one clear error, which names the place."""

from __future__ import annotations

from pathlib import Path

import bad_trees
import pytest
import trees
from bad_cases import CASES, Spoil

from tfstream.annotations import Listing, locate
from tfstream.errors import AnnotationError, DatasetNotFoundError
from tfstream.packing.packer import pack

# Where only the packing shows it.
PACKED = ("its key", "is not there")


def read(tree: Path, format: str, scratch: Path) -> Listing:
    """Lists a tree and reads all of it, without packing it."""
    reader, root = locate(tree, format)
    listing = Listing(scratch)
    for entry in reader.entries(root, listing):
        if entry.problem:
            raise AnnotationError(entry.problem)
        reader.read(entry)
    return listing


@pytest.mark.parametrize(
    ("kind", "format", "spoil", "words"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_what_is_wrong_is_one_error_that_names_the_place(
    tmp_path: Path, kind: str, format: str, spoil: Spoil, words: str
) -> None:
    tree = tmp_path / "tree"
    bad_trees.GOOD[format](tree)
    spoil(tree)
    with pytest.raises(AnnotationError) as caught:
        if any(each in words for each in PACKED):
            pack(tree, tmp_path / "out", format=format, progress=False, processes=1)
        else:
            read(tree, format, tmp_path)
    assert words.format(root=tree) in str(caught.value)


@pytest.mark.parametrize("format", bad_trees.GOOD)
def test_the_trees_are_good_before_they_are_spoiled(tmp_path: Path, format: str) -> None:
    bad_trees.GOOD[format](tmp_path / "tree")
    assert read(tmp_path / "tree", format, tmp_path).left_out == {}


@pytest.mark.parametrize(
    ("format", "image", "why"),
    [
        ("ilsvrc-det", "Data/DET/val/c.jpg", "images without annotation"),
        ("ilsvrc-cls-loc", "ILSVRC/Data/CLS-LOC/val/c.jpg", "images without annotation"),
        ("coco", "train/c.jpg", "images without annotation"),
        ("open-images", "train/c.jpg", "images without annotation"),
        ("labelme", "train/c.jpg", "images without annotation"),
        ("jsonl", "c.jpg", "images without annotation"),
        ("csv", "c.jpg", "images without annotation"),
        ("imagefolder", "train/c.jpg", "images in no directory of a class"),
    ],
)
def test_an_image_of_which_nothing_is_said_is_counted(
    tmp_path: Path, format: str, image: str, why: str
) -> None:
    bad_trees.GOOD[format](tmp_path / "tree")
    bad_trees.picture(tmp_path / "tree" / image)
    assert read(tmp_path / "tree", format, tmp_path).left_out == {why: 1}


@pytest.mark.parametrize("format", bad_trees.GOOD)
def test_an_archive_where_a_directory_is_expected_is_to_be_unpacked(
    tmp_path: Path, format: str
) -> None:
    archive = trees.put(tmp_path / "data/tree.tar.gz", b"")
    with pytest.raises(DatasetNotFoundError, match=r"tree\.tar\.gz is not a directory: unpack the"):
        locate(archive, format)
    with pytest.raises(DatasetNotFoundError, match=r"an archive, tree\.tar\.gz: unpack it"):
        locate(tmp_path / "data", format)

"""What a program hands over: tables, and images of its own."""

import io
from pathlib import Path

import numpy as np
import packed
import pyarrow as pa
import pytest
import trees
from PIL import Image

import tfstream
from tfstream import errors
from tfstream.annotations import masks
from tfstream.packing.packer import pack
from tfstream.v1.annotated_image_pb2 import AnnotatedImage


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def by_key(dest):
    return {each.key: each for each in packed.records(Path(dest))}


@pytest.mark.parametrize("max_side", [None, 24])
def test_masks_and_keypoints_turn_and_shrink_with_their_boxes(tmp_path, max_side):
    inside = np.zeros((36, 48), np.uint8)
    inside[2:8, 4:12] = 1
    image = AnnotatedImage(
        key="a", encoded=trees.encoded(trees.picture(1), orientation=6), width=48, height=36
    )
    item = image.objects.add(label="dog", mask=masks.encode(inside))
    item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax = 4, 2, 12, 8
    item.keypoints.add(x=4, y=2, visibility=2)
    item.keypoints.add()
    quiet([image], tmp_path / "out", max_side=max_side)
    (found,) = packed.records(tmp_path / "out")
    scale = 1 if max_side is None else 2
    (item,) = found.objects
    sides = (found.width, found.height) * 2
    box = [item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax]
    edges = [round(value * side, 3) for value, side in zip(box, sides, strict=True)]
    assert edges == [28 / scale, 4 / scale, 34 / scale, 12 / scale]
    mask = np.asarray(Image.open(io.BytesIO(item.mask)))
    assert masks.box(mask) == tuple(edges)
    seen, unseen = item.keypoints
    assert round(seen.x * found.width, 3) == 34 / scale
    assert (unseen.x, unseen.visibility) == (0, 0)


def images(count=3):
    for number in range(count):
        image = AnnotatedImage(
            key=f"made/{number}", encoded=trees.encoded(trees.picture(number)), format="jpeg"
        )
        item = image.objects.add(label="dog")
        item.box.xmax, item.box.ymax = 24, 18
        image.metadata["day"].int_value = number
        yield image


def test_an_iterable_of_images_is_packed(tmp_path):
    result = quiet(images(), tmp_path / "one")
    assert (result.format, result.splits) == ("images", {"train": 3})
    found = by_key(tmp_path / "one")
    image = found["made/2"]
    assert image.encoded == trees.encoded(trees.picture(2))
    assert (image.image_path, image.metadata["day"].int_value) == ("2.jpeg", 2)
    assert image.objects[0].box.xmax == 0.5
    quiet(list(images()), tmp_path / "two", processes=2)
    assert by_key(tmp_path / "two") == found
    assert packed.digests(tmp_path / "one").keys() == packed.digests(tmp_path / "two").keys()


def test_images_may_name_their_files(tmp_path, monkeypatch):
    trees.put(tmp_path / "pictures/a.jpg", trees.encoded(trees.picture(0)))
    monkeypatch.chdir(tmp_path)
    told = [AnnotatedImage(image_path="pictures/a.jpg", split="val")]
    data = tfstream.pack(told, tmp_path / "out", progress=False)
    assert list(data.splits) == ["val"]
    assert list(by_key(tmp_path / "out")) == ["pictures/a"]


def test_images_without_bytes_or_key_are_rejected(tmp_path):
    with pytest.raises(errors.AnnotationError, match="has neither encoded bytes nor an image_path"):
        quiet([AnnotatedImage(key="a")], tmp_path / "out")
    with pytest.raises(errors.InvalidArgumentError, match="image 1 of the iterable is a dict"):
        quiet([next(images()), {}], tmp_path / "out")
    with pytest.raises(errors.InvalidArgumentError, match="source=7 is neither"):
        quiet(7, tmp_path / "out")
    with pytest.raises(errors.InvalidArgumentError, match="leave the format out"):
        quiet([], tmp_path / "out", format="voc")


def paths(root):
    for number, name in enumerate(("x/a", "x/b", "y/c")):
        trees.put(root / f"{name}.jpg", trees.encoded(trees.picture(number)))
    return [str(root / f"{name}.jpg") for name in ("x/a", "x/b", "y/c")]


def test_an_arrow_table_is_packed_with_its_metadata(tmp_path):
    told = {"path": paths(tmp_path), "label": ["cat", None, "dog"], "day": [1, 2, None]}
    result = quiet(pa.table(told), tmp_path / "out")
    assert (result.format, result.records) == ("table", 3)
    found = by_key(tmp_path / "out")
    assert [o.label for o in found["x/a"].objects] == ["cat"]
    assert not found["x/b"].objects
    assert found["x/b"].metadata["day"].int_value == 2


def test_a_pandas_table_of_boxes_is_packed(tmp_path):
    pandas = pytest.importorskip("pandas")
    first, second, third = paths(tmp_path)
    told = {
        "file": [first, first, second, third],
        "bbox": [[12, 9, 12, 18], [0, 0, 5, 5], None, [1, 1, 2, 2]],
        "class": ["cat", "dog", None, "cat"],
        "split": ["val", "val", "train", "train"],
    }
    result = quiet(pandas.DataFrame(told), tmp_path / "out")
    assert result.splits == {"train": 2, "val": 1}
    cat, dog = by_key(tmp_path / "out")["x/a"].objects
    assert (cat.box.xmin, cat.box.ymax, dog.label) == (0.25, 0.75, "dog")


def test_a_table_says_what_is_wrong_with_it(tmp_path):
    with pytest.raises(errors.InvalidArgumentError, match="has the columns a, b: one of image"):
        quiet(pa.table({"a": [1], "b": [2]}), tmp_path / "out")
    told = {"path": [str(tmp_path / "none.jpg")], "label": ["a"]}
    with pytest.raises(errors.MissingImageError, match=r"none\.jpg is not there"):
        quiet(pa.table(told), tmp_path / "out")
    told = {"path": paths(tmp_path)[:1], "bbox": ["1 2 x 4"], "label": ["a"]}
    with pytest.raises(errors.AnnotationError, match="row 0 of the table: its width is not a num"):
        quiet(pa.table(told), tmp_path / "out")

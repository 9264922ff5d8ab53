"""ILSVRC CLS-LOC, Open Images, LabelMe and JSON lines: found, read; and what may be wrong."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import packed
import pytest
import trees

from tfstream import errors
from tfstream.annotations import masks
from tfstream.format import manifest
from tfstream.packing.packer import pack


def put_image(path, number=0):
    return trees.put(path, trees.encoded(trees.picture(number)))


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def by_key(dest):
    return {each.key: each for each in packed.records(Path(dest))}


def edges(item):
    box = item.box
    return [round(value, 4) for value in (box.xmin, box.ymin, box.xmax, box.ymax)]


# ILSVRC CLS-LOC

TENCH, DOG = "n01440764", "n02084071"
HEADER = "ImageId,PredictionString\n"


@pytest.fixture
def imagenet(tmp_path):
    top = tmp_path / "imagenet"
    for number, name in enumerate(("train/{0}/{0}_1", "train/{0}/{0}_2", "train/{1}/{1}_3")):
        put_image(top / f"ILSVRC/Data/CLS-LOC/{name.format(TENCH, DOG)}.JPEG", number)
    for name in ("val/v_1", "val/v_2", "test/t_1"):
        put_image(top / f"ILSVRC/Data/CLS-LOC/{name}.JPEG")
    xml = trees.annotation([trees.Thing(TENCH, 1, 2, 30, 20)])
    trees.put(top / f"ILSVRC/Annotations/CLS-LOC/train/{TENCH}/{TENCH}_1.xml", xml)
    trees.put(top / "LOC_train_solution.csv", f"{HEADER}{TENCH}_2,{TENCH} 12 9 24 27 \n")
    two = f"{DOG} 12 9 24 27 {TENCH} 0 0 48 36"
    trees.put(top / "LOC_val_solution.csv", f"{HEADER}v_1,{two} \nv_2,{DOG} 1 1 9 9 \n")
    trees.put(
        top / "LOC_synset_mapping.txt", f"{TENCH} tench, Tinca tinca\n{DOG} dog\nn00000001 x\n"
    )
    return top


def test_kaggle_solutions_synsets_and_directories_say_what_is_in_images(imagenet, tmp_path):
    result = quiet(imagenet, tmp_path / "out")
    assert (result.format, result.splits) == ("ilsvrc-cls-loc", {"train": 3, "val": 2})
    assert result.left_out == {"images without annotation": 1}
    found = by_key(tmp_path / "out")
    assert edges(found[f"train/{TENCH}/{TENCH}_2"].objects[0]) == [0.25, 0.25, 0.5, 0.75]
    assert [o.label for o in found[f"train/{DOG}/{DOG}_3"].objects] == [DOG]
    assert [o.label for o in found["val/v_1"].objects] == [DOG, TENCH]
    labels = manifest.load(tmp_path / "out").labels.labels
    assert [(label.name, label.title) for label in labels] == [
        (TENCH, "tench, Tinca tinca"),
        (DOG, "dog"),
        ("n00000001", "x"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("v_1,n02084071 12 9\n", "val/v_1: there are 3 words, and five make an object"),
        ("v_1,n02084071 12 9 x 4\n", "could not convert string to float: 'x'"),
        ("v_9,n02084071 1 1 2 2\n", "val/v_9.JPEG"),
        ("v_1,n02084071 1 1 2 2\nv_1,n02084071 1 1 2 2\n", "csv:3: 'v_1' is named again"),
    ],
)
def test_a_wrong_solution_is_named(imagenet, tmp_path, line, words):
    trees.put(imagenet / "LOC_val_solution.csv", HEADER + line)
    with pytest.raises(errors.AnnotationError, match=re.escape(words)):
        quiet(imagenet, tmp_path / "out")


# Open Images

BOXES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside\n"
)


@pytest.fixture
def open_images(tmp_path):
    root = tmp_path / "oi"
    for number, name in enumerate(("train/aa", "train/bb", "validation/cc")):
        put_image(root / f"{name}.jpg", number)
    trees.put(
        root / "oidv6-train-annotations-bbox.csv",
        f"{BOXES}aa,xclick,/m/1,1,0.25,0.5,0.25,0.75,1,0,0,0,0\n"
        "bb,xclick,/m/2,1,0,1,0,1,-1,1,1,0,0\naa,xclick,/m/2,1,0,1,0,0.5,0,0,0,0,0\n",
    )
    trees.put(root / "validation-annotations-bbox.csv", f"{BOXES}cc,x,/m/1,1,0,1,0,1,0,0,0,0,0\n")
    trees.put(
        root / "validation-annotations-human-imagelabels.csv",
        "ImageID,Source,LabelName,Confidence\ncc,v,/m/1,1\ncc,v,/m/3,1\ncc,v,/m/4,0\n",
    )
    trees.put(root / "class-descriptions-boxable.csv", '/m/2,"Dog, hot"\n/m/1,Cat\n/m/3,Tree\n')
    return root


def test_open_images_boxes_and_labels_are_read(open_images, tmp_path):
    result = quiet(open_images, tmp_path / "out")
    assert (result.format, result.splits) == ("open-images", {"train": 2, "val": 1})
    found = by_key(tmp_path / "out")
    first, second = found["train/aa"].objects
    assert (edges(first), first.occluded, second.label) == ([0.25, 0.25, 0.5, 0.75], True, "/m/2")
    (group,) = found["train/bb"].objects
    assert (group.crowd, group.truncated, group.occluded) == (True, True, False)
    assert [o.label for o in found["validation/cc"].objects] == ["/m/1", "/m/3"]
    labels = manifest.load(tmp_path / "out").labels.labels
    assert (labels[0].name, labels[0].title) == ("/m/2", "Dog, hot")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zz,x,/m/1,1,0,1,0,1,0,0,0,0,0\n", "train/zz.jpg"),
        ("aa,x,/m/1,1,0,left,0,1,0,0,0,0,0\n", "csv:2: XMax is not a number: 'left', in the line"),
        ("aa,x,/m/1,1,0\n", "csv:2: there are 5 values, where 13 belong"),
        ("../aa,x,/m/1,1,0,1,0,1,0,0,0,0,0\n", "'../aa' leads out of"),
    ],
)
def test_what_is_wrong_in_open_images_is_named(open_images, tmp_path, line, words):
    trees.put(open_images / "oidv6-train-annotations-bbox.csv", BOXES + line)
    with pytest.raises(errors.AnnotationError, match=re.escape(words)):
        quiet(open_images, tmp_path / "out")


# LabelMe


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def labelme(root, shapes, name="train/a", **more):
    put_image(root / f"{name}.jpg")
    told = {"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": "x.jpg", **more}
    told |= {"imageHeight": 36, "imageWidth": 48}
    return trees.put(root / f"{name}.json", json.dumps(told))


def test_labelme_shapes_are_objects(tmp_path):
    small = np.zeros((4, 3), np.uint8)
    small[1:] = 1
    mask = base64.b64encode(masks.encode(small)).decode()
    shapes = [
        shape("poly", [[12, 9], [24, 9], [24, 27]]),
        shape("rect", [[24, 27], [12, 9]], "rectangle"),
        shape("nose", [[12, 9]], "point"),
        shape("sun", [[24, 18], [24, 24]], "circle"),
        shape("blob", [[5, 6], [8, 10]], "mask", mask=mask),
        shape("two", [[0, 0], [4, 0], [4, 4]], group_id=1),
        shape("two", [[10, 10], [14, 10], [14, 16]], group_id=1),
    ]
    labelme(tmp_path / "tree", shapes, flags={"night": True})
    put_image(tmp_path / "tree/train/unsaid.jpg")
    result = quiet(tmp_path / "tree", tmp_path / "out")
    assert (result.format, result.splits) == ("labelme", {"train": 1})
    assert result.left_out == {"images without annotation": 1}
    image = by_key(tmp_path / "out")["train/a"]
    assert image.metadata["labelme.night"].bool_value
    poly, rect, nose, sun, blob, two = image.objects
    assert edges(poly) == edges(rect) == [0.25, 0.25, 0.5, 0.75]
    assert (len(poly.polygons[0].x), len(rect.polygons), len(nose.keypoints)) == (3, 0, 1)
    assert len(sun.polygons[0].x) == 32
    assert masks.size(blob.mask) == (48, 36)
    assert (len(two.polygons), edges(two)[2:]) == (2, [round(14 / 48, 4), round(16 / 36, 4)])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_text("{\n]"), "b.json:2: the JSON does not parse"),
        (lambda path: path.write_text("{}"), "is not LabelMe's"),
        (lambda path: path.write_bytes(b'{"shapes": "\xff"}'), "is not UTF-8"),
        (lambda path: path.with_suffix(".jpg").unlink(), "b.json is missing"),
    ],
)
def test_what_is_wrong_in_labelme_is_named(tmp_path, spoil, words):
    labelme(tmp_path / "tree", [shape("a", [[1, 1], [2, 1], [2, 2]])])
    spoil(labelme(tmp_path / "tree", [], "train/b"))
    with pytest.raises(errors.AnnotationError, match=re.escape(words)):
        quiet(tmp_path / "tree", tmp_path / "out")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (shape("", [[1, 2]]), "shapes[0]: it has no label"),
        (shape("a", [[1, "2"]]), "shapes[0]: a point is not two numbers: [1, '2']"),
        (shape("a", [[1, 1], [2, 2]], "spiral"), "there is a 'spiral' of 2 points"),
        (shape("a", [[40, 30], [50, 40]], "mask", mask="x"), "its mask cannot be decoded"),
    ],
)
def test_a_wrong_shape_is_named(tmp_path, one, words):
    labelme(tmp_path / "tree", [one])
    with pytest.raises(errors.AnnotationError, match=re.escape(words)):
        quiet(tmp_path / "tree", tmp_path / "out")


# JSON lines


def lines(root, *told, name="val.jsonl"):
    for number, each in enumerate("abc"):
        put_image(root / f"images/{each}.jpg", number)
    texts = [each if isinstance(each, str) else json.dumps(each) for each in told]
    return trees.put(root / name, "\n".join(texts) + "\n\n").parent


def test_json_lines_are_read(tmp_path):
    dog = {"label": "dog", "bbox": [12, 9, 12, 18], "polygons": [[1, 1, 5, 1, 5, 5]]}
    root = lines(
        tmp_path / "tree",
        {"image": "a.jpg", "objects": [dog | {"keypoints": [[3, 4, 1, "nose"]]}]},
        {"file_name": "images/b.jpg", "label": "cat", "split": "extra", "metadata": {"day": 3}},
        {"path": "c", "objects": {"bbox": [[0, 0, 5, 5]], "category": [7]}},
    )
    for source, dest in ((root, "one"), (root / "val.jsonl", "two")):
        result = quiet(source, tmp_path / dest)
        assert (result.format, result.splits) == ("jsonl", {"val": 2, "extra": 1})
    found = by_key(tmp_path / "one")
    (item,) = found["a"].objects
    assert edges(item) == [0.25, 0.25, 0.5, 0.75]
    assert (item.keypoints[0].name, len(item.polygons)) == ("nose", 1)
    assert found["b"].metadata["day"].int_value == 3
    assert [each.label for each in found["c"].objects] == ["7"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "val.jsonl:2: the JSON does not parse"),
        ("[1]", "val.jsonl:2: there is no JSON object, in the line '[1]'"),
        ({"label": "x"}, "val.jsonl:2: it names no image"),
        ({"image": "z.jpg", "label": "x"}, "z.jpg"),
        ({"image": "../z.jpg"}, "val.jsonl:2: the image path '../z.jpg' leads out of"),
        ({"image": "b.jpg", "objects": [{}]}, "val.jsonl:2: objects[0]: the label is neither"),
        ({"image": "b.jpg", "objects": [{"label": "a", "box": [1]}]}, "its box is not a list of 4"),
        ({"image": "b.jpg", "void": [3]}, "its void is no object of size and counts"),
        ({"image": "b.jpg", "metadata": {"a": [1]}}, "a value of the metadata cannot be one"),
        ({"image": "b.jpg", "objects": {"a": [1], "b": []}}, "of different lengths: [0, 1]"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    root = lines(tmp_path / "tree", {"image": "a.jpg", "label": "x"}, line)
    with pytest.raises(errors.AnnotationError, match=re.escape(words)) as caught:
        quiet(root, tmp_path / "out")
    assert "1 problem in" in str(caught.value)

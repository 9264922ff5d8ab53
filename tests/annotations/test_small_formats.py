"""YOLO, CSV and directories of classes: found, read; and what may be wrong with them."""

import re
import warnings
from pathlib import Path

import packed
import pytest
import trees

from tfstream import errors
from tfstream.annotations import locate
from tfstream.format import manifest
from tfstream.packing.packer import pack


def put_image(path, number=0):
    return trees.put(path, trees.encoded(trees.picture(number)))


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def by_key(dest):
    return {each.key: each for each in packed.records(Path(dest))}


def labels_of(dest):
    return [label.name for label in manifest.load(dest).labels.labels]


def edges(item, digits=4):
    box = item.box
    return [round(value, digits) for value in (box.xmin, box.ymin, box.xmax, box.ymax)]


# YOLO


@pytest.fixture
def yolo(tmp_path):
    root = tmp_path / "yolo"
    for number, name in enumerate(("train/a", "train/b", "val/c")):
        put_image(root / f"images/{name}.jpg", number)
    trees.put(
        root / "labels/train/a.txt", "1 0.5 0.5 0.5 0.25\n0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n"
    )
    trees.put(root / "labels/val/c.txt", "")
    names = "names:\n  0: person\n  1: traffic light\n"
    trees.put(
        root / "data.yaml", f"path: /elsewhere\ntrain: images/train\nval: images/val\n{names}"
    )
    return root


def test_yolo_boxes_and_oriented_boxes_are_read(yolo, tmp_path):
    result = quiet(yolo, tmp_path / "out")
    assert (result.format, result.splits) == ("yolo", {"train": 2, "val": 1})
    assert labels_of(tmp_path / "out") == ["person", "traffic light"]
    found = by_key(tmp_path / "out")
    light, person = found["train/a"].objects
    assert (light.label, edges(light)) == ("traffic light", [0.25, 0.375, 0.75, 0.625])
    assert edges(person) == [0.1, 0.1, 0.4, 0.5]
    assert len(person.polygons[0].x) == 4
    assert not found["train/b"].objects  # no text file: nothing in it


def test_yolo_needs_no_yaml_and_knows_keypoints(yolo, tmp_path):
    (yolo / "data.yaml").unlink()
    trees.put(yolo / "classes.txt", "person\nlight\n")
    quiet(yolo, tmp_path / "out")
    assert labels_of(tmp_path / "out") == ["person", "light"]
    told = "train: [../images/train]\nval: images/val\nnames: [one]\nkpt_shape: [2, 3]\n"
    trees.put(yolo / "data.yaml", told)
    trees.put(yolo / "labels/train/a.txt", "0 0.5 0.5 0.5 0.5 0.3 0.4 2 0 0 0\n")
    quiet(yolo, tmp_path / "poses")
    (item,) = by_key(tmp_path / "poses")["train/a"].objects
    assert [point.visibility for point in item.keypoints] == [2, 0]


def test_yolo_lists_of_images_are_read(yolo, tmp_path):
    trees.put(yolo / "train.txt", "./images/train/b.jpg\nimages/val/c.jpg\n\n")
    trees.put(yolo / "data.yaml", "train: train.txt\nnames: [a, b]\n")
    assert quiet(yolo, tmp_path / "out").splits == {"train": 2}


YOLO_WRONG = {
    "no number": ("1 0.5 x 0.5 0.25\n", "a.txt:1: there is what is not a number"),
    "too few": ("\n1 0.5 0.5\n", "a.txt:2: there are 3 numbers, where 5, or 7"),
    "unknown class": ("2 0.5 0.5 0.5 0.5\n", "there is the class 2, and "),
    "pixels": ("1 100 50 20 20\n", "100 is no fraction of the image's side"),
    "outside": ("1 0.9 0.5 0.5 0.5\n", "its box leaves the image of 1 x 1"),
    "Latin 1": (b"1 0.5 0.5 0.5 0.5 \xff\n", "is not UTF-8"),
}


@pytest.mark.parametrize("name", YOLO_WRONG)
def test_what_is_wrong_in_yolo_names_line_and_text(yolo, tmp_path, name):
    told, words = YOLO_WRONG[name]
    trees.put(yolo / "labels/train/a.txt", told)
    with pytest.raises(errors.AnnotationError, match=re.escape(words)) as caught:
        quiet(yolo, tmp_path / "out")
    assert "1 problem in" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: images/none\nnames: [a]\n", "train names 'images/none', which is not there"),
        ("train: images/train\nnames: [a, a]\n", "'a' is named twice"),
        ("train: images/train\nnames: {1: a}\n", "not numbered from 0 to 0"),
        ("train: images/train\nnames: [a\n", "is not YAML"),
        ("train: /\nnames: [a]\n", "leads out of"),
    ],
)
def test_a_wrong_data_yaml_is_one_error(yolo, tmp_path, text, words):
    trees.put(yolo / "data.yaml", text)
    with pytest.raises(errors.AnnotationError, match=re.escape(words)):
        quiet(yolo, tmp_path / "out")


def test_yolo_labels_without_an_image_are_missing_images(yolo, tmp_path):
    trees.put(yolo / "labels/train/z.txt", "1 0.5 0.5 0.5 0.5\n")
    with pytest.raises(errors.MissingImageError, match=r"labels/train/z\.txt is missing"):
        quiet(yolo, tmp_path / "out")


# CSV


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "csv"
    for number, name in enumerate("abc"):
        put_image(root / f"images/{name}.jpg", number)
    return root


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "filename,label\na.jpg,cat\nb.jpg,dog\nimages/c.jpg,cat\n"),
        ("labels.csv", "id;class;set\na;cat;train\nb;dog;train\nc;cat;train\n"),
        ("labels.tsv", "\ufeffimage_path\tcategory\r\na.jpg\tcat\r\nb.jpg\tdog\r\nc.jpg\tcat\r\n"),
        ("labels.csv", "a.jpg,cat\nb.jpg,dog\nc.jpg,cat\n"),
        ("labels.csv", '"path","label","note"\n"a.jpg","cat","x, y"\nb.jpg,dog,\nc.jpg,cat,\n'),
    ],
)
def test_tables_of_path_and_label_are_read(images, tmp_path, name, text):
    trees.put(images / name, text)
    result = quiet(images, tmp_path / "out")
    assert (result.format, result.splits) == ("csv", {"train": 3})
    found = {key: [o.label for o in each.objects] for key, each in by_key(tmp_path / "out").items()}
    assert found == {"a": ["cat"], "b": ["dog"], "c": ["cat"]}


@pytest.mark.parametrize(
    "text",
    [
        "path,xmin,ymin,xmax,ymax,label\na.jpg,12,9,24,27,cat\nb.jpg,,,,,\na.jpg,0,0,5,5,dog\n",
        "path,x,y,width,height,label\na.jpg,12,9,12,18,cat\nb.jpg,,,,,\na.jpg,0,0,5,5,dog\n",
        "a.jpg,12,9,24,27,cat\nb.jpg,,,,,\na.jpg,0,0,5,5,dog\n",
        'image_id,width,height,bbox,label\na,48,36,"[12, 9, 12, 18]",cat\nb,48,36,,\n'
        'a,48,36,"[0, 0, 5, 5]",dog\n',
        "path,x1,y1,x2,y2,label\na.jpg,0.25,0.25,0.5,0.75,cat\nb.jpg,,,,,\na.jpg,0,0,5,5,dog\n",
    ],
)
def test_tables_of_path_and_box_are_read(images, tmp_path, text):
    trees.put(images / "val.csv", text)
    result = quiet(images / "val.csv", tmp_path / "out")
    assert result.splits == {"val": 2}
    assert result.left_out == {"images without annotation": 1}
    found = by_key(tmp_path / "out")
    cat, dog = found["a"].objects
    assert (cat.label, edges(cat), dog.label) == ("cat", [0.25, 0.25, 0.5, 0.75], "dog")
    assert not found["b"].objects


CSV_WRONG = {
    "too few values": ("path,label\na.jpg\n", "labels.csv:2: there are 1 values, where 2 belong"),
    "absent image": ("path,label\nz.jpg,cat\n", "z.jpg"),
    "path out": ("path,label\n../z.jpg,cat\n", "labels.csv:2: the image path '../z.jpg' leads out"),
    "absolute path": ("path,label\n/etc/z.jpg,cat\n", "'/etc/z.jpg' leads out of"),
    "no number": (
        "path,label,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,three,4\n",
        "labels.csv:2: its xmax is not a number: 'three', in the line 'a.jpg,cat,1,2,three,4'",
    ),
    "box without label": (
        "path,label,xmin,ymin,xmax,ymax\na.jpg,,1,2,3,4\n",
        "there is a box, and no label",
    ),
    "encodings": (
        b"path,label\na.jpg,caf\xc3\xa9\nb.jpg,caf\xe9\n",
        r"labels.csv:3: it is not UTF-8, as what is before it, in the line 'b.jpg,caf\xe9'",
    ),
}


@pytest.mark.parametrize("name", CSV_WRONG)
def test_what_is_wrong_in_a_table_names_line_and_text(images, tmp_path, name):
    text, words = CSV_WRONG[name]
    trees.put(images / "labels.csv", text)
    with pytest.raises(errors.AnnotationError, match=re.escape(words)) as caught:
        quiet(images, tmp_path / "out")
    assert "1 problem in" in str(caught.value)


def test_boxes_of_the_other_kind_are_warned_of(images, tmp_path):
    rows = "".join(f"a.jpg,{30 + n},{20 + n},9,8,cat\n" for n in range(5))
    trees.put(images / "labels.csv", f"path,xmin,ymin,xmax,ymax,label\n{rows}")
    with (
        pytest.warns(UserWarning, match=r"look like \(x, y, width, height\), and csv has \(xmin"),
        pytest.raises(errors.AnnotationError, match="5 problems"),
    ):
        quiet(images, tmp_path / "out")
    rows = "".join(f"a.jpg,{n},{n + 1},{n + 30},{n + 20},cat\n" for n in range(5))
    trees.put(images / "labels.csv", f"path,xmin,ymin,xmax,ymax,label\n{rows}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(images, tmp_path / "out")


# ImageFolder


@pytest.mark.parametrize(
    ("prefix", "split"), [("", "train"), ("train/", "train"), ("valid/", "val")]
)
def test_directories_of_classes_are_read(tmp_path, prefix, split):
    for number, name in enumerate(("cat/1", "cat/deep/2", "dog/3")):
        put_image(tmp_path / f"tree/{prefix}{name}.PNG", number)
    put_image(tmp_path / f"tree/{prefix}loose.png")
    result = quiet(tmp_path / "tree", tmp_path / "out")
    assert (result.format, result.splits) == ("imagefolder", {split: 3})
    assert result.left_out == {"images in no directory of a class": 1}
    assert labels_of(tmp_path / "out") == ["cat", "dog"]
    (item,) = by_key(tmp_path / "out")[f"{prefix}cat/deep/2"].objects
    assert item.label == "cat"


def test_a_link_to_itself_is_one_error(tmp_path):
    put_image(tmp_path / "tree/cat/1.jpg")
    put_image(tmp_path / "tree/dog/1.jpg")
    (tmp_path / "tree/dog/again").symlink_to(tmp_path / "tree")
    with pytest.raises(
        errors.AnnotationError, match="dog/again/dog leads back to .*a tree without end"
    ):
        quiet(tmp_path / "tree", tmp_path / "out")


# Which one is it?


def test_trees_of_two_formats_list_the_candidates(tmp_path):
    for number, name in enumerate(("cat/1", "dog/2")):
        put_image(tmp_path / f"tree/{name}.jpg", number)
    trees.put(tmp_path / "tree/labels.csv", "path,label\ncat/1.jpg,a\ndog/2.jpg,b\n")
    with pytest.raises(
        errors.InvalidArgumentError, match=r"--format\).*\(csv: a .*\(imagefolder: "
    ):
        locate(tmp_path / "tree")
    assert locate(tmp_path / "tree", "csv")[0].name == "csv"
    assert quiet(tmp_path / "tree", tmp_path / "out", format="imagefolder").records == 2


def test_an_archive_is_told_to_be_unpacked(tmp_path):
    with pytest.raises(errors.DatasetNotFoundError, match=r"a\.tar\.gz is not a directory.*unpack"):
        locate(trees.put(tmp_path / "a.tar.gz", b"\x1f\x8b"))
    with pytest.raises(
        errors.DatasetNotFoundError, match=r"a\.json is not .* give the directory tha"
    ):
        locate(trees.put(tmp_path / "a.json", b"{}"))

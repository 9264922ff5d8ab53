"""COCO's JSON files: found, joined, read; and what may be wrong with them."""

import io
import json
import re
from pathlib import Path

import numpy as np
import packed
import pytest
import trees
from PIL import Image

from tfstream import errors
from tfstream.annotations import groups, json_items, masks
from tfstream.format import manifest
from tfstream.packing.packer import pack

DOG = {"id": 18, "name": "dog"}
PERSON = {"id": 1, "name": "person"}
WIDTH, HEIGHT = 48, 36


def image(number, **more):
    name = f"{number:012d}.jpg"
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **more}


def annotation(own, image_id, category=18, box=(1, 2, 10, 20), **more):
    told = {"id": own, "image_id": image_id, "category_id": category, **more}
    return told if box is None else {**told, "bbox": list(box)}


def document(images, annotations, categories=(DOG, PERSON), **more):
    told = {"info": {"year": 2017}, "images": images, "annotations": annotations}
    return {**told, "categories": list(categories), **more}


def make(root, told, count=4, name="annotations/instances_train2017.json", images="train2017"):
    for number in range(count):
        trees.put(root / images / f"{number:012d}.jpg", trees.encoded(trees.picture(number)))
    trees.put(root / name, told if isinstance(told, str) else json.dumps(told))
    return root


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def by_key(dest):
    return {each.key: each for each in packed.records(dest)}


def test_boxes_polygons_crowds_masks_and_keypoints_are_kept(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:7, 5:11] = 1
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    told = document(
        [image(0, license=3), image(1), image(2)],
        [
            annotation(1, 0, segmentation=[[1, 2, 11, 2, 11, 22.001], [20, 20, 24, 20, 24, 24]]),
            annotation(
                2, 1, 1, (5, 3, 6, 4), iscrowd=1, segmentation={"size": [36, 48], "counts": runs}
            ),
            annotation(3, 0, 1, box=(40, 30, 8.01, 6.0)),
        ],
    )
    root = make(tmp_path / "coco", told)
    points = document(
        [image(1)],
        [annotation(2, 1, 1, (5, 3, 6, 4), iscrowd=1, keypoints=[6, 4, 2, 0, 0, 0])],
        [{**PERSON, "keypoints": ["nose", "left_eye"]}],
    )
    trees.put(root / "annotations/person_keypoints_train2017.json", json.dumps(points))
    result = quiet(root, tmp_path / "out")
    assert (result.format, result.splits) == ("coco", {"train": 3})
    assert result.left_out == {"images without annotation": 1}
    found = by_key(tmp_path / "out")
    first = found["train2017/000000000000"]
    assert [item.label for item in first.objects] == ["dog", "person"]
    assert len(first.objects[0].polygons) == 2
    assert first.objects[1].box.xmax == 1  # 48.01 is 48 by rounding
    assert first.metadata["coco.license"].int_value == 3
    (crowd,) = found["train2017/000000000001"].objects
    assert crowd.crowd
    assert masks.size(crowd.mask) == (WIDTH, HEIGHT)
    assert (np.asarray(Image.open(io.BytesIO(crowd.mask))) == mask).all()
    assert [(p.name, p.visibility) for p in crowd.keypoints] == [("nose", 2), ("left_eye", 0)]
    assert crowd.keypoints[0].x == pytest.approx(6 / WIDTH)
    assert not found["train2017/000000000002"].objects


def test_categories_keep_their_order_as_labels(tmp_path):
    root = make(tmp_path / "coco", document([image(0)], [annotation(1, 0)], [PERSON, DOG]))
    quiet(root, tmp_path / "out")
    labels = manifest.load(tmp_path / "out").labels.labels
    assert [label.name for label in labels] == ["person", "dog"]


def test_roboflow_has_a_file_a_split_among_the_images(tmp_path):
    told = document([image(0), image(1)], [annotation(1, 0)])
    for split in ("train", "valid"):
        make(tmp_path / "r", told, 2, f"{split}/_annotations.coco.json", split)
    result = quiet(tmp_path / "r", tmp_path / "out")
    assert result.splits == {"train": 2, "val": 2}
    assert "valid/000000000001" in by_key(tmp_path / "out")


def letters(runs):
    """As COCO's own tools write them: differences from the run before the last, in few bits."""
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr(48 + (bits | 0x20 if more else bits))
            if not more:
                break
    return text


def test_compressed_run_lengths_are_those_of_coco():
    assert masks.runs_of(letters([0, 1700, 28, 3, 5000, 1])) == [0, 1700, 28, 3, 5000, 1]
    runs = [5, 2, 2, 2, 2, 2, 5]
    assert masks.runs_of(letters(runs)) == runs
    mask = masks.from_runs(runs, 5, 4)
    assert mask.tolist()[1] == [0, 1, 1, 1, 0]
    assert masks.box(mask) == (1, 1, 4, 3)


def test_the_order_of_the_arrays_and_many_small_blocks_change_nothing(tmp_path, monkeypatch):
    told = document([image(n) for n in range(3)], [annotation(n, n % 3) for n in range(9)])
    root = make(tmp_path / "a", told)
    quiet(root, tmp_path / "one")
    turned = {name: told[name] for name in ("categories", "annotations", "info", "images")}
    monkeypatch.setattr(json_items, "_BLOCK", 7)
    quiet(make(tmp_path / "b", json.dumps(turned, indent=3)), tmp_path / "two")
    assert by_key(tmp_path / "one") == by_key(tmp_path / "two")


def test_groups_that_do_not_fit_into_memory_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "_HELD", 1000)
    some = groups.Groups(tmp_path, 10 << 24)
    for number in range(500):
        some.add(f"n{number % 50}", str(number).encode())
    assert list(tmp_path.iterdir())
    found = dict(some.all())
    assert len(found) == 50
    assert found["n7"] == [str(number).encode() for number in range(7, 500, 50)]
    assert not list(tmp_path.iterdir())


WRONG = {
    "no category": (
        document([image(0)], [annotation(7, 0, 99)]),
        r"annotations[0] (id 7) of image 0: there is no category of its category_id 99",
    ),
    "no image of that id": (
        document([image(0)], [annotation(7, 5), annotation(8, 5)]),
        "annotations[0] and 1 more: there is no image of the id 5",
    ),
    "image id twice": (
        document([image(0), image(1, id=0)], []),
        "images[0] and images[1] both have the id 0",
    ),
    "annotation id twice": (
        document([image(0), image(1)], [annotation(7, 0), annotation(7, 1)]),
        "the annotation id 7 is used 2 times",
    ),
    "image listed and absent": (document([image(0), image(8)], []), "000000000008.jpg"),
    "path out of the root": (
        document([image(0), image(1, file_name="/etc/passwd.jpg")], []),
        "images[1]: the image path '/etc/passwd.jpg' leads out of",
    ),
    "path up": (
        document([image(0), image(1, file_name="../../x.jpg")], []),
        "images[1]: the image path '../../x.jpg' leads out of",
    ),
    "box of three": (
        document([image(0)], [annotation(7, 0, box=(1, 2, 3))]),
        "its bbox is not a list of 4 numbers: [1, 2, 3]",
    ),
    "short runs": (
        document([image(0)], [annotation(7, 0, segmentation={"size": [36, 48], "counts": [5]})]),
        "its run lengths are 5 pixels",
    ),
    "odd polygon": (
        document([image(0)], [annotation(7, 0, segmentation=[[1, 2, 3, 4, 5]])]),
        "its polygon has 5 numbers",
    ),
    "mask of another size": (
        document([image(0)], [annotation(7, 0, segmentation={"size": [2, 3], "counts": [2, 4]})]),
        "its mask has 3 x 2 pixels, and the image 48 x 36",
    ),
    "keypoint outside": (
        document([image(0)], [annotation(7, 0, keypoints=[1, 2, 2, 99, 1, 2])]),
        "its keypoint '' leaves the image of 48 x 36: x=99, y=1",
    ),
    "no id": (document([{"file_name": "a.jpg"}, image(0)], []), "images[0] has no id"),
    "two names": (
        document([image(0)], [], [DOG, {"id": 18, "name": "cat"}]),
        "has the id 18 of another category: 'cat' and 'dog'",
    ),
    "cut short": (
        json.dumps(document([image(0)], [annotation(1, 0)]), indent=1)[:-120],
        "the JSON does not parse",
    ),
    "Latin 1": (
        json.dumps(document([image(0)], [])).replace("dog", "d\udcffg"),
        "is not UTF-8 text",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_clear_error(tmp_path, name):
    told, words = WRONG[name]
    root = make(tmp_path / "coco", "")
    text = told if isinstance(told, str) else json.dumps(told)
    path = root / "annotations/instances_train2017.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(errors.AnnotationError, match=re.escape(words)) as caught:
        quiet(root, tmp_path / "out")
    assert "1 problem in" in str(caught.value) or not Path(f"{tmp_path}/out.rejects.jsonl").exists()
    assert not (tmp_path / "out").exists()


def test_an_error_in_the_json_names_the_line(tmp_path):
    text = json.dumps(document([image(0)], []), indent=1).replace('"width": 48', '"width": x')
    root = make(tmp_path / "coco", text)
    line = text[: text.index("x,\n")].count("\n") + 1
    with pytest.raises(errors.AnnotationError, match=f"train2017.json:{line}: the JSON does not"):
        quiet(root, tmp_path / "out")


def test_corners_where_sizes_belong_are_warned_of(tmp_path):
    boxes = [annotation(n, 0, box=(20 + n, 15 + n, 40 + n, 30 + n)) for n in range(6)]
    root = make(tmp_path / "coco", document([image(0)], boxes))
    with (
        pytest.warns(
            UserWarning, match=r"look like \(xmin.*and coco has \(x, y, width, height\): 6"
        ),
        pytest.raises(errors.AnnotationError, match="6 problems"),
    ):
        quiet(root, tmp_path / "out")


def test_any_number_of_processes_makes_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.setenv("TFSTREAM_AUTHOR", "ann")
    count = 300  # more than a task
    told = document([image(n) for n in range(count)], [annotation(n, n) for n in range(count)])
    root = make(tmp_path / "coco", told, count)
    quiet(root, tmp_path / "one")
    quiet(root, tmp_path / "two", processes=2)
    assert packed.digests(tmp_path / "one") == packed.digests(tmp_path / "two")

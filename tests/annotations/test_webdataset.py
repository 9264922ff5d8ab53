"""WebDataset's tar files: samples are found, read; and what may be wrong with them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import packed
import pytest
import trees

from tfstream import errors
from tfstream.format import manifest
from tfstream.packing.packer import pack

JPEG = trees.encoded(trees.picture(1))


def make(root: Path, files: dict[str, bytes | str], name: str = "train-000000.tar") -> Path:
    """A tar file with some members, in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, data in files.items():
            data = data.encode() if isinstance(data, str) else data
            head = tarfile.TarInfo(member)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
    trees.put(root / name, buffer.getvalue())
    return root


def quiet(source: Path, dest: Path, **options: object):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def test_samples_of_other_programs_are_read(tmp_path: Path) -> None:
    make(tmp_path / "t", {"a/0.jpg": JPEG, "a/0.cls": "1", "a/1.cls": "2", "a/1.PNG": JPEG})
    make(
        tmp_path / "t",
        {"2.jpg": JPEG, "2.json": '{"label": "dog", "caption": "x"}', "2.txt": "x", "._x": "y"},
        "valid-0.tar",
    )
    trees.put(tmp_path / "t/labels.json", '[{"name": "cat"}, {"name": "dog", "title": "Dog"}]')
    result = quiet(tmp_path / "t", tmp_path / "out")
    assert (result.format, result.splits) == ("webdataset", {"train": 2, "val": 1})
    assert result.left_out == {
        "files of samples that end in .txt": 1,
        "members of tar files that are no files of a sample": 1,
    }
    found = {one.key: one for one in packed.records(tmp_path / "out")}
    labels = {key: [item.label for item in one.objects] for key, one in found.items()}
    assert labels == {"a/0": ["dog"], "a/1": [], "2": ["dog"]}  # 2 is the background
    told = manifest.load(tmp_path / "out").labels.labels
    assert [(label.name, label.title) for label in told] == [("cat", ""), ("dog", "Dog")]


def test_classes_without_a_list_of_labels_are_labels_themselves(tmp_path: Path) -> None:
    make(tmp_path / "t", {"0.jpg": JPEG, "0.cls": "7\n", "1.jpg": JPEG, "1.cls": "dog"})
    quiet(tmp_path / "t", tmp_path / "out")
    assert [label.name for label in manifest.load(tmp_path / "out").labels.labels] == ["7", "dog"]


GOOD = {"a.jpg": JPEG, "a.json": '{"label": "dog"}'}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"b.json": "{}"}, r"train-000000\.tar: the sample 'b' has no image"),
        ({"b.jpg": JPEG, "b.json": "{"}, r"the sample 'b': its \.json does not parse: Expecting"),
        ({"b.jpg": JPEG, "b.json": "[1]"}, r"'b': its \.json holds no object but '\[1\]'"),
        ({"b.jpg": JPEG, "b.json": '{"key": 3}'}, r"'b': its key is not text: 3"),
        ({"b.jpg": JPEG, "b.cls": b"\xff"}, r"'b': its \.cls is not UTF-8 text"),
        ({"b.jpg": JPEG, "b.cls": " "}, r"'b': its \.cls is empty"),
        ({"b.jpg": JPEG, "b.cls": "5"}, r"its \.cls is 5, and labels\.json has 1 labels"),
        ({"b.jpg": JPEG, "b.png": JPEG, "b.cls": "0"}, "the sample 'b' has several images"),
        (
            {"b.jpg": JPEG, "b.json": '{"objects": [{"label": "x", "box": [1]}]}'},
            r"train-000000\.tar: the sample 'b': objects\[0\]: its box is not a list of 4 numbers",
        ),
        (
            {
                "b.jpg": JPEG,
                "b.json": '{"objects": [{"label": "x", "mask": {"size": [9, 9], "counts": "1"}}]}',
            },
            "its run lengths are 1 pixels, and the mask of 9 x 9 has 81",
        ),
        ({"b" * 250 + ".jpg": JPEG}, "the sample 'b+'… has a name of more than 240 bytes"),
        ({"b.jpg": b"no image", "b.cls": "0"}, r"b\.jpg is not an image"),
        ({"c.jpg": JPEG, "c.json": '{"key": "a"}'}, "'a'"),
    ],
)
def test_a_sample_that_is_wrong_is_named(
    tmp_path: Path, files: dict[str, bytes | str], why: str
) -> None:
    make(tmp_path / "t", {**GOOD, **files})
    trees.put(tmp_path / "t/labels.json", '[{"name": "dog"}]')
    with pytest.raises(errors.AnnotationError, match=why):
        quiet(tmp_path / "t", tmp_path / "out")


def test_what_is_no_tar_file_is_named(tmp_path: Path) -> None:
    root = make(tmp_path / "t", GOOD)
    whole = (root / "train-000000.tar").read_bytes()
    trees.put(root / "train-000001.tar", gzip.compress(whole))
    with pytest.raises(errors.AnnotationError, match=r"000001\.tar is not a tar file, is compr"):
        quiet(root, tmp_path / "out")
    trees.put(root / "train-000001.tar", whole[:700])
    with pytest.raises(errors.AnnotationError, match=r"000001\.tar .*is cut short"):
        quiet(root, tmp_path / "out")
    (root / "train-000001.tar").unlink()
    trees.put(root / "labels.json", json.dumps([{"name": "dog"}, {"name": "dog"}]))
    with pytest.raises(errors.AnnotationError, match="is not a JSON list of labels, each once"):
        quiet(root, tmp_path / "out")


def test_names_in_tar_files_lead_nowhere(tmp_path: Path) -> None:
    up = {"../../up.jpg": JPEG, "../../up.cls": "dog", "/etc/x.jpg": JPEG, "/etc/x.cls": "dog"}
    quiet(make(tmp_path / "t", up), tmp_path / "out")
    keys = sorted(one.key for one in packed.records(tmp_path / "out"))
    assert keys == ["../../up", "/etc/x"]  # keys are names, not paths
    assert not (tmp_path / "up.jpg").exists()

"""What is wrong with the input is named, and nothing is lost by it."""

import json
import math
import os
from pathlib import Path

import packed
import pytest
import trees
from trees import Thing

from tfstream import errors
from tfstream.format import verify
from tfstream.packing import steps
from tfstream.packing.packer import pack

GOOD = Thing("n01440764", 1, 2, 30, 20)
FIRST = "train/n01440764/n01440764_00000"


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def rejects_of(dest):
    return [json.loads(line) for line in Path(f"{dest}.rejects.jsonl").read_text().splitlines()]


@pytest.fixture
def tree(tmp_path):
    """Ten images, of which the tests spoil the first."""
    return trees.make_ilsvrc_tree(tmp_path / "tree", train=8, val=2)


def xml(tree):
    return tree / f"Annotations/DET/{FIRST}.xml"


def jpeg(tree):
    return tree / f"Data/DET/{FIRST}.JPEG"


def write_objects(*things, **kind):
    return lambda tree: trees.put(xml(tree), trees.annotation(things, **kind))


def write_image(data):
    return lambda tree: trees.put(jpeg(tree), data)


# What is spoilt, of what kind it is, what the error says of it, and whether clip mends it.
SPOILT = {
    "missing image": (lambda tree: jpeg(tree).unlink(), "missing image", "is missing", False),
    "dangling link": (
        lambda tree: (jpeg(tree).unlink(), jpeg(tree).symlink_to("nowhere")),
        "missing image",
        "is not there",
        False,
    ),
    "broken XML": (
        lambda tree: trees.put(xml(tree), "<annotation>\n<object>\n</annotation>"),
        "annotation",
        ":3: the XML does not parse: mismatched tag",
        False,
    ),
    "entity bomb": (
        lambda tree: trees.put(xml(tree), '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'),
        "annotation",
        ":1: the XML declares an entity",
        False,
    ),
    "box outside": (
        write_objects(GOOD, Thing("n02084071", 10, 10, 60, 30)),
        "box",
        "object 1 ('n02084071'): its box leaves the image of 48 x 36: xmin=10, ymin=10, xmax=60",
        True,
    ),
    "inverted box": (write_objects(GOOD, Thing("x", 30, 2, 1, 20)), "box", "is inverted", True),
    "empty box": (write_objects(GOOD, Thing("x", 5, 5, 5, 6)), "box", "is empty", True),
    "NaN": (write_objects(GOOD, Thing("x", math.nan, 5, 5, 6)), "box", "not a number", True),
    "no number": (
        write_objects(GOOD, Thing("x", "left", 5, 5, 6)),
        "annotation",
        "<xmin> of <bndbox> is not a number: 'left'",
        False,
    ),
    "empty file": (write_image(b""), "image", "is empty: it has 0 bytes", False),
    "text file": (write_image(b"<html>404</html>"), "image", "is not an image", False),
    "cut short": (
        write_image(trees.encoded(trees.picture(0))[:-40]),
        "image",
        "is cut short",
        False,
    ),
    "other size": (
        write_objects(GOOD, size=(49, 36)),
        "size",
        "says 49 x 36 pixels, and the image",
        False,
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_error_packs_nothing_and_names_the_file(tree, tmp_path, name):
    spoil, kind, words, _ = SPOILT[name]
    spoil(tree)
    with pytest.raises(errors.AnnotationError) as caught:
        quiet(tree, tmp_path / "out")
    told = str(caught.value)
    assert "Nothing was packed: 1 problem in the input" in told
    assert words in told
    assert FIRST in told
    assert str(tmp_path / "out.rejects.jsonl") in told
    (reject,) = rejects_of(tmp_path / "out")
    assert (reject["key"], reject["split"], reject["kind"]) == (FIRST, "train", kind)
    assert reject["file"] in (str(xml(tree)), str(jpeg(tree)))
    assert not (tmp_path / "out").exists()
    assert isinstance(caught.value, FileNotFoundError) == (kind == "missing image")


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("on_invalid", ["skip", "clip"])
def test_skip_and_clip_pack_what_can_be_packed(tree, tmp_path, name, on_invalid):
    spoil, kind, _, mends = SPOILT[name]
    spoil(tree)
    result = quiet(tree, tmp_path / "out", on_invalid=on_invalid)
    kept = mends and on_invalid == "clip"
    assert (result.records, result.rejected) == ((10, 0) if kept else (9, 1))
    assert result.rejects == tmp_path / "out.rejects.jsonl"
    (reject,) = rejects_of(tmp_path / "out")
    assert reject["kind"] == kind
    assert reject["action"].startswith("object" if kept else "record left out")
    assert verify.verify(tmp_path / "out") == []
    found = {image.key: image for image in packed.records(tmp_path / "out")}
    assert (FIRST in found) == kept
    if kept:
        labels = [item.label for item in found[FIRST].objects]
        assert labels == (["n01440764", "n02084071"] if name == "box outside" else ["n01440764"])


def test_all_problems_are_collected_and_the_first_ten_shown(tree, tmp_path):
    write_objects(*[Thing(f"l{n}", 9, 9, 1, 1) for n in range(12)])(tree)
    (tree / "Data/DET/val/val_00001.JPEG").unlink()
    with pytest.raises(errors.AnnotationError) as caught:
        quiet(tree, tmp_path / "out")
    told = str(caught.value)
    assert "13 problems in the input" in told
    assert "object 9 ('l9')" in told
    assert "object 10" not in told
    assert "and 3 more" in told
    assert len(rejects_of(tmp_path / "out")) == 13


def test_duplicate_keys_are_named_and_the_first_is_kept(tmp_path):
    tree = trees.make_voc_tree(tmp_path / "tree", train=3, val=2)
    trees.put(tree / "ImageSets/Main/val.txt", "2012_000001\n2012_000003\n")
    with pytest.raises(errors.AnnotationError, match="key '2012_000001' is that of") as caught:
        quiet(tree, tmp_path / "out")
    assert "1 problem" in str(caught.value)
    result = quiet(tree, tmp_path / "out", on_invalid="skip")
    assert result.splits == {"train": 3, "val": 1}
    assert rejects_of(tmp_path / "out")[0]["kind"] == "duplicate key"


def test_a_label_that_is_not_in_the_map_is_named_with_the_nearest(tree, tmp_path):
    labels = trees.put(tmp_path / "labels.txt", "n01440764\nn02084071\nn02121800\n")
    with pytest.raises(errors.AnnotationError) as caught:
        quiet(tree, tmp_path / "out", labels=labels)
    told = f"'n02121808' is not among the 3 labels of {labels}. Nearest: 'n02121800'."
    assert f"{told} Add it to {labels}, or leave --labels (labels=) out." in str(caught.value)
    result = quiet(tree, tmp_path / "out", labels=labels, on_invalid="clip")
    assert result.rejected > 0
    names = {item.label for image in packed.records(tmp_path / "out") for item in image.objects}
    assert names == {"n01440764"}  # the third is in every image that the second is in


def test_an_empty_tree_is_an_error(tmp_path):
    (tmp_path / "tree/Annotations/DET").mkdir(parents=True)
    trees.put(tmp_path / "tree/Data/DET/test/a.JPEG", b"")
    with pytest.raises(
        errors.AnnotationError,
        match=r"tree holds no annotation \(1 images without one\): there is none in its Annot",
    ):
        quiet(tmp_path / "tree", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tree_of_which_nothing_is_left_is_an_error(tree, tmp_path):
    for path in tree.rglob("*.JPEG"):
        path.unlink()
    with pytest.raises(errors.AnnotationError, match=r"no record is left.*rejects\.jsonl"):
        quiet(tree, tmp_path / "out", on_invalid="skip")
    assert len(rejects_of(tmp_path / "out")) == 10


@pytest.mark.parametrize("which", [xml, jpeg])
def test_a_file_that_cannot_be_read_is_named_and_never_left_out(tree, tmp_path, which):
    path = which(tree)
    path.unlink()
    path.symlink_to(path)  # to itself: nobody can open it, not even root
    with pytest.raises(errors.StorageError, match=f"Cannot read .*{path.name}: Too many levels"):
        quiet(tree, tmp_path / "out", on_invalid="skip")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_in_the_place_of_an_image_is_not_waited_for(tree, tmp_path, linked):
    jpeg(tree).unlink()
    pipe = tmp_path / "pipe" if linked else jpeg(tree)
    os.mkfifo(pipe)
    if linked:
        jpeg(tree).symlink_to(pipe)
    with pytest.raises(errors.MissingImageError, match="there is no"):
        quiet(tree, tmp_path / "packed")


def test_a_pipe_that_a_table_names_as_an_image_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\na.png,cat\n")
    with pytest.raises(errors.TfstreamError, match="a.png"):
        quiet(tmp_path / "labels.csv", tmp_path / "packed", format="csv")


def test_damage_inside_an_image_is_found_in_writing(tree, tmp_path):
    data = bytearray(trees.encoded(trees.picture(0, 200, 200)))
    data[-1000:-998] = b"\xff\xc4"
    write_image(bytes(data))(tree)
    write_objects(size=None)(tree)
    with pytest.raises(errors.AnnotationError, match=r"00000\.JPEG cannot be decoded.*skip"):
        quiet(tree, tmp_path / "out")
    result = quiet(tree, tmp_path / "out", on_invalid="skip", rejects=tmp_path / "why")
    assert (result.records, result.rejected, result.rejects) == (9, 1, tmp_path / "why")
    assert json.loads((tmp_path / "why").read_text())["key"] == FIRST
    assert verify.verify(tmp_path / "out") == []


def test_a_shard_of_which_no_record_is_left_is_not_there(tree, tmp_path):
    data = bytearray(trees.encoded(trees.picture(0, 200, 200)))
    data[-1000:-998] = b"\xff\xc4"
    write_image(bytes(data))(tree)
    write_objects(size=None)(tree)
    result = quiet(tree, tmp_path / "out", on_invalid="clip", shard_bytes=1)
    assert (result.records, result.shards) == (9, 9)
    assert len(list((tmp_path / "out/shards").iterdir())) == 18
    assert verify.verify(tmp_path / "out") == []


def test_an_image_that_changes_while_it_is_packed_is_named(tree, tmp_path, monkeypatch):
    plan = steps.plan_shards

    def plan_and_change(*args, **options):
        trees.put(jpeg(tree), trees.encoded(trees.picture(5)))
        return plan(*args, **options)

    monkeypatch.setattr(steps, "plan_shards", plan_and_change)
    with pytest.raises(errors.PackError, match=r"00000\.JPEG was changed or removed while"):
        quiet(tree, tmp_path / "out")
    monkeypatch.undo()
    assert quiet(tree, tmp_path / "out").records == 10


def test_a_rejects_file_is_only_written_over_one_of_its_kind(tree, tmp_path):
    mine = trees.put(tmp_path / "thesis.tex", "all of it")
    with pytest.raises(errors.InvalidArgumentError, match=r"thesis\.tex .*is not a rejects file"):
        quiet(tree, tmp_path / "out", rejects=mine)
    assert mine.read_text() == "all of it"
    jpeg(tree).unlink()
    for _ in range(2):
        with pytest.raises(errors.MissingImageError):
            quiet(tree, tmp_path / "out")
    trees.put(jpeg(tree), trees.encoded(trees.picture(0)))
    assert quiet(tree, tmp_path / "out").rejects is None
    assert not (tmp_path / "out.rejects.jsonl").exists()


def test_a_device_or_a_pipe_is_never_replaced_by_a_rejects_file(tree, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    jpeg(tree).unlink()
    with pytest.raises(errors.InvalidArgumentError, match="pipe is not a regular file"):
        quiet(tree, tmp_path / "out", on_invalid="skip", rejects=pipe)
    assert pipe.is_fifo()
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_rejects_file_stays_a_link(tree, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there")
    jpeg(tree).unlink()
    quiet(tree, tmp_path / "out", on_invalid="skip", rejects=link)
    assert link.is_symlink()
    assert json.loads((tmp_path / "there").read_text())["key"] == FIRST


def test_a_rejects_file_that_cannot_be_written_does_not_hide_what_is_wrong(tree, tmp_path):
    jpeg(tree).unlink()
    # Its directory's name is longer than names may be: seen only in writing.
    blocked = tmp_path / ("x" * 300) / "why"
    with pytest.raises((errors.MissingImageError, errors.StorageError), match="x" * 300):
        quiet(tree, tmp_path / "out", rejects=blocked)
    # And a directory where no file can be made, as /proc is one.
    with pytest.raises(errors.MissingImageError, match="Cannot write /proc/why") as caught:
        quiet(tree, tmp_path / "out", rejects="/proc/why")
    assert FIRST in str(caught.value)


def test_the_rejects_are_the_same_with_any_number_of_processes(tmp_path):
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=300, val=0)
    for path in sorted(tree.rglob("*.JPEG"))[::7]:
        path.unlink()
    told = []
    for processes in (1, 2):
        quiet(tree, tmp_path / str(processes), processes=processes, on_invalid="skip")
        told.append(rejects_of(tmp_path / str(processes)))
    assert told[0] == told[1]
    assert len(told[0]) == 43

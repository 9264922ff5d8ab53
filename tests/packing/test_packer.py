"""Packing small trees: what is in the dataset, and that it is always the same."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import packed
import pytest
import trees
from PIL import Image

import tfstream
from tfstream import errors
from tfstream.format import index, manifest, verify
from tfstream.format.label_map import LabelMap
from tfstream.packing.destination import open_destination
from tfstream.packing.packer import pack
from tfstream.packing.workspace import Workspace


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A tree that is more than one task for two workers."""
    return trees.make_ilsvrc_tree(tmp_path_factory.mktemp("large"), train=270, val=30)


def test_records_hold_the_files_and_their_annotations(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=30, val=6)
    result = quiet(root, tmp_path / "out")
    assert result.splits == {"train": 30, "val": 6}
    assert (result.rejected, result.rejects, result.left_out) == (0, None, {})
    assert verify.verify(tmp_path / "out") == []
    found = {image.key: image for image in packed.records(tmp_path / "out")}
    assert len(found) == 36
    for path in root.rglob("*.JPEG"):
        key = path.relative_to(root / "Data/DET").with_suffix("").as_posix()
        image = found[key]
        assert image.encoded == path.read_bytes()
        assert (image.format, image.width, image.height) == ("jpeg", 48, 36)
        number = int(key[-5:])
        assert [item.label for item in image.objects] == [t.name for t in trees.things(number)]
        for item, thing in zip(image.objects, trees.things(number), strict=True):
            edges = (item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax)
            wanted = (thing.xmin / 48, thing.ymin / 36, thing.xmax / 48, thing.ymax / 36)
            assert edges == pytest.approx(wanted)
        assert image.metadata["source.database"].string_value == "made up"
        assert image.metadata["segmented"].bool_value is False


def test_the_manifest_says_how_it_was_packed(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    quiet(root, tmp_path / "out", seed=3, shard_bytes="10kB", background=False)
    made = manifest.load(tmp_path / "out")
    assert [label.name for label in made.labels.labels] == sorted(trees.LABELS)
    assert not made.labels.background
    assert (made.pack.format, made.pack.seed, made.pack.shard_bytes) == ("ilsvrc-det", 3, 10_000)
    assert (made.pack.on_invalid, made.pack.max_side, made.pack.quality) == ("error", 0, 0)
    assert dict(made.schema.metadata) == {
        "folder": "string",
        "segmented": "bool",
        "source.database": "string",
    }
    assert made.version == 1
    assert made.tfstream_version == tfstream.__version__
    train = made.splits[0].statistics
    assert (train.records, train.background) == (12, 1)
    assert not (tmp_path / "out/.packing").exists()


def test_the_bytes_are_the_same_with_any_number_of_processes(large, tmp_path):
    made = []
    for processes in (1, 2, 3):
        quiet(large, tmp_path / str(processes), processes=processes, shard_bytes=50_000)
        made.append(packed.digests(tmp_path / str(processes)))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 10


def test_the_bytes_do_not_depend_on_where_the_tree_lies(tmp_path):
    for name in ("a", "somewhere/else"):
        root = trees.make_ilsvrc_tree(tmp_path / name)
        for path in root.rglob("*"):
            os.utime(path, (1, len(name)))
        quiet(tmp_path / name, tmp_path / f"out {len(name)}")
    assert packed.digests(tmp_path / "out 1") == packed.digests(tmp_path / "out 14")


def test_records_are_shuffled_over_the_whole_split_by_the_seed(large, tmp_path):
    orders = []
    for seed in (0, 1):
        quiet(large, tmp_path / str(seed), seed=seed, shard_bytes="1GB")
        orders.append([image.key for image in packed.records(tmp_path / str(seed), "train")])
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    # Of a label's records, which lie together in the tree, about a third are in each third.
    place = {key: number for number, key in enumerate(orders[0])}
    first = [place[key] < 90 for key in place if trees.LABELS[0] in key]
    assert 0.2 < np.mean(first) < 0.47


def test_shards_are_filled_to_the_byte(large, tmp_path):
    quiet(large, tmp_path / "out", shard_bytes=30_000)
    for split in manifest.load(tmp_path / "out").splits:
        for shard, after in zip(split.shards, split.shards[1:], strict=False):
            table = index.read(tmp_path / "out" / after.index_path, ["length"])
            assert shard.bytes == (tmp_path / "out" / shard.path).stat().st_size <= 30_000
            assert shard.bytes + table["length"][0].as_py() > 30_000


def test_shards_keep_to_their_size_with_many_labels_too(tmp_path):
    root = tmp_path / "tree"
    for number in range(300):
        trees.put(root / f"JPEGImages/{number}.jpg", trees.encoded(trees.picture(number)))
        thing = trees.Thing(f"label {number:03d}", 0, 0, 9, 9)
        trees.put(root / f"Annotations/{number}.xml", trees.annotation([thing] * 3))
    result = quiet(root, tmp_path / "out", shard_bytes=20_000)
    assert result.classes == 301
    shards = manifest.load(tmp_path / "out").splits[0].shards
    assert max(shard.bytes for shard in shards) <= 20_000
    assert np.mean([shard.bytes for shard in shards[:-1]]) > 17_000


def test_a_record_larger_than_a_shard_has_one_of_its_own(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=4, val=0)
    result = quiet(root, tmp_path / "out", shard_bytes=1)
    assert (result.shards, result.splits) == (4, {"train": 4})


def test_labels_come_from_a_file(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    lines = ["n02084071 dog, domestic dog", "n01440764 tench", "n02121808 cat", "n00000001 more"]
    file = trees.put(tmp_path / "synsets.txt", "\n".join(lines))
    quiet(root, tmp_path / "out", labels=file)
    labels = LabelMap.from_proto(manifest.load(tmp_path / "out").labels)
    assert labels.id == {"n02084071": 0, "n01440764": 1, "n02121808": 2, "n00000001": 3}
    assert labels.titles[0] == "dog, domestic dog"
    assert labels.background == 4


def test_a_voc_tree_is_packed_by_its_image_sets(tmp_path):
    trees.make_voc_tree(tmp_path / "VOCdevkit/VOC2012", train=6, val=3, test=2)
    result = quiet(tmp_path / "VOCdevkit", tmp_path / "out")
    assert result.format == "voc"
    assert result.splits == {"train": 6, "val": 3}
    assert result.left_out == {"images without annotation": 2}


def test_a_script_needs_no_main_guard_and_tensorflow_is_not_imported(large, tmp_path):
    script = trees.put(
        tmp_path / "script.py",
        "import sys, tfstream\n"
        f"data = tfstream.pack({str(large)!r}, {str(tmp_path / 'out')!r}, processes=2)\n"
        "assert tfstream.pack and callable(tfstream.pack)\n"
        "print(len(data), 'tensorflow' in sys.modules)\n",
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "300 False\n"
    assert "Packing: 300 of 300 images" in done.stderr


# Destinations


def test_a_destination_with_a_dataset_is_left_as_it_is(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    quiet(root, tmp_path / "out")
    before = packed.digests(tmp_path / "out")
    with pytest.raises(errors.DatasetExistsError, match="out holds a dataset already"):
        quiet(root, tmp_path / "out", seed=1)
    assert packed.digests(tmp_path / "out") == before


def test_a_destination_with_other_files_is_refused(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    trees.put(tmp_path / "out/thesis.tex", "all of it")
    with pytest.raises(errors.InvalidArgumentError, match=r"'thesis\.tex'"):
        quiet(root, tmp_path / "out")
    assert list(packed.digests(tmp_path / "out")) == ["thesis.tex"]
    with pytest.raises(errors.InvalidArgumentError, match="is a file"):
        quiet(root, tmp_path / "out/thesis.tex")


def test_a_destination_may_lie_beside_the_images_and_not_among_them(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    with pytest.raises(errors.InvalidArgumentError, match="lies inside"):
        quiet(root, root / "Data/DET/packed")
    assert not (root / "Data/DET/packed").exists()
    assert quiet(root, root / "packed").records == 16


@pytest.mark.parametrize("wrong", [{"workspace": "work"}, {"project": "billed"}])
def test_what_is_for_a_remote_destination_is_not_for_a_local_one(tmp_path, wrong):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    with pytest.raises(errors.InvalidArgumentError, match="is for a remote destination"):
        quiet(root, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_two_packers_do_not_share_a_destination(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    with (
        Workspace(open_destination(tmp_path / "out")),
        pytest.raises(errors.DatasetExistsError, match=rf"process {os.getpid()} .*is packing to"),
    ):
        quiet(root, tmp_path / "out")
    assert quiet(root, tmp_path / "out").records == 16


def test_bad_arguments_leave_no_trace(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree")
    for wrong in (
        {"seed": -1},
        {"shard_bytes": "many"},
        {"on_invalid": "drop"},
        {"processes": 0},
        {"format": "coco"},
        {"labels": tmp_path / "nowhere"},
        {"max_side": -3},
        {"quality": 0},
    ):
        with pytest.raises((errors.InvalidArgumentError, errors.DatasetNotFoundError)):
            quiet(root, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


# Re-encoding


def test_max_side_makes_larger_images_smaller_and_leaves_the_others(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=3, val=0, width=200, height=120)
    trees.make_ilsvrc_tree(root, train=0, val=3)
    quiet(root, tmp_path / "small", max_side=50)
    quiet(root, tmp_path / "whole")
    whole = {image.key: image for image in packed.records(tmp_path / "whole")}
    for image in packed.records(tmp_path / "small"):
        before = whole[image.key]
        assert list(image.objects) == list(before.objects)
        if image.key.startswith("val"):
            assert image == before
        else:
            assert (image.width, image.height, image.format) == (50, 30, "jpeg")
            picture = Image.open(packed_file(tmp_path, image))
            assert picture.size == (50, 30)
            original = Image.open(packed_file(tmp_path, before)).resize((50, 30))
            assert np.abs(np.asarray(picture, float) - np.asarray(original, float)).mean() < 25
    assert manifest.load(tmp_path / "small").pack.quality == 90


def packed_file(directory: Path, image) -> Path:
    return trees.put(directory / "image", image.encoded)


def test_quality_alone_encodes_all_images_again(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=3, val=0)
    for quality in (95, 20):
        quiet(root, tmp_path / str(quality), quality=quality)
    high, low = (
        sum(len(image.encoded) for image in packed.records(tmp_path / name))
        for name in ("95", "20")
    )
    assert low < high
    assert verify.verify(tmp_path / "20") == []


@pytest.mark.parametrize(
    ("mode", "format", "channels"),
    [("RGBA", "PNG", 3), ("LA", "PNG", 1), ("P", "GIF", 3), ("CMYK", "JPEG", 3), ("L", "BMP", 1)],
)
def test_images_of_all_kinds_become_plain_jpeg(tmp_path, mode, format, channels):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=1, val=0)
    picture = trees.picture(1, mode="RGB").convert(mode)
    trees.put(next(root.rglob("*.JPEG")), trees.encoded(picture, format))
    quiet(root, tmp_path / "out", quality=95)
    (image,) = packed.records(tmp_path / "out")
    again = Image.open(packed_file(tmp_path, image))
    assert (image.format, again.format) == ("jpeg", "JPEG")
    assert len(again.getbands()) == channels
    plain = np.asarray(picture.convert("RGB" if channels == 3 else "L"), float)
    assert np.abs(np.asarray(again, float) - plain).mean() < 25


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=1, val=0)
    deep = Image.fromarray(np.full((36, 48), 40_000, np.uint16))
    deep.save(next(root.rglob("*.JPEG")), "PNG")
    quiet(root, tmp_path / "out", quality=95)
    (image,) = packed.records(tmp_path / "out")
    assert np.asarray(Image.open(packed_file(tmp_path, image))).mean() == pytest.approx(156, abs=1)


def test_re_encoded_images_are_upright(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=1, val=0)
    trees.put(next(root.rglob("*.JPEG")), trees.encoded(trees.picture(0), orientation=6))
    xml = next(root.rglob("*.xml"))
    # On the stored pixels; displayed, the box is at the top, on the right.
    xml.write_text(trees.annotation([trees.Thing("n01440764", 0, 0, 12, 9)]))
    made = {}
    for name, options in (("stored", {}), ("small", {"max_side": 24})):
        quiet(root, tmp_path / name, **options)
        (made[name],) = packed.records(tmp_path / name)
    assert (made["stored"].width, made["stored"].height, made["stored"].orientation) == (36, 48, 6)
    assert (made["small"].width, made["small"].height, made["small"].orientation) == (18, 24, 1)
    assert Image.open(packed_file(tmp_path, made["small"])).size == (18, 24)
    for image in made.values():
        box = image.objects[0].box
        assert (box.ymin, box.xmin, box.ymax, box.xmax) == pytest.approx((0, 0.75, 0.25, 1))


def test_a_given_label_map_is_taken_as_it_is(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=2, val=0)
    labels = LabelMap.from_names(reversed(trees.LABELS), background=False)
    quiet(root, tmp_path / "out", labels=labels)
    assert LabelMap.from_proto(manifest.load(tmp_path / "out").labels) == labels
    assert dataclasses.astuple(labels)[2] is False

"""Packing on Beam's DirectRunner: the local packer's bytes, whatever is done twice or fails."""

import json
import os

import packed
import pytest
import trees

from tfstream.packing import survey
from tfstream.packing.beam import executor, work
from tfstream.packing.packer import pack

pytest.importorskip("apache_beam", reason="needs pip install 'tfstream[beam]'")

OPTIONS = {"shard_bytes": 8_000, "progress": False}


@pytest.fixture(autouse=True)
def several_buckets_and_parts(monkeypatch):
    monkeypatch.setattr(executor, "RECORDS_A_BUCKET", 5)
    monkeypatch.setattr(survey, "CHUNK", 4)
    for module in (executor, work):
        monkeypatch.setattr(module, "CHUNKS", 2)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.make_ilsvrc_tree(tmp_path_factory.mktemp("tree"), train=24, val=6)


def on_beam(tree, dest, flags=(), **options):
    return pack(tree, dest, runner="DirectRunner", pipeline_options=flags, **OPTIONS | options)


def both(tree, tmp_path, flags=(), **options):
    """Digests of what the local packer made, and of what Beam did; and the two results."""
    local = pack(tree, tmp_path / "local", processes=1, **OPTIONS | options)
    beam = on_beam(tree, tmp_path / "beam", flags, **options)
    assert packed.digests(tmp_path / "beam") == packed.digests(tmp_path / "local")
    return local, beam


def without(result, *names):
    return {key: value for key, value in vars(result).items() if key not in names}


def test_the_bytes_and_the_result_are_those_of_the_local_packer(tree, tmp_path):
    local, beam = both(tree, tmp_path)
    assert local.shards > 4
    assert without(beam, "dest", "seconds") == without(local, "dest", "seconds")
    assert sorted(os.listdir(tmp_path / "beam")) == ["manifests", "shards"]


def make_csv(root):
    trees.make_coco_tree(root / "images", train=8)
    files = sorted((root / "images/train2017").iterdir())
    lines = [f"{path.relative_to(root)},{trees.LABELS[n % 3]}" for n, path in enumerate(files)]
    return trees.put(root / "all.csv", "path,label\n" + "\n".join(lines) + "\n")


FORMATS = {
    "voc": lambda root: trees.make_voc_tree(root, train=6, val=3),
    "coco": lambda root: trees.make_coco_tree(root, train=8),
    "csv": make_csv,
}


@pytest.mark.parametrize("format", FORMATS)
def test_so_they_are_for_other_formats(format, tmp_path):
    source = FORMATS[format](tmp_path / "tree")
    local, _ = both(source, tmp_path, format=format, shard_bytes=3_000)
    assert local.shards > 1


@pytest.mark.parametrize("on_invalid", ["skip", "clip"])
def test_what_is_wrong_is_left_out_mended_and_told_alike(on_invalid, tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=12, val=3)
    annotations = sorted((root / "Annotations/DET/train").rglob("*.xml"))
    annotations[0].write_text(trees.annotation([trees.Thing("n01440764", -3, 2, 20, 30)]))
    annotations[1].write_text("<annotation>")
    images = sorted((root / "Data/DET/train").rglob("*.JPEG"))
    images[2].unlink()
    data = images[3].read_bytes()
    # Its ends are those of a JPEG file, so that only who reads it all finds out.
    images[3].write_bytes(data[: len(data) // 2] + b"\xff\xc4" + data[-2:])
    both(root, tmp_path, on_invalid=on_invalid, max_side=40)
    told = [(tmp_path / f"{name}.rejects.jsonl").read_text() for name in ("local", "beam")]
    assert told[0] == told[1]
    assert told[0].count("\n") >= 4


def test_records_with_the_same_key_and_metadata_that_disagree_are_left_out_alike(tmp_path):
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

    def images():
        for number in range(20):
            key = "twice" if number in (3, 17) else f"k{number}"
            image = AnnotatedImage(
                key=key,
                split="val" if number % 4 == 1 else "train",
                encoded=trees.encoded(trees.picture(number)),
            )
            image.metadata["n"].int_value = number
            if number == 11:
                image.metadata["n"].string_value = "eleven"
            yield image

    for name, pack_it in (("local", pack), ("beam", on_beam)):
        result = pack_it(images(), tmp_path / name, on_invalid="skip", **OPTIONS)
        assert (result.records, result.rejected) == (18, 2)
    assert packed.digests(tmp_path / "beam") == packed.digests(tmp_path / "local")
    told = [(tmp_path / f"{name}.rejects.jsonl").read_text() for name in ("local", "beam")]
    assert told[0] == told[1]
    kinds = [json.loads(line)["kind"] for line in told[0].splitlines()]
    assert kinds == ["metadata", "duplicate key"]


def test_a_file_of_metadata_and_a_label_map_are_joined_alike(tree, tmp_path):
    table = trees.put(tmp_path / "m.csv", "key,n\nval_00001,7\nval_00003,8\nnone,9\n")
    labels = trees.put(tmp_path / "l.txt", "\n".join(trees.LABELS) + "\n")
    local, beam = both(tree, tmp_path, metadata=table, labels=labels)
    assert local.unmatched == beam.unmatched


def test_bundles_that_are_done_twice_change_nothing(tree, tmp_path):
    both(tree, tmp_path, ["--direct_runner_bundle_repeat=1"])

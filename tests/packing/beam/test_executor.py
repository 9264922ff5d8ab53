"""Packing on Beam's DirectRunner: the local packer's bytes, whatever is done twice or fails."""

import contextlib
import hashlib
import json
import os
import pickle

import packed
import pytest
import trees

from tfstream import errors
from tfstream.format import manifest
from tfstream.format.statistics import Partial
from tfstream.packing import journal, run, survey
from tfstream.packing.beam import executor, pipelines, work
from tfstream.packing.beam.scratch import Scratch
from tfstream.packing.destination import open_destination
from tfstream.packing.journal import ShardResult
from tfstream.packing.packer import pack
from tfstream.packing.workspace import Workspace

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


def damage(path):
    """Makes an image that only whoever reads all of it finds damaged."""
    data = bytearray(trees.encoded(trees.picture(3, 480, 360)))
    data[len(data) // 2 : len(data) // 2 + 2] = b"\xff\xd8"
    path.write_bytes(data)


@pytest.mark.parametrize("on_invalid", ["skip", "clip"])
def test_what_is_wrong_is_left_out_mended_and_told_alike(on_invalid, tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=12, val=3, width=480, height=360)
    annotations = sorted((root / "Annotations/DET/train").rglob("*.xml"))
    annotations[0].write_text(
        trees.annotation([trees.Thing("n01440764", -3, 2, 20, 30)], size=(480, 360))
    )
    annotations[1].write_text("<annotation>")
    images = sorted((root / "Data/DET/train").rglob("*.JPEG"))
    images[2].unlink()
    damage(images[3])
    both(root, tmp_path, on_invalid=on_invalid, max_side=300)
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


# What fails


def failing_once(monkeypatch, module, name, error, *, calls=1):
    """Has a function of a module raise an error at its `calls`-th call."""
    real = getattr(module, name)
    made = []

    def function(*args, **options):
        made.append(args)
        if len(made) == calls:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(module, name, function)
    return made


def test_an_error_of_a_worker_is_told_as_it_is_and_a_rerun_goes_on(tree, tmp_path, monkeypatch):
    dest = tmp_path / "out"
    full = errors.StorageError(28, "Cannot write x: no space.")
    failing_once(monkeypatch, work, "write_shard", full, calls=4)
    with pytest.raises(errors.StorageError, match="Cannot write x: no space"):
        on_beam(tree, dest)
    assert not manifest.versions(dest)
    assert not list(dest.glob(".packing/beam-*"))
    again = on_beam(tree, dest)
    assert 0 < again.resumed < again.shards
    pack(tree, tmp_path / "local", processes=1, **OPTIONS)
    assert packed.digests(dest) == packed.digests(tmp_path / "local")


def test_a_failed_scan_is_told_and_leaves_nothing(tree, tmp_path, monkeypatch):
    failing_once(monkeypatch, work, "scan", errors.StorageError(5, "Cannot read y: broken."))
    with pytest.raises(errors.StorageError, match="Cannot read y: broken"):
        on_beam(tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fault_of_ours_in_a_worker_says_what_it_was(tree, tmp_path, monkeypatch):
    failing_once(monkeypatch, work, "scan", ZeroDivisionError("an odd thing"))
    with pytest.raises(errors.PackError, match=r"failed on the DirectRunner.*an odd thing"):
        on_beam(tree, tmp_path / "out")


def test_an_image_that_cannot_be_decoded_packs_nothing(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=6, val=0, width=480, height=360)
    image = next((root / "Data/DET/train").rglob("*.JPEG"))
    damage(image)
    with pytest.raises(errors.AnnotationError, match=rf"{image.name}.*Mend or remove the file"):
        on_beam(root, tmp_path / "out")
    assert not manifest.versions(tmp_path / "out")


def test_a_tree_that_changes_between_two_tries_of_a_scan_is_told(tmp_path, monkeypatch):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=6, val=0)
    annotation = next((root / "Annotations/DET/train").rglob("*.xml"))
    real = work.scan_part

    def scan_part(part, orders):
        list(real(part, orders))
        annotation.write_text(trees.annotation(trees.things(7)))
        yield from real(part, orders)

    monkeypatch.setattr(pipelines, "scan_part", scan_part)
    with pytest.raises(errors.PackError, match="The tree was changed while it was being scanned"):
        on_beam(root, tmp_path / "out")


def test_workers_with_another_tfstream_are_refused(tree, tmp_path, monkeypatch):
    scan_orders = work.ScanOrders
    monkeypatch.setattr(executor, "ScanOrders", lambda **what: scan_orders(**what, version="0.0.9"))
    with pytest.raises(errors.PackError, match=r"workers have tfstream .* is 0\.0\.9"):
        on_beam(tree, tmp_path / "out")


def test_a_dataset_that_is_there_is_left_as_it_is(tree, tmp_path):
    pack(tree, tmp_path / "out", processes=1, **OPTIONS)
    before = packed.digests(tmp_path / "out")
    with pytest.raises(errors.DatasetExistsError, match="holds a dataset already"):
        on_beam(tree, tmp_path / "out")
    assert packed.digests(tmp_path / "out") == before


def test_a_shard_that_was_delivered_in_part_is_delivered_whole(tree, tmp_path, monkeypatch):
    # Killed between shard and index, then done again by another worker.
    kind = type(open_destination(tmp_path / "x"))
    deliver, real, made = kind.deliver, work.write_one, []

    def fails_once(self, source, name, replaces, progress):
        made.append(name)
        if len(made) == 2:
            raise errors.StorageError(5, "gone")
        return deliver(self, source, name, replaces, progress)

    def twice(order, orders):
        with contextlib.suppress(errors.StorageError):
            real(order, orders)
        real(order, orders)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "deliver", fails_once)
        patch.setattr(pipelines, "write_one", twice)
        on_beam(tree, tmp_path / "beam")
    assert made[0] == made[2]
    pack(tree, tmp_path / "local", processes=1, **OPTIONS)
    assert packed.digests(tmp_path / "beam") == packed.digests(tmp_path / "local")


# To a bucket


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TFSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache/packing"


def in_bucket(bucket):
    return {name: hashlib.sha256(bucket.get(name)).hexdigest() for name in bucket.names()}


def test_a_bucket_holds_what_a_local_directory_would(tree, tmp_path, bucket, home):
    table = trees.put(tmp_path / "m.csv", "key,n\nval_00001,7\nval_00003,8\n")
    on_beam(tree, bucket.uri, metadata=table)
    pack(tree, tmp_path / "local", processes=1, metadata=table, **OPTIONS)
    assert in_bucket(bucket) == packed.digests(tmp_path / "local")
    assert not list(home.iterdir())


def test_of_two_that_race_one_commits_and_the_other_leaves_it_as_it_is(
    tree, tmp_path, bucket, home, monkeypatch
):
    real = run.manifest.commit

    def commit(directory, made):
        monkeypatch.setattr(run.manifest, "commit", real)
        pack(tree, bucket.uri, workspace=tmp_path / "other", processes=1, **OPTIONS)
        return real(directory, made)

    monkeypatch.setattr(run.manifest, "commit", commit)
    with pytest.raises(errors.DatasetExistsError):
        on_beam(tree, bucket.uri)
    pack(tree, tmp_path / "local", processes=1, **OPTIONS)
    assert in_bucket(bucket) == packed.digests(tmp_path / "local")


def test_what_workers_delivered_for_a_launcher_that_was_killed_is_known(
    tree, bucket, home, monkeypatch
):
    class Killed(BaseException):
        pass

    def write(self, groups, orders):
        real(self, groups, orders)
        raise Killed

    def remove(self):
        raise errors.StorageError(5, "nobody is there any more")

    # As after a kill once all was delivered: nothing is cleared away, and nothing written down.
    real = pipelines.Pipelines.write
    with monkeypatch.context() as patch:
        patch.setattr(pipelines.Pipelines, "write", write)
        patch.setattr(Scratch, "remove", remove)
        patch.setattr(Workspace, "_give_up", lambda self: None)
        patch.setattr(journal, "save", lambda path, result: None)
        with pytest.raises(Killed):
            on_beam(tree, bucket.uri)
    assert any(name.startswith(".packing/") for name in bucket.names())
    result = on_beam(tree, bucket.uri)
    assert result.resumed == result.shards
    assert not any(name.startswith(".packing/") for name in bucket.names())


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_somebody_has_put_into_an_empty_destination_is_neither_run_nor_believed(
    tree, tmp_path
):
    scratch = tmp_path / "out/.packing/beam-0123"
    trees.put(scratch / "written-train-0123456789ab-00000", pickle.dumps(Trap(tmp_path / "run")))
    liar = journal.to_bytes(ShardResult("../../x-0123456789ab-00001", "", 0, Partial()))
    trees.put(scratch / "written-train-0123456789ab-00001", liar)
    result = on_beam(tree, tmp_path / "out")
    assert result.resumed == 0
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == ["manifests", "shards"]


def test_bytes_that_a_program_hands_over_need_workers_that_can_read_them(bucket, home):
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage

    image = AnnotatedImage(key="a", encoded=trees.encoded(trees.picture(1)))
    flags = ["--job_endpoint=localhost:1"]
    with pytest.raises(errors.InvalidArgumentError, match="'a' were handed over by a program"):
        pack([image], bucket.uri, runner="PortableRunner", pipeline_options=flags, progress=False)

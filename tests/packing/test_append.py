"""Appending: the next version shares the shards of the one before, and nothing old changes."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import packed
import pytest
import trees

import tfstream
from tfstream import errors
from tfstream.format import index, manifest, verify
from tfstream.format.label_map import LabelMap
from tfstream.packing import run
from tfstream.packing.appending import append
from tfstream.packing.packer import pack
from tfstream.packing.workspace import Workspace

OPTIONS = {"processes": 1, "progress": False}
CODE = (
    "import sys; from tfstream.packing.appending import append; append(*sys.argv[1:3], {options})"
)


def grown(root, begin, end, *, split="train", label=None):
    """A tree of the images `begin` to `end` of a split, perhaps all of one label of its own."""
    for number in range(begin, end):
        stem = f"{split}/more/{number:05d}"
        things = [trees.Thing(label, 0, 0, 9, 9)] if label else trees.things(number)
        trees.put(root / f"Annotations/DET/{stem}.xml", trees.annotation(things))
        trees.put(root / f"Data/DET/{stem}.JPEG", trees.encoded(trees.picture(number)))
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.make_ilsvrc_tree(tmp_path_factory.mktemp("tree"), train=30, val=6)


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    """Twenty images that the dataset does not have, of which two show nothing."""
    return grown(tmp_path_factory.mktemp("more"), 100, 120)


@pytest.fixture(scope="module")
def original(tree, tmp_path_factory):
    dest = tmp_path_factory.mktemp("original") / "out"
    pack(tree, dest, shard_bytes=12_000, **OPTIONS)
    return dest


@pytest.fixture
def dest(original, tmp_path):
    """A dataset to append to: 30 and 6 images in some five shards."""
    return shutil.copytree(original, tmp_path / "out")


def keys(dest, version=None):
    loaded = manifest.load(dest, version)
    shards = [shard for split in loaded.splits for shard in split.shards]
    return [
        key for s in shards for key in index.read(dest / s.index_path, ["key"])["key"].to_pylist()
    ]


def test_the_new_version_has_the_old_shards_and_behind_them_the_new(dest, more):
    before = packed.digests(dest)
    old = manifest.load(dest)
    result = append(more, dest, message="more of them", author="bob", **OPTIONS)
    assert (result.version, result.splits, result.total) == (2, {"train": 20}, 56)
    new = manifest.load(dest)
    assert [split.name for split in new.splits] == ["train", "val"]
    count = len(old.splits[0].shards)
    assert list(new.splits[0].shards[:count]) == list(old.splits[0].shards)
    assert len(new.splits[0].shards) == count + result.shards > count
    assert new.splits[1] == old.splits[1]
    assert keys(dest)[:30] == keys(dest, 1)[:30]
    after = packed.digests(dest)
    assert after.items() >= before.items()
    assert manifest.load(dest, 1) == old
    assert verify.verify(dest, 1) == verify.verify(dest, 2) == []
    assert not (dest / ".packing").exists()


def test_the_manifest_says_who_made_it_of_what_and_why(dest, more):
    append(more, dest, message="more of them", author="bob", **OPTIONS)
    first, second = manifest.load(dest, 1).change, manifest.load(dest, 2).change
    assert (first.operation, first.parent, first.message) == ("pack", 0, "")
    assert first.author == "ann"
    assert (second.operation, second.parent, second.message) == ("append", 1, "more of them")
    assert (second.author, second.time) == ("bob", "2025-01-01T00:00:00Z")


def test_statistics_are_those_of_all_records_together(dest, tree, more, tmp_path):
    append(more, dest, **OPTIONS)
    both = shutil.copytree(tree, tmp_path / "both")
    shutil.copytree(more, both, dirs_exist_ok=True)
    pack(both, tmp_path / "whole", **OPTIONS)
    for split, whole in zip(
        manifest.load(dest).splits, manifest.load(tmp_path / "whole").splits, strict=True
    ):
        assert split.statistics == whole.statistics


def test_new_splits_come_behind_the_old_in_the_usual_order(dest, tmp_path):
    for split in ("extra", "test"):
        grown(tmp_path / "more", 0, 3, split=split)
    append(tmp_path / "more", dest, **OPTIONS)
    assert [s.name for s in manifest.load(dest).splits] == ["train", "val", "test", "extra"]


def test_the_dataset_can_grow_again_and_again_and_from_another_format(dest, more, tmp_path):
    append(more, dest, **OPTIONS)
    result = append(trees.make_voc_tree(tmp_path / "voc"), dest, **OPTIONS)
    assert (result.version, result.format, result.total) == (3, "voc", 65)
    assert len(set(keys(dest))) == 65
    assert verify.verify(dest) == []


def test_it_is_packed_as_the_dataset_was_unless_told_otherwise(tree, more, tmp_path):
    pack(tree, tmp_path / "a", seed=5, shard_bytes=9_000, max_side=24, **OPTIONS)
    append(more, tmp_path / "a", **OPTIONS)
    first, second = (manifest.load(tmp_path / "a", version) for version in (1, 2))
    assert second.pack == first.pack
    assert {image.width for image in packed.records(tmp_path / "a")} == {24}
    append(
        grown(tmp_path / "third", 0, 3), tmp_path / "a", max_side=12, seed=6, quality=50, **OPTIONS
    )
    told = manifest.load(tmp_path / "a").pack
    assert (told.max_side, told.seed, told.quality, told.shard_bytes) == (12, 6, 50, 9_000)


def test_a_quality_that_all_images_have_is_kept(tree, more, tmp_path):
    pack(tree, tmp_path / "a", quality=20, **OPTIONS)
    append(more, tmp_path / "a", **OPTIONS)
    sizes = [len(image.encoded) for image in packed.records(tmp_path / "a", "train")]
    assert max(sizes) < 1.3 * min(sizes)  # in a file of the tree's quality: twice as many
    assert verify.verify(tmp_path / "a") == []


def test_python_gets_the_new_version_opened(dest, more):
    data = tfstream.append(more, dest, message="more", progress=False)
    assert (data.version, len(data), len(data.split("train"))) == (2, 56, 50)
    assert data["train/more/00110"]["key"] == "train/more/00110"


# Labels


def test_labels_are_added_behind_the_others_whose_indices_stay(dest, tmp_path):
    grown(tmp_path / "more", 0, 3, label="aardvark")
    grown(tmp_path / "more", 3, 6, label="zebra")
    result = append(tmp_path / "more", dest, **OPTIONS)
    labels = LabelMap.from_proto(manifest.load(dest).labels)
    assert labels.names == (*sorted(trees.LABELS), "aardvark", "zebra")
    assert result.classes == 6
    assert labels.background == 5


def test_streams_give_the_background_its_new_index_in_old_records_too(dest, tmp_path):
    grown(tmp_path / "more", 0, 3, label="zebra")
    grown(tmp_path / "more", 9, 10)  # nothing to be seen
    data = tfstream.append(tmp_path / "more", dest, progress=False)
    stream = data.stream(batch_size=None, image=None, label="index", elements="dict", shuffle=False)
    found = {each["key"].numpy().decode(): int(each["label"]) for each in stream}
    for record in data:
        label = record["label"]
        assert found[record["key"]] == (4 if label is None else data.labels.id[label])
    assert list(found.values()).count(4) == 4  # numbers 9, 19 and 29 of the old, 9 of the new
    assert list(found.values()).count(3) == 3


def test_a_given_label_map_begins_with_the_datasets(dest, more):
    names = sorted(trees.LABELS)
    for wrong, told in (
        (["other", *names], r"label 0 is 'n01440764', and it has 'other' there"),
        (names[:2], r"label 2 is 'n02121808', and it ends before"),
    ):
        with pytest.raises(errors.InvalidArgumentError, match=told):
            append(more, dest, labels=LabelMap.from_names(wrong), **OPTIONS)
    with pytest.raises(errors.InvalidArgumentError, match="background class in the dataset, and"):
        append(more, dest, labels=LabelMap.from_names(names, background=False), **OPTIONS)
    assert manifest.versions(dest) == [1]
    append(more, dest, labels=LabelMap.from_names([*names, "later"]), **OPTIONS)
    assert [label.name for label in manifest.load(dest).labels.labels] == [*names, "later"]


def test_a_closed_label_map_refuses_labels_that_the_dataset_lacks(dest, tmp_path):
    grown(tmp_path / "more", 0, 2, label="zebra")
    file = trees.put(tmp_path / "labels.txt", "\n".join(sorted(trees.LABELS)))
    with pytest.raises(errors.AnnotationError, match="'zebra' is not among the 3 labels"):
        append(tmp_path / "more", dest, labels=file, **OPTIONS)


# Keys


def test_keys_that_the_dataset_has_are_an_error_that_names_them(dest, tree):
    with pytest.raises(errors.AnnotationError) as caught:
        append(tree, dest, **OPTIONS)
    told = str(caught.value)
    assert "36 problems in the input" in told
    assert "its key 'train/n01440764/n01440764_00000' is in the dataset already, in shards/" in told
    assert manifest.versions(dest) == [1]
    assert not (dest / ".packing").exists()


def test_a_tree_that_grew_is_appended_by_leaving_out_what_is_there(dest, tree, more, tmp_path):
    both = shutil.copytree(tree, tmp_path / "both")
    shutil.copytree(more, both, dirs_exist_ok=True)
    result = append(both, dest, on_invalid="skip", **OPTIONS)
    assert (result.records, result.rejected, result.total) == (20, 36, 56)
    assert len(set(keys(dest))) == 56
    with pytest.raises(errors.AnnotationError, match="no record is left"):
        append(both, dest, on_invalid="skip", **OPTIONS)


def test_keys_are_compared_by_several_processes_as_by_one(tree, more, tmp_path, monkeypatch):
    monkeypatch.setattr("tfstream.packing.base._RECORDS_A_TASK", 3)
    for processes in (1, 2):
        dest = tmp_path / str(processes)
        pack(tree, dest, shard_bytes=4_000, **OPTIONS)
        both = shutil.copytree(more, tmp_path / f"both {processes}")
        shutil.copytree(tree / "Data/DET/val", both / "Data/DET/val")
        shutil.copytree(tree / "Annotations/DET/val", both / "Annotations/DET/val")
        result = append(both, dest, on_invalid="skip", processes=processes, progress=False)
        assert (result.records, result.rejected) == (20, 6)
    assert packed.digests(tmp_path / "1") == packed.digests(tmp_path / "2")


# Destinations


def test_without_a_dataset_there_is_nothing_to_append_to(more, tmp_path):
    for dest in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(errors.DatasetNotFoundError, match="There is no dataset at"):
            append(more, dest, **OPTIONS)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"max_side": 0}, {"on_invalid": "drop"}, {"author": "x" * 10_001}],
)
def test_bad_arguments_leave_no_trace(dest, more, wrong):
    before = packed.digests(dest)
    with pytest.raises(errors.InvalidArgumentError):
        append(more, dest, **{**OPTIONS, **wrong})
    assert packed.digests(dest) == before


# Interruptions and other writers


def start(more, dest, **options):
    told = ", ".join(f"{name}={value!r}" for name, value in {"progress": False, **options}.items())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE.format(options=told), str(more), str(dest)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finished(dest):
    try:
        return sum(path.stat().st_size > 0 for path in dest.glob(".packing/*/*-*.json"))
    except FileNotFoundError:  # a directory, or a file, that is deleted meanwhile
        return 0


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return grown(tmp_path_factory.mktemp("many"), 1000, 1200)


@pytest.fixture(scope="module")
def whole(original, many, tmp_path_factory):
    """The digests of an append that nothing interrupted: some 25 shards."""
    dest = shutil.copytree(original, tmp_path_factory.mktemp("whole") / "out")
    append(many, dest, **OPTIONS)
    return packed.digests(dest)


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_ends_with_the_same_bytes(dest, many, whole, seed):
    before = packed.digests(dest)
    chance = random.Random(seed)
    for shards in (chance.choice([0, 2, 7]), chance.randrange(8, 24)):
        process = start(many, dest, processes=chance.choice([1, 2]))
        while not (dest / ".packing/spool").exists() and process.poll() is None:
            time.sleep(0.001)
        while finished(dest) < shards and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert packed.digests(dest).items() >= before.items()
        assert verify.verify(dest) == []
    done = finished(dest)
    result = append(many, dest, processes=2, progress=False)
    assert result.resumed >= done
    assert packed.digests(dest) == whole


def test_killed_when_the_version_was_just_visible_the_same_command_ends_well(
    dest, many, whole, monkeypatch
):
    monkeypatch.setattr(Workspace, "discard", lambda self: None)
    first = append(many, dest, **OPTIONS)
    monkeypatch.undo()
    assert (dest / ".packing").is_dir()
    again = append(many, dest, message="the same, whatever is said of it", **OPTIONS)
    assert (again.version, again.splits, again.resumed) == (2, first.splits, first.shards)
    assert packed.digests(dest) == whole
    with pytest.raises(errors.AnnotationError, match="in the dataset already"):
        append(many, dest, **OPTIONS)


def test_another_append_after_such_a_kill_is_a_version_of_its_own(dest, many, more, monkeypatch):
    monkeypatch.setattr(Workspace, "discard", lambda self: None)
    append(many, dest, **OPTIONS)
    monkeypatch.undo()
    result = append(more, dest, **OPTIONS)
    assert (result.version, result.total, result.resumed) == (3, 256, 0)
    assert verify.verify(dest, 2) == verify.verify(dest, 3) == []
    assert not (dest / ".packing").exists()


def test_ctrl_c_leaves_the_dataset_as_it_was(dest, many):
    process = start(many, dest, processes=2)
    while finished(dest) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in told
    assert manifest.versions(dest) == [1]
    assert verify.verify(dest) == []


def overtaken(monkeypatch, rival):
    """Makes the next append be overtaken by another writer just before its manifest."""
    commit = run.manifest.commit

    def late(directory, made):
        monkeypatch.setattr(run.manifest, "commit", commit)
        rival()
        return commit(directory, made)

    monkeypatch.setattr(run.manifest, "commit", late)


def other_writer(dest):
    """A version that somebody makes who does not know of workspaces."""
    made = manifest.load(dest)
    made.version += 1
    made.commit = "other"
    manifest.commit(dest, made)


def test_of_two_writers_one_wins_and_the_other_leaves_nothing_behind(dest, many, monkeypatch):
    overtaken(monkeypatch, lambda: other_writer(dest))
    with pytest.raises(errors.DatasetExistsError, match="made version 2 .*Run the same command"):
        append(many, dest, **OPTIONS)
    assert manifest.load(dest).commit == "other"
    named = {s.path for split in manifest.load(dest).splits for s in split.shards}
    assert {f"shards/{path.name}" for path in (dest / "shards").glob("*.tfrecord")} == named
    assert not (dest / ".packing").exists()
    result = append(many, dest, **OPTIONS)
    assert (result.version, result.total) == (3, 236)
    assert manifest.load(dest).change.parent == 2
    assert verify.verify(dest) == []


def test_after_a_kill_it_goes_on_from_what_another_writer_made_since(dest, many):
    process = start(many, dest, processes=1)
    while finished(dest) < 8 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    other_writer(dest)
    result = append(many, dest, **OPTIONS)
    assert (result.version, result.resumed) == (3, 0)
    named = {s.path for split in manifest.load(dest).splits for s in split.shards}
    assert {f"shards/{path.name}" for path in (dest / "shards").glob("*.tfrecord")} == named
    assert verify.verify(dest) == []


def test_two_appends_of_one_machine_wait_for_nobody(dest, more):
    from tfstream.packing.destination import open_destination

    with (
        Workspace(open_destination(dest, growing=True)),
        pytest.raises(errors.DatasetExistsError, match=rf"process {os.getpid()} .*is packing to"),
    ):
        append(more, dest, **OPTIONS)
    assert append(more, dest, **OPTIONS).version == 2


def test_records_that_were_removed_can_be_appended_again_with_other_bytes(dest, more):
    """The shards of older versions stay what they are, whatever has the same keys and sizes."""
    append(more, dest, **OPTIONS)
    before = packed.digests(dest)
    back = manifest.load(dest, 1)
    back.version = 3
    manifest.commit(dest, back)  # as a rollback does
    append(more, dest, **OPTIONS)
    assert manifest.versions(dest) == [1, 2, 3, 4]
    assert packed.digests(dest).items() >= before.items()
    second, fourth = (manifest.load(dest, v).splits[0].shards[-1].path for v in (2, 4))
    assert second != fourth


# A bucket


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TFSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache/packing"


def test_a_dataset_in_a_bucket_grows_in_the_same_way(tree, many, whole, bucket, home):
    pack(tree, bucket.uri, shard_bytes=12_000, **OPTIONS)
    result = append(many, bucket.uri, processes=2, progress=False)
    assert (result.version, result.dest) == (2, bucket.uri)
    import hashlib

    found = {name: hashlib.sha256(bucket.get(name)).hexdigest() for name in bucket.names()}
    assert found == whole
    assert not list(home.iterdir())


def test_in_a_bucket_too_the_second_writer_leaves_nothing_behind(
    tree, more, bucket, home, monkeypatch
):
    pack(tree, bucket.uri, shard_bytes=12_000, **OPTIONS)
    before = set(bucket.names())
    overtaken(monkeypatch, lambda: other_writer(bucket.uri))
    with pytest.raises(errors.DatasetExistsError, match="another writer|Another writer"):
        append(more, bucket.uri, **OPTIONS)
    assert set(bucket.names()) == {*before, "manifests/00000002.json"}
    assert not list(home.iterdir())


def test_a_killed_append_to_a_bucket_sends_no_shard_twice(tree, many, whole, bucket, home):
    pack(tree, bucket.uri, shard_bytes=12_000, **OPTIONS)
    sent = len(bucket.names())
    bucket.proxy.latency = 0.05
    process = start(many, bucket.uri, processes=1)
    journals = lambda: sum(p.stat().st_size > 0 for p in home.glob("*/*/*-*.json"))  # noqa: E731
    while journals() < 5 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    bucket.proxy.latency = 0
    known = journals()
    result = append(many, bucket.uri, **OPTIONS)
    assert result.resumed == known >= 5
    uploads = [e for e in bucket.proxy.log if e.method == "PUT" and e.outcome in ("200", "slow")]
    assert len(uploads) == len(whole) - 2
    assert len(bucket.names()) == len(whole) > sent


def test_the_indexes_of_many_shards_are_merged_and_an_append_leaves_them(tmp_path, capfd):
    tree, dest = grown(tmp_path / "tree", 0, 66), tmp_path / "out"
    pack(tree, dest, shard_bytes=1_000, processes=1)  # a shard a record
    assert re.search(r"Merging indexes: 66 of 66", capfd.readouterr().err)
    before = manifest.load(dest).splits[0]
    (each,) = before.merged
    assert (each.shards, index.read(dest / each.path).num_rows) == (66, 66)
    append(grown(tmp_path / "more", 66, 70), dest, message="more", **OPTIONS)
    after = manifest.load(dest).splits[0]
    assert (len(after.shards), list(after.merged)) == (70, [each])
    assert len(tfstream.open(dest).slice("width > 0")) == 70
    assert verify.verify(dest) == []

"""Packing straight to a bucket: the same bytes, each sent once, whatever happens meanwhile."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time

import packed
import pytest
import trees

import tfstream
from tfstream import errors
from tfstream.format import manifest
from tfstream.packing import run
from tfstream.packing.destination import open_destination
from tfstream.packing.packer import pack
from tfstream.storage.uri import open_directory

OPTIONS = {"shard_bytes": 22_000, "progress": False}
PROCESSES = 2
CODE = """
import os, signal, sys
from tfstream.packing import run
from tfstream.packing.packer import pack
def end(*args):
    os.kill(os.getpid(), signal.SIGKILL)
if {before_manifest}:
    run.manifest.commit = end
print(pack(*sys.argv[1:3], processes={processes}, **{options}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.make_ilsvrc_tree(tmp_path_factory.mktemp("tree"), train=110, val=10)


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    """The digests of a local pack: some 12 shards."""
    dest = tmp_path_factory.mktemp("whole") / "out"
    pack(tree, dest, processes=1, **OPTIONS)
    return packed.digests(dest)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The directory that workspaces are in."""
    monkeypatch.setenv("TFSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache/packing"


def digests(bucket):
    """Name of every object to a hash of its bytes."""
    return {name: hashlib.sha256(bucket.get(name)).hexdigest() for name in bucket.names()}


def uploads(bucket):
    """How many objects were sent and made, the manifest not counted."""
    return sum(
        each.method == "PUT" and each.outcome in ("200", "slow") for each in bucket.proxy.log
    )


def quiet(tree, dest, **options):
    return pack(tree, dest, **{"processes": PROCESSES, **OPTIONS, **options})


def start(tree, dest, *, before_manifest=False, **options):
    code = CODE.format(
        processes=PROCESSES, options={**OPTIONS, **options}, before_manifest=before_manifest
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(tree), dest],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def delivered(home):
    """Stems of the shards that journals say are delivered."""
    return {path.stem for path in home.glob("*/*/*-*.json") if path.stat().st_size}


def kill_when(condition, process, bucket):
    """Kills it, and has what it had sent arrive: requests of the dead are still served."""
    end = time.monotonic() + 300
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    bucket.proxy.settle()


def test_the_bucket_holds_what_a_local_directory_would(tree, whole, bucket, home):
    result = quiet(tree, bucket.uri)
    assert digests(bucket) == whole
    assert result.dest == bucket.uri
    assert uploads(bucket) == len(whole) - 1
    assert bucket.proxy.log[-1].method == "POST"  # the manifest, last of all
    assert not list(home.iterdir())


def test_the_dataset_is_opened_from_python(tree, bucket, home):
    import tfstream

    data = tfstream.pack(tree, bucket.uri, progress=False)
    assert len(data) == 120


@pytest.mark.parametrize("moment", ["first upload", "few", "many", "before the manifest"])
def test_killed_at_any_moment_no_shard_is_sent_twice(tree, whole, bucket, home, moment):
    bucket.proxy.latency = 0.05
    process = start(tree, bucket.uri, before_manifest=moment == "before the manifest")
    conditions = {
        "first upload": lambda: any(each.method == "POST" for each in bucket.proxy.log[1:]),
        "few": lambda: len(delivered(home)) >= 3,
        "many": lambda: len(delivered(home)) >= 8,
        "before the manifest": lambda: False,
    }
    kill_when(conditions[moment], process, bucket)
    assert not manifest.versions(bucket.uri)
    known = delivered(home)
    result = quiet(tree, bucket.uri)
    assert result.resumed == len(known) >= {"few": 3, "many": 8}.get(moment, 0)
    assert uploads(bucket) == len(whole) - 1
    assert digests(bucket) == whole
    assert not list(home.iterdir())


def test_killed_when_the_dataset_was_just_visible_the_same_command_ends_well(
    tree, whole, bucket, home
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Workspace, "discard", lambda self: None)
        first = quiet(tree, bucket.uri)
    sent = uploads(bucket)
    again = quiet(tree, bucket.uri)
    assert (again.splits, again.resumed) == (first.splits, first.shards)
    assert uploads(bucket) == sent
    with pytest.raises(errors.DatasetExistsError, match="holds a dataset already"):
        quiet(tree, bucket.uri)
    assert digests(bucket) == whole


def interrupted(tree, bucket, home, shards=4, **options):
    bucket.proxy.latency = 0.05
    process = start(tree, bucket.uri, **options)
    kill_when(lambda: len(delivered(home)) >= shards, process, bucket)
    bucket.proxy.latency = 0
    assert not manifest.versions(bucket.uri)
    return delivered(home)


def test_where_the_journals_are_lost_nothing_is_sent_twice_either(
    tree, whole, bucket, home, monkeypatch
):
    interrupted(tree, bucket, home)
    monkeypatch.setenv("TFSTREAM_CACHE", str(home.parent / "elsewhere"))
    assert quiet(tree, bucket.uri).resumed == 0
    assert uploads(bucket) == len(whole) - 1
    assert digests(bucket) == whole


def test_a_shard_that_was_deleted_meanwhile_is_written_again(tree, whole, bucket, home):
    known = interrupted(tree, bucket, home)
    directory = open_directory(bucket.uri)
    directory.delete(directory.stat(f"shards/{min(known)}.tfrecord"))
    assert quiet(tree, bucket.uri).resumed == len(known) - 1
    assert digests(bucket) == whole


def test_shards_whose_images_changed_are_replaced(tree, whole, bucket, home):
    copy = shutil.copytree(tree, home.parent / "tree")
    known = interrupted(copy, bucket, home)
    for name in bucket.names():
        if not any(stem in name for stem in known):
            bucket.delete(name)  # sent, and not yet in a journal: nobody can tell whose it is
    for path in list(copy.rglob("*.JPEG"))[::2]:
        data = bytearray(path.read_bytes())
        data[15] ^= 1  # the density in the header: the same size, other bytes
        path.write_bytes(data)
    pack(copy, home.parent / "local", processes=1, **OPTIONS)
    assert quiet(copy, bucket.uri).resumed == 0 < len(known)
    assert digests(bucket) == packed.digests(home.parent / "local")
    assert digests(bucket).keys() == whole.keys()


def test_an_object_of_another_packer_with_other_bytes_is_left_as_it_is(tree, whole, bucket, home):
    directory = open_directory(bucket.uri)
    name = next(name for name in whole if name.endswith("00003.tfrecord"))
    directory.create(name, b"of another pyarrow")
    for _ in range(2):  # and the first error does not make it ours
        with pytest.raises(
            errors.ObjectExistsError, match=r"00003.*with other bytes.*Another pack"
        ):
            quiet(tree, bucket.uri)
    assert directory.read(name) == b"of another pyarrow"


def test_what_other_options_left_behind_is_removed_and_nothing_else(tree, whole, bucket, home):
    interrupted(tree, bucket, home, seed=5)
    directory = open_directory(bucket.uri)
    foreign = f"shards/train-{'a' * 12}-00000.tfrecord"
    directory.create(foreign, b"another packer's")
    quiet(tree, bucket.uri)
    found = digests(bucket)
    assert found.pop(foreign)
    assert found == whole


def test_the_local_disk_holds_few_shards_however_slow_the_uploads_are(tree, bucket, home):
    bucket.proxy.latency = 0.1
    most = 0
    ended = threading.Event()

    def watch():
        nonlocal most
        while not ended.is_set():
            most = max(most, len(list(home.glob("*/*/*.tfrecord"))))
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = quiet(tree, bucket.uri, shard_bytes=6_000)
    finally:
        ended.set()
        watcher.join()
    allowed = open_destination(bucket.uri).at_once + PROCESSES
    assert result.shards > 3 * allowed
    assert PROCESSES < most <= allowed  # some wait for their upload


def test_uploads_overlap_with_each_other_and_with_packing(tree, bucket, home):
    bucket.proxy.slow_seconds = 0.5
    bucket.proxy.inject(1.0, ("slow",), match="PUT")
    quiet(tree, bucket.uri)
    assert bucket.proxy.most_at_once >= 2


def test_faults_of_the_network_change_nothing(tree, whole, bucket, home):
    bucket.proxy.inject(
        0.2, ("503", "reset", "lost", "429"), seed=1, match="POST|PUT|GET", limit=12
    )
    quiet(tree, bucket.uri)
    assert sum(bucket.proxy.stats()["faults"].values()) == 12
    assert digests(bucket) == whole


def test_a_manifest_whose_answer_is_lost_is_not_taken_for_anothers(tree, whole, bucket, home):
    bucket.proxy.script("lost", match="uploadType=multipart")
    quiet(tree, bucket.uri)
    assert bucket.proxy.stats()["faults"] == {"lost": 1}
    assert digests(bucket) == whole


def test_an_upload_that_is_refused_ends_the_pack_and_it_can_go_on(tree, whole, bucket, home):
    bucket.proxy.slow_seconds = 0
    bucket.proxy.script("slow", count=15, match="POST")  # these pass
    bucket.proxy.script("403", count=1000, match="POST")
    with pytest.raises(errors.AccessDeniedError, match="may not be written"):
        quiet(tree, bucket.uri)
    bucket.proxy.calm()
    assert not list(home.glob("*/*/*.tfrecord"))  # of no use to the next
    quiet(tree, bucket.uri)
    assert uploads(bucket) == len(whole) - 1
    assert digests(bucket) == whole


# Destinations


@pytest.fixture
def no_scan(monkeypatch):
    def survey(*args, **options):
        raise AssertionError("the scan has begun")

    monkeypatch.setattr(run, "Survey", survey)


def test_a_bucket_that_may_not_be_written_is_told_before_the_scan(tree, bucket, home, no_scan):
    bucket.proxy.script("403", count=1000, match="POST")
    with pytest.raises(errors.AccessDeniedError, match=r"may not be written.*objectUser"):
        quiet(tree, bucket.uri)


def test_a_bucket_that_does_not_exist_is_told_before_the_scan(tree, bucket, home, no_scan):
    with pytest.raises(errors.ObjectNotFoundError, match="gs://nowhere-at-all does not exist"):
        quiet(tree, "gs://nowhere-at-all/det")


@pytest.mark.parametrize("dest", ["gs://", "gs:/bucket/x", "gs://UPPER/x", "gs://bucket/../x"])
def test_what_is_no_uri_is_told_before_the_scan(tree, home, no_scan, dest):
    with pytest.raises(errors.InvalidArgumentError, match=r"'gs:"):
        quiet(tree, dest)
    assert not home.exists()


def test_a_dataset_that_is_there_is_left_as_it_is(tree, whole, bucket, home, no_scan, monkeypatch):
    open_directory(bucket.uri).create("manifests/00000001.json", b"{}")
    with pytest.raises(errors.DatasetExistsError, match="holds a dataset already"):
        quiet(tree, bucket.uri)
    assert list(digests(bucket)) == ["manifests/00000001.json"]
    assert not home.exists()


def test_a_prefix_with_other_objects_is_refused(tree, bucket, home, no_scan):
    open_directory(bucket.uri).create("thesis.tex", b"all of it")
    with pytest.raises(errors.InvalidArgumentError, match=r"'thesis\.tex'"):
        quiet(tree, bucket.uri)


def rival(tree, dest, home, monkeypatch, **options):
    """Makes the next pack be overtaken, just before its manifest, by one on another machine."""
    commit = run.manifest.commit

    def overtaken(directory, made):
        monkeypatch.setattr(run.manifest, "commit", commit)
        monkeypatch.setenv("TFSTREAM_CACHE", str(home.parent / "another machine"))
        quiet(tree, dest, **options)
        monkeypatch.setenv("TFSTREAM_CACHE", str(home.parent))
        return commit(directory, made)

    monkeypatch.setattr(run.manifest, "commit", overtaken)


def test_of_two_packers_with_other_options_the_first_wins_whole(
    tree, whole, bucket, home, monkeypatch
):
    rival(tree, bucket.uri, home, monkeypatch)
    with pytest.raises(errors.DatasetExistsError, match="another writer made version 1 first"):
        quiet(tree, bucket.uri, seed=5)
    assert digests(bucket) == whole


def test_of_two_packers_of_the_same_one_wins_and_neither_disturbs_the_other(
    tree, whole, bucket, home, monkeypatch
):
    rival(tree, bucket.uri, home, monkeypatch)
    with pytest.raises(errors.DatasetExistsError, match="another writer made version 1 first"):
        quiet(tree, bucket.uri)
    assert uploads(bucket) == len(whole) - 1
    assert digests(bucket) == whole


def test_two_packers_of_one_machine_do_not_share_a_destination(tree, bucket, home):
    with (
        run.Workspace(open_destination(bucket.uri)),
        pytest.raises(errors.DatasetExistsError, match=rf"process {os.getpid()} .*is packing to"),
    ):
        quiet(tree, bucket.uri)


# The workspace


def test_the_workspace_may_be_named_and_what_else_is_there_stays(tree, whole, bucket, home):
    mine = trees.put(home.parent / "big disk/mine", "mine")
    seen = set()
    before = run.find_delivered

    def look(workspace, commit):
        seen.add(workspace.path.parent)
        return before(workspace, commit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "find_delivered", look)
        quiet(tree, bucket.uri, workspace=mine.parent)
    assert seen == {mine.parent}
    assert [path.name for path in mine.parent.iterdir()] == ["mine"]
    assert not home.exists()
    assert digests(bucket) == whole


def test_a_workspace_that_cannot_be_made_is_named(tree, bucket, home):
    file = trees.put(home.parent / "file", "")
    with pytest.raises(errors.StorageError, match=r"Cannot write to .*file.*--workspace"):
        quiet(tree, bucket.uri, workspace=file)


def test_the_rejects_file_is_in_the_current_directory(tree, bucket, home, tmp_path):
    broken = trees.make_ilsvrc_tree(tmp_path / "broken", train=8, val=2)
    next(iter(sorted(broken.rglob("*.JPEG")))).unlink()
    result = quiet(broken, bucket.uri, on_invalid="skip")
    name = bucket.uri.rpartition("/")[2]
    assert result.rejects == tmp_path / f"{name}.rejects.jsonl"
    assert result.rejects.exists()


def test_space_is_needed_for_few_shards_only():
    sizes = [100] * 1000
    assert open_destination("out").space_needed(sizes, 2) == 100_000
    assert open_destination("gs://bucket/out").space_needed(sizes, 2) == 1_000


def test_a_question_about_all_records_fetches_the_merged_index_and_no_other(tmp_path, home, bucket):
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=66, val=2)
    quiet(tree, bucket.uri, shard_bytes=1_000)  # a shard a record
    pack(tree, tmp_path / "local", processes=1, shard_bytes=1_000, progress=False)
    assert digests(bucket) == packed.digests(tmp_path / "local")
    data = tfstream.open(bucket.uri).split("train")
    begin = len(bucket.proxy.log)
    chosen = data.slice("objects >= 2")
    wanted = tfstream.open(tmp_path / "local").split("train").slice("objects >= 2")
    assert chosen.metadata["key"].to_pylist() == wanted.metadata["key"].to_pylist()
    assert 0 < len(chosen) < 66
    indexes = {name.rpartition("/")[2] for name in bucket.names() if name.endswith(".parquet")}
    paths = [each.path for each in bucket.proxy.log[begin:]]
    asked = [name for name in indexes if any(name in path for path in paths)]
    assert all("-merged-" in name for name in asked)
    assert len(asked) == 1

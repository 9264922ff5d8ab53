"""Interrupted at any moment, a pack leaves nothing visible, and goes on where it stopped."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import packed
import pytest
import trees

from tfstream import errors
from tfstream.format import manifest, verify
from tfstream.packing.packer import pack
from tfstream.packing.workspace import Workspace

OPTIONS = {"shard_bytes": 12_000, "progress": False}
CODE = (
    "import sys; from tfstream.packing import packer; print(packer.pack(*sys.argv[1:3], {options}))"
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.make_ilsvrc_tree(tmp_path_factory.mktemp("tree"), train=270, val=30)


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    """The digests of a pack that nothing interrupted."""
    dest = tmp_path_factory.mktemp("whole") / "out"
    pack(tree, dest, processes=1, **OPTIONS)
    return packed.digests(dest)


def start(tree, dest, **options):
    told = ", ".join(f"{name}={value!r}" for name, value in {**OPTIONS, **options}.items())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE.format(options=told), str(tree), str(dest)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, process):
    while not condition() and process.poll() is None:
        time.sleep(0.001)


def finished(dest):
    """How many shards were delivered; a journal without anything in it says that one may be."""
    return sum(path.stat().st_size > 0 for path in dest.glob(".packing/*/*-*.json"))


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tree, whole, tmp_path, seed):
    dest = tmp_path / "out"
    chance = random.Random(seed)
    # The first kill falls into the scan, or while so many shards are written; others follow.
    for shards in (chance.choice([0, 1, chance.randrange(2, 30)]), chance.randrange(15, 45)):
        process = start(tree, dest, processes=chance.choice([1, 2]))
        spool = dest / ".packing/spool"
        wait_for(lambda: spool.exists() and finished(dest) >= shards, process)  # noqa: B023
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.communicate()
        if manifest.versions(dest):
            assert verify.verify(dest) == []
        before = finished(dest)
    result = pack(tree, dest, processes=2, **OPTIONS)
    assert result.resumed >= before
    assert packed.digests(dest) == whole


def test_killed_when_the_dataset_was_just_visible_the_same_command_ends_well(
    tree, whole, tmp_path, monkeypatch
):
    dest = tmp_path / "out"
    # As after a kill between the manifest and the end: the workspace is still there.
    monkeypatch.setattr(Workspace, "discard", lambda self: None)
    first = pack(tree, dest, processes=1, **OPTIONS)
    monkeypatch.undo()
    assert (dest / ".packing").is_dir()
    again = pack(tree, dest, processes=1, **OPTIONS)
    assert packed.digests(dest) == whole
    assert again.splits == first.splits
    assert again.resumed == again.shards
    with pytest.raises(errors.DatasetExistsError):
        pack(tree, dest, processes=1, **OPTIONS)


def test_another_command_does_not_pass_for_the_same(tree, whole, tmp_path, monkeypatch):
    dest = tmp_path / "out"
    monkeypatch.setattr(Workspace, "discard", lambda self: None)
    pack(tree, dest, processes=1, **OPTIONS)
    monkeypatch.undo()
    with pytest.raises(errors.DatasetExistsError, match="holds a dataset already"):
        pack(tree, dest, processes=1, seed=1, **OPTIONS)
    assert packed.digests(dest) == whole


def interrupted(tree, dest, shards=20, **options):
    """A pack that was killed once it had so many shards."""
    process = start(tree, dest, processes=1, **options)
    wait_for(lambda: finished(dest) >= shards, process)
    process.kill()
    process.communicate()
    assert not manifest.versions(dest)
    return finished(dest)


def test_only_shards_whose_images_changed_are_written_again(tree, whole, tmp_path):
    copy = Path(shutil.copytree(tree, tmp_path / "tree"))
    done = interrupted(copy, tmp_path / "out")
    for path in list(copy.rglob("*.JPEG"))[::20]:
        path.touch()
    result = pack(copy, tmp_path / "out", processes=1, **OPTIONS)
    assert 0 < result.resumed < done
    assert packed.digests(tmp_path / "out") == whole


def test_a_finished_shard_that_was_damaged_is_written_again(tree, whole, tmp_path):
    done = interrupted(tree, tmp_path / "out")
    shard = next(iter(sorted((tmp_path / "out/shards").glob("*.tfrecord"))))
    shard.write_bytes(shard.read_bytes()[:-1])
    result = pack(tree, tmp_path / "out", processes=1, **OPTIONS)
    assert result.resumed == done - 1
    assert packed.digests(tmp_path / "out") == whole


def test_what_other_options_left_behind_is_removed_in_the_end(tree, whole, tmp_path):
    interrupted(tree, tmp_path / "out", seed=5)
    mine = trees.put(tmp_path / "out/shards/train-notes.txt", "mine")
    pack(tree, tmp_path / "out", processes=1, **OPTIONS)
    assert mine.read_text() == "mine"
    mine.unlink()
    assert packed.digests(tmp_path / "out") == whole


def test_ctrl_c_ends_the_workers_and_can_be_resumed(tree, whole, tmp_path):
    dest = tmp_path / "out"
    process = start(tree, dest, processes=2)
    wait_for(lambda: finished(dest) >= 5, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in told
    assert told.count("Traceback") == 1  # the workers say nothing
    assert not manifest.versions(dest)
    assert pack(tree, dest, processes=1, **OPTIONS).resumed >= 5
    assert packed.digests(dest) == whole


def test_a_packer_whose_predecessor_is_just_dying_waits_for_it(tree, whole, tmp_path):
    dest = tmp_path / "out"
    process = start(tree, dest, processes=2)
    wait_for(lambda: finished(dest) >= 5, process)
    process.kill()  # and not waited for: workers may still hold the lock
    pack(tree, dest, processes=2, **OPTIONS)
    process.communicate()
    assert packed.digests(dest) == whole


def test_where_a_file_may_not_grow_the_error_says_how_to_go_on(tree, tmp_path):
    code = (
        "import sys, resource; from tfstream.packing.packer import pack\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "pack(*sys.argv[1:3], processes=2, shard_bytes='1MB', progress=False)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tree), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "StorageError: No space left in" in done.stderr
    assert "run the same command again" in done.stderr
    assert not manifest.versions(tmp_path / "out")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_without_space_for_the_whole_nothing_is_begun(tree, small_disk):
    filler = trees.put(small_disk / "filler", bytes(2_200_000))
    with pytest.raises(errors.StorageError, match=r"packing needs .* more, and .* are free\. Free"):
        pack(tree, small_disk / "out", processes=1, **OPTIONS)
    assert filler.exists()
    assert not (small_disk / "out").exists()


def test_when_the_disk_fills_up_the_same_command_goes_on(tree, whole, small_disk, tmp_path):
    dest = small_disk / "out"
    process = start(tree, dest, processes=2)
    wait_for(lambda: finished(dest) >= 3, process)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    _, told = process.communicate(timeout=120)
    assert "StorageError: No space left in" in told
    assert "goes on where it stopped" in told
    filler.unlink()
    assert pack(tree, dest, processes=1, **OPTIONS).resumed >= 3
    assert packed.digests(dest) == whole

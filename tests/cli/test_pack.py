"""`tfstream pack` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import trees

from tfstream.format import manifest


def command(*words):
    return [sys.executable, "-m", "tfstream.cli.app", "pack", *map(str, words)]


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def run(*words):
    return subprocess.run(
        command(*words), env=environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path):
    return trees.make_ilsvrc_tree(tmp_path / "tree", train=10, val=2)


def test_a_tree_is_packed_and_the_next_commands_are_told(tree, tmp_path):
    trees.put(tree / "Data/DET/test/a.JPEG", b"")
    done = run(tree, tmp_path / "my out", "--shard-size", "9kB")
    assert done.returncode == 0, done.stderr
    assert "packed 12 images (train 10, val 2)" in done.stdout
    assert "not packed: 1 images without annotation" in done.stdout
    assert f"tfstream info '{tmp_path / 'my out'}'" in done.stdout
    assert f"Format ilsvrc-det: {tree} has Annotations/DET and Data/DET" in done.stderr
    assert "Packing: 12 of 12 images" in done.stderr
    assert "\r" not in done.stderr  # no bar where there is no terminal
    assert manifest.load(tmp_path / "my out").pack.shard_bytes == 9000


def test_all_flags_reach_the_packer(tree, tmp_path):
    (tree / "Data/DET/val/val_00001.JPEG").unlink()
    labels = trees.put(tmp_path / "labels.txt", "\n".join(reversed(trees.LABELS)))
    words = (
        f"--format ilsvrc-det --labels {labels} --no-background --seed 9 --shard-size 1MiB "
        f"--on-invalid skip --rejects {tmp_path / 'why'} --max-side 20 --quality 80 "
        "--processes 2 --json"
    )
    done = run(tree, tmp_path / "out", *words.split())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["splits"] == {"train": 10, "val": 1}
    assert (told["rejected"], told["rejects"]) == (1, str(tmp_path / "why"))
    made = manifest.load(tmp_path / "out")
    assert [label.name for label in made.labels.labels] == list(reversed(trees.LABELS))
    assert not made.labels.background
    pack = made.pack
    assert (pack.seed, pack.shard_bytes, pack.on_invalid) == (9, 1 << 20, "skip")
    assert (pack.max_side, pack.quality) == (20, 80)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard-size", "0"], "--shard-size='0' is not a size"),
        (["--seed", "-1"], "seed=-1"),
        (["--seed", "x"], "--seed"),
        (["--on-invalid", "drop"], "on_invalid='drop'"),
        (["--format", "cocoa"], "'ilsvrc-det', 'ilsvrc-cls-loc', 'voc', 'coco'"),
        (["--quality", "0"], "quality=0"),
        (["--max-side", "0"], "max_side=0"),
        (["--processes", "0"], "processes=0"),
        (["--labels", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_a_bad_flag_is_one_error_and_status_2(tree, tmp_path, words, told):
    done = run(tree, tmp_path / "out", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_source_is_status_2_and_a_taken_destination_1(tree, tmp_path):
    assert run(tmp_path / "nowhere", tmp_path / "out").returncode == 2
    assert run(tree, tmp_path / "out").returncode == 0
    again = run(tree, tmp_path / "out")
    assert again.returncode == 1
    assert again.stderr.startswith("error: ")
    assert "holds a dataset already" in again.stderr


def test_bad_input_is_listed_a_line_each_with_status_1(tree, tmp_path):
    for path in list(tree.rglob("*.JPEG"))[:3]:
        path.write_bytes(b"")
    done = run(tree, tmp_path / "out")
    assert done.returncode == 1
    assert "error: Nothing was packed: 3 problems in the input." in done.stderr
    assert sum("is empty: it has 0 bytes" in line for line in done.stderr.splitlines()) == 3
    assert f"{tmp_path / 'out.rejects.jsonl'}" in done.stderr


def test_ctrl_c_says_how_to_go_on(tmp_path):
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=300, val=0)
    words = command(tree, tmp_path / "out", "--shard-size", "5kB", "--processes", "2")
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((tmp_path / "out").glob(".packing/*/*.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "the same command goes on where it stopped" in told
    assert "Traceback" not in told
    assert run(tree, tmp_path / "out", "--shard-size", "5kB").stdout.count("had been packed before")


def test_help_shows_an_example():
    done = run("--help")
    assert done.returncode == 0
    assert "tfstream pack ILSVRC packed" in done.stdout

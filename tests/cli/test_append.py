"""`tfstream append` as a user runs it."""

import json

import pytest
import trees

from tfstream.format import manifest


@pytest.fixture
def dest(tmp_path, tfstream):
    """A dataset of 8 images."""
    trees.make_ilsvrc_tree(tmp_path / "tree", train=6, val=2)
    assert tfstream("pack", tmp_path / "tree", tmp_path / "my out", "-m", "a start").status == 0
    return tmp_path / "my out"


@pytest.fixture
def more(tmp_path):
    return trees.make_voc_tree(tmp_path / "more", train=3, val=1, test=1)


def test_a_tree_is_appended_and_the_new_version_described(dest, more, tfstream):
    done = tfstream("append", more, dest, "--message", "a few more")
    assert done.status == 0, done.err
    assert "appended 4 images (train 3, val 1)" in done.out
    assert "version 2 has 12 images" in done.out
    assert "not packed: 1 images without annotation" in done.out
    assert f"tfstream verify '{dest}'" in done.out
    assert [manifest.load(dest, n).change.message for n in (1, 2)] == ["a start", "a few more"]


def test_all_flags_reach_the_packer(dest, more, tmp_path, tfstream):
    (more / "JPEGImages/2012_000001.jpg").unlink()
    labels = trees.put(tmp_path / "labels.txt", "\n".join([*sorted(trees.LABELS), "later"]))
    table = trees.put(tmp_path / "extra.csv", "key,day\n2012_000000,4\nnowhere,5\n")
    words = (
        f"-m more --author bob --format voc --labels {labels} --metadata {table} --seed 9 "
        f"--shard-size 1MiB --on-invalid skip --rejects {tmp_path / 'why'} --max-side 20 "
        "--quality 80 --processes 2 --json"
    )
    done = tfstream("append", more, dest, *words.split())
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert (told["version"], told["total"], told["splits"]) == (2, 11, {"train": 2, "val": 1})
    assert (told["rejected"], told["rejects"]) == (1, str(tmp_path / "why"))
    assert told["unmatched"] == 1
    made = manifest.load(dest)
    assert (made.change.message, made.change.author) == ("more", "bob")
    assert made.labels.labels[-1].name == "later"
    assert made.schema.metadata["day"] == "int"
    pack = made.pack
    assert (pack.seed, pack.shard_bytes, pack.on_invalid) == (9, 1 << 20, "skip")
    assert (pack.max_side, pack.quality) == (20, 80)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard-size", "0"], "--shard-size='0' is not a size"),
        (["--seed", "-1"], "seed=-1"),
        (["--metadata", "nowhere.csv"], "nowhere.csv"),
        (["--labels", "nowhere.txt"], "nowhere.txt"),
        (["-m", "x" * 20_000], "message has 20,000 characters"),
    ],
)
def test_a_bad_flag_is_one_error_and_status_2(dest, more, tfstream, words, told):
    done = tfstream("append", more, dest, *words)
    assert done.status == 2
    assert told in done.err
    assert manifest.versions(dest) == [1]


def test_no_dataset_is_status_2_and_keys_that_are_there_are_1(dest, more, tmp_path, tfstream):
    missing = tfstream("append", more, tmp_path / "nowhere")
    assert missing.status == 2
    assert "tfstream pack" in missing.err
    again = tfstream("append", tmp_path / "tree", dest)
    assert again.status == 1
    assert "8 problems in the input" in again.err
    assert "is in the dataset already" in again.err


def test_help_shows_an_example(tfstream):
    done = tfstream("append", "--help")
    assert done.status == 0
    assert 'tfstream append NIGHT packed -m "the night drives"' in done.out

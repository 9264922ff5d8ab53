"""What the README shows runs as it stands, from its top to its end."""

import re
import urllib.request
from pathlib import Path

import pytest
import shown
import trees

import tfstream

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture
def my_bucket(emulator, monkeypatch, tmp_path):
    """The bucket that the README speaks of."""
    request = urllib.request.Request(
        f"{emulator}/storage/v1/b?project=test", b'{"name": "my-bucket"}'
    )
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request).close()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    monkeypatch.setenv("TFSTREAM_CACHE", str(tmp_path / "home"))


@pytest.mark.usefixtures("my_bucket")
def test_the_blocks_of_the_readme_run_one_after_the_other(tmp_path, monkeypatch):
    trees.make_ilsvrc_tree(tmp_path / "ILSVRC", train=40, val=8)
    trees.make_voc_tree(tmp_path / "VOCdevkit" / "VOC2012")
    trees.make_voc_tree(tmp_path / "VOC2007", year=2007)
    trees.put(tmp_path / "days.csv", "key,day\nval/val_00001,3\n")
    trees.make_coco_tree(tmp_path / "coco")
    trees.put(tmp_path / "labels.csv", "path,label\ncoco/train2017/000000000000.jpg,dog\n")
    monkeypatch.chdir(tmp_path)
    names = shown.run(README, str(ROOT / "README.md"))
    assert names["batch"]["image"].shape == (16, 96, 96, 3)
    assert names["batch"]["boxes"].shape.as_list() == [16, None, 4]
    assert tfstream.open("described")["val/val_00001"]["metadata"]["day"] == 3
    assert len(tfstream.open("voc")) == 2 * len(tfstream.open("voc", version=1))


def test_the_two_commands_of_the_readme_stand_on_lines_of_their_own():
    lines = README.splitlines()
    assert "pip install . && tfstream demo" in lines
    assert "pip install '.[test]' && pytest" in lines


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_what_the_readme_links_to_is_there(target):
    path = ROOT / target.partition("#")[0]
    assert path.is_file()
    assert path.stat().st_size < 300_000

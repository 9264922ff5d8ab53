"""The demo, and the tree that it draws."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import PIL.Image
import pytest
import typer.testing

from tfstream import errors
from tfstream.cli.app import app
from tfstream.cli.demo import _draw, demo
from tfstream.demo import shapes


def _files(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_tree_is_drawn_the_same_for_the_same_seed_and_otherwise_for_another(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        shapes.draw_tree(tmp_path / name, train=8, val=2, seed=seed)
    first = _files(tmp_path / "a")
    assert len(first) == 20
    assert first == _files(tmp_path / "b")
    assert first.keys() == _files(tmp_path / "c").keys()
    assert first != _files(tmp_path / "c")


def test_drawing_in_processes_gives_the_same_pictures(tmp_path, monkeypatch):
    shapes.draw_tree(tmp_path / "processes", train=200, val=4)
    monkeypatch.setattr(shapes.os, "sched_getaffinity", lambda _: {0})
    shapes.draw_tree(tmp_path / "alone", train=200, val=4)
    assert _files(tmp_path / "processes") == _files(tmp_path / "alone")


def test_the_main_shape_is_the_largest_and_no_two_overlap():
    for number in range(40):
        main = shapes.SHAPES[number % len(shapes.SHAPES)]
        picture, drawn = shapes.draw(np.random.default_rng(number), main)
        assert all(200 <= side <= 320 for side in picture.size)
        area = {each: (each.xmax - each.xmin) * (each.ymax - each.ymin) for each in drawn}
        assert max(drawn, key=area.get).label == main
        covered = np.zeros(picture.size, int)
        for each in drawn:
            covered[each.xmin : each.xmax, each.ymin : each.ymax] += 1
        assert covered.max() == 1
        assert covered.sum() == sum(area.values())  # so all are inside the picture


def test_a_shape_fills_its_box():
    rng = np.random.default_rng(3)
    for label in shapes.SHAPES:
        with_shape = PIL.Image.new("RGB", (200, 200), (128, 128, 128))
        outlines = shapes._placed(rng, label, 120.0)
        extent = np.ceil(np.ptp(outlines[0], axis=0)).astype(int) + 1
        box = shapes.Drawn(label, 30, 40, 30 + int(extent[0]), 40 + int(extent[1]))
        shapes._paint(rng, with_shape, outlines, box, 0.5)
        # The shadow, to the right and below, is darker than the ground and grey.
        saturation = np.asarray(with_shape.convert("HSV"))[..., 1] > 60
        columns, rows = saturation.any(0).nonzero()[0], saturation.any(1).nonzero()[0]
        assert abs(columns[0] - box.xmin) <= 2
        assert abs(columns[-1] + 1 - box.xmax) <= 2
        assert abs(rows[0] - box.ymin) <= 2
        assert abs(rows[-1] + 1 - box.ymax) <= 2


def test_annotations_say_what_was_drawn(tmp_path):
    shapes.draw_tree(tmp_path, train=40, val=0)
    for path in sorted(tmp_path.glob("Annotations/DET/train/*/*.xml")):
        root = xml.etree.ElementTree.parse(path).getroot()
        image = tmp_path / "Data" / "DET" / "train" / path.parent.name / f"{path.stem}.JPEG"
        with PIL.Image.open(image) as picture:
            assert picture.size == (
                int(root.find("size/width").text),
                int(root.find("size/height").text),
            )
        names = [each.text for each in root.findall("object/name")]
        assert path.parent.name in names or (path.parent.name == "background" and not names)
    assert len(list(tmp_path.glob("Annotations/DET/train/background/*.xml"))) == 1


def test_a_directory_that_no_demo_made_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(errors.DatasetExistsError, match="no demo made it.*--output"):
        demo(output=tmp_path, images=64, epochs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(errors.DatasetExistsError, match="no demo made it"):
        demo(output=tmp_path / "thesis.tex", images=64, epochs=1)


def test_a_demo_of_another_size_is_not_mixed_in(tmp_path):
    (tmp_path / "tfstream-demo.json").write_text(json.dumps({"images": 128}))
    with pytest.raises(errors.DatasetExistsError, match=r'"images": 128.*not .*"images": 64'):
        demo(output=tmp_path, images=64, epochs=1)


def test_what_an_interrupted_run_left_is_drawn_over(tmp_path):
    shapes.draw_tree(tmp_path / "whole", train=8, val=2)
    half = tmp_path / "tree.partial" / "Data" / "DET" / "val" / "val_000000.JPEG"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half of a pic")
    _draw(tmp_path, train=8, val=2)
    assert _files(tmp_path / "tree") == _files(tmp_path / "whole")
    assert not (tmp_path / "tree.partial").exists()


def test_an_output_below_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError, match=r"file/demo cannot be used|Cannot write .*file"):
        demo(output=tmp_path / "file" / "demo", images=64, epochs=1)


def test_too_few_images_are_wrong_usage():
    result = typer.testing.CliRunner().invoke(app, ["demo", "--images", "3"])
    assert result.exit_code == 2
    assert "64" in result.output


def test_the_demo_packs_trains_and_shows_and_a_rerun_goes_on_from_there(tmp_path):
    command = [sys.executable, "-m", "tfstream.cli.app", "demo", "--output", str(tmp_path / "d")]
    command += ["--images", "64", "--epochs", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    for output in outputs:
        assert "64 for training, 16 for validation" in output
        assert "7 shapes, and the background" in output
        assert "epoch  2/2" in output
        assert "validation accuracy" in output
        assert "128 samples" in output
    assert "drew 64 training" in outputs[0]
    assert "drawn by an earlier run" in outputs[1]
    assert "packed 80 images, by an earlier run" in outputs[1]
    with PIL.Image.open(tmp_path / "d" / "batch.png") as picture:
        assert picture.size == (5 * 172 - 4, 3 * 172 - 4)

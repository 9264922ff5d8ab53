"""The examples run from a tree, as a user would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import tensors

import tfstream
from tfstream.demo import shapes

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("kaggle") / "ILSVRC"
    shapes.draw_tree(root, train=44, val=12)
    return root


def _run(name, *arguments, cwd):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_keras_example_packs_trains_and_keeps_its_best_model(tree, tmp_path):
    flags = ("--epochs", 2, "--batch-size", 16, "--image-size", 48)
    output, _ = _run("kaggle_imagenet_keras.py", tree, *flags, cwd=tmp_path)
    assert "44 training and 12 validation images, 8 classes" in output
    assert output.count("val_accuracy") >= 2
    assert "'samples': 88" in output
    assert (tmp_path / "keras-run" / "best.keras").is_file()
    assert len(tfstream.open(tmp_path / "imagenet-packed")) == 56


def test_the_session_example_validates_and_saves_after_each_epoch(tree, tmp_path):
    packed = tmp_path / "packed"
    tfstream.pack(tree, packed, progress=False)
    flags = ("--epochs", 2, "--batch-size", 8, "--limit", 20)
    output, errors = _run("kaggle_imagenet_session.py", packed, *flags, cwd=tmp_path)
    assert "20 training and 12 validation images, 8 classes" in output
    for epoch, step in ((1, 3), (2, 6)):  # three batches, the last one smaller
        assert f"epoch {epoch}: validation loss " in output
        assert f"epoch {epoch}/2 training: 100%" in errors
        assert f"epoch {epoch}/2 validation: 100%" in errors
        names = dict(tf.train.list_variables(str(tmp_path / "session-run" / f"model-{step}")))
        assert names["conv1/kernel"] == [11, 11, 3, 32]
    assert "accuracy=" in errors
    assert not (tmp_path / "imagenet-packed").exists()


def test_the_estimator_example_evaluates_on_its_way_and_goes_on_from_its_checkpoint(tree, tmp_path):
    flags = ("--evaluate-every", 2, "--batch-size", 16, "--image-size", 48)
    output, _ = _run("estimator_style.py", tree, "--max-steps", 5, *flags, cwd=tmp_path)
    for step in (2, 4, 5):
        assert f"step {step}: training loss " in output
    assert output.count("val/val_0000") == 5
    output, _ = _run("estimator_style.py", tree, "--max-steps", 6, *flags, cwd=tmp_path)
    assert "going on from estimator-run/ckpt-5" in output
    assert "step 6: training loss " in output
    assert "step 5" not in output


def test_the_jax_example_goes_on_in_the_midst_of_an_epoch(tmp_path):
    pytest.importorskip("jax", reason="needs JAX: pip install 'jax[cpu]'")
    root = tensors.make_npy_set(tmp_path / "set", train=24, validation=6)
    output, _ = _run("jax_arrays.py", root, "--batch-size", 4, cwd=tmp_path)
    assert "24 training and 6 validation arrays" in output
    assert "goes on at step 3, sample 12" in output
    assert output.count(": 6 steps, loss ") == 2

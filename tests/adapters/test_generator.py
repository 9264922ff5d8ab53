"""Keras's data generator: over ids and `.npy` files, and over packed tensors and images."""

import json
import os
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
import tensors
import trees

import tfstream
from tfstream import errors
from tfstream.keras import DataGenerator
from tfstream.packing.packer import pack

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tensors.make_npy_set(tmp_path_factory.mktemp("generator") / "set", 20, 5)


@pytest.fixture(scope="module")
def data(root):
    pack(root, root.parent / "packed", progress=False, processes=1)
    return tfstream.open(root.parent / "packed")


@pytest.fixture
def ids(root):
    return json.loads((root / "partition.json").read_text())["train"]


@pytest.fixture
def labels(root):
    return json.loads((root / "labels.json").read_text())


def batches(generator):
    return [generator[index] for index in range(len(generator))]


def numbers(generator):
    """Which samples an epoch has, in its order, told by their arrays."""
    known = {tensors.array(number).tobytes(): number for number in range(25)}
    return [known[array.tobytes()] for arrays, _ in batches(generator) for array in arrays]


def test_it_has_the_signature_that_is_well_known(root, ids, labels):
    generator = DataGenerator(ids, labels, 8, (3, 4), 2, 5, True, directory=root / "data")
    assert isinstance(generator, keras.utils.PyDataset)
    assert len(generator) == 2
    arrays, hot = generator[1]
    assert (arrays.shape, arrays.dtype) == ((8, 3, 4, 2), np.float32)
    assert (hot.shape, hot.dtype) == ((8, 5), np.float32)


def test_classes_are_those_of_the_ids(root, ids, labels):
    generator = DataGenerator(ids, labels, 4, directory=root / "data")
    seen = numbers(generator)
    hot = np.concatenate([hot for _, hot in batches(generator)])
    assert hot.argmax(1).tolist() == [number % 3 for number in seen]
    assert (hot.sum(1) == 1).all()


def test_an_epoch_has_each_sample_once_and_the_next_another_order(root, ids, labels):
    generator = DataGenerator(ids, labels, 5, directory=root / "data", seed=1)
    first = numbers(generator)
    assert numbers(generator) == first
    generator.on_epoch_end()
    second = numbers(generator)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_the_order_is_pinned(root, ids, labels):
    """Another one would train other models from the same seed: it is a breaking change."""
    generator = DataGenerator(ids, labels, 5, directory=root / "data", seed=1)
    assert numbers(generator)[:8] == [5, 13, 8, 16, 10, 12, 1, 19]


def test_without_shuffling_it_is_that_of_the_ids(root, ids, labels, data):
    generator = DataGenerator(ids[::-1], labels, 5, shuffle=False, directory=root / "data")
    assert numbers(generator) == list(range(19, -1, -1))
    packed = DataGenerator(data.split("train"), batch_size=5, shuffle=False)
    stored = [data.split("train")[at]["key"] for at in range(20)]
    assert [f"id-{number}" for number in numbers(packed)] == stored


def test_packed_records_give_the_same_samples(root, ids, labels, data):
    files = DataGenerator(ids, labels, 4, (3, 4), 2, 3, directory=root / "data")
    packed = DataGenerator(data.split("train"), None, 4, (3, 4), 2, 3)
    assert len(files) == len(packed)

    def by_sample(generator):
        return {
            array.tobytes(): hot.tolist()
            for arrays, many in batches(generator)
            for array, hot in zip(arrays, many, strict=True)
        }

    assert by_sample(files) == by_sample(packed)


def test_packed_rows_give_predictors_and_targets(tmp_path):
    path = tensors.make_rows(tmp_path / "a.csv")
    rows = tfstream.pack(path, tmp_path / "packed", progress=False, processes=1)
    predictors, target = DataGenerator(rows, batch_size=4)[1]
    assert (predictors.shape, target.shape) == ((4, 3), (4,))
    assert np.array_equal(predictors[:, 0] * 10, target)


def test_arrays_without_an_axis_of_channels_get_one(tmp_path):
    for name in "ab":
        tensors.put_array(tmp_path / f"{name}.npy", np.ones((2, 3), np.float32))
    generator = DataGenerator("ab", {"a": 0, "b": 1}, 2, (2, 3), directory=tmp_path)
    assert generator[0][0].shape == (2, 2, 3, 1)


def test_what_has_no_label_is_of_no_class(root, ids, labels):
    generator = DataGenerator(ids, labels, 4, directory=root / "data", shuffle=False)
    generator._samples.labels[1] = -1
    assert generator[0][1].sum(axis=-1).tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("over", ["files", "packed"])
def test_it_goes_to_other_processes(root, ids, labels, data, over):
    if over == "files":
        generator = DataGenerator(ids, labels, 4, directory=root / "data")
    else:
        generator = DataGenerator(data, batch_size=4)
    generator.on_epoch_end()
    copy = pickle.loads(pickle.dumps(generator))
    assert numbers(copy) == numbers(generator)


def test_processes_of_fit_make_the_batches(root, ids, labels, data):
    options = {"workers": 2, "use_multiprocessing": True}
    generator = DataGenerator(ids, labels, 4, (3, 4), 2, 3, directory=root / "data", **options)
    validation = DataGenerator(data.split("validation"), batch_size=5)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    told = model.fit(generator, validation_data=validation, epochs=2, verbose=0).history
    assert len(told["loss"]) == len(told["val_loss"]) == 2


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_of_keras_fit_without_tensorflow(root, data, backend):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}: pip install {backend}")
    done = subprocess.run(
        [sys.executable, str(TESTS / "generating.py"), str(root), str(root.parent / "packed")],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["backend"], told["tensorflow"]) == (backend, False)
    assert np.isfinite(told["losses"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ["id-0", "id-0"]}, "the id 'id-0' is there twice"),
        ({"ids": ["id-99"]}, "the id 'id-99' has no label: labels has None for it"),
        ({"ids": ["../set/data/id-0"]}, "the id '../set/data/id-0' is no path below"),
        ({"ids": []}, "a DataGenerator needs ids and the labels of them"),
        ({"labels": None}, "a DataGenerator needs ids and the labels of them"),
        ({"labels": {"id-0": -1}, "ids": ["id-0"]}, "labels has -1 for it, where a number from 0"),
        ({"labels": {"id-0": "dog"}, "ids": ["id-0"]}, "labels has 'dog' for it"),
        ({"batch_size": 21}, "batch_size must be 1 to 20, the number of samples (got 21)"),
        ({"batch_size": 0}, "batch_size must be 1 to 20"),
        ({"dim": (3, 4), "n_channels": 1}, "make [3, 4, 1], and the arrays are float32 [3, 4, 2]"),
        ({"n_classes": 2}, "n_classes is 2, and there is the label 2"),
    ],
)
def test_what_does_not_fit_is_told_of(root, ids, labels, arguments, message):
    asked = {"ids": ids, "labels": labels, "batch_size": 1, "directory": root / "data", **arguments}
    with pytest.raises(errors.InvalidArgumentError) as caught:
        DataGenerator(**asked)
    assert message in str(caught.value)


def test_labels_beside_a_dataset_are_told_of(data):
    with pytest.raises(errors.InvalidArgumentError, match="has its labels already"):
        DataGenerator(data, {"id-0": 1})


def test_packed_images_are_resized(tmp_path):
    trees.make_voc_tree(tmp_path / "voc")
    images = tfstream.pack(tmp_path / "voc", tmp_path / "packed", progress=False, processes=1)
    for wrong in ({}, {"dim": (8, 6)}, {"n_channels": 3}, {"dim": (8, 6, 4), "n_channels": 3}):
        with pytest.raises(errors.InvalidArgumentError, match="give dim=.height, width., to"):
            DataGenerator(images, **wrong)
    with pytest.raises(errors.InvalidArgumentError, match="size must be"):
        DataGenerator(images, dim=(8, 0), n_channels=3)
    batch_size = len(images) // 2
    generator = DataGenerator(images, None, batch_size, (8, 6), 3, shuffle=False)
    stored = images.to_numpy_iterator(
        batch_size=batch_size, shuffle=False, image=tfstream.ImageSpec(size=(8, 6)), label="one_hot"
    )
    assert len(generator) == 2
    for number, (expected, classes) in zip(range(2), stored, strict=False):
        made, predicted = generator[number]
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, expected)
        np.testing.assert_array_equal(predicted, classes)


def test_files_that_are_not_there_or_unlike_the_others_are_told_of(tmp_path):
    tensors.put_array(tmp_path / "a.npy", np.ones(3))
    generator = DataGenerator("ab", {"a": 0, "b": 0}, 2, directory=tmp_path)
    with pytest.raises(errors.MissingImageError, match="There is no .*/b.npy: name the directory"):
        generator[0]
    tensors.put_array(tmp_path / "b.npy", np.ones(4))
    with pytest.raises(errors.AnnotationError, match=r"b.npy holds float64 \[4\], and .*a.npy"):
        generator[0]
    with pytest.raises(IndexError, match="batch 1 of 1"):
        generator[1]
    with pytest.raises(errors.MissingImageError, match="There is no"):
        DataGenerator("c", {"c": 0}, 1, directory=tmp_path)

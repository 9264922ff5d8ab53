"""Sets of `.npy` files: found, read, packed; and what may be wrong with them."""

import os
import re
import shutil

import numpy as np
import packed
import pytest
import tensors
import trees

import tfstream
from tfstream import errors
from tfstream.annotations import locate
from tfstream.format import manifest
from tfstream.format.tensors import Contents, numbers
from tfstream.packing.appending import append
from tfstream.packing.packer import pack


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


@pytest.fixture
def root(tmp_path):
    return tensors.make_npy_set(tmp_path / "set")


def refused(root, tmp_path, kind=errors.AnnotationError):
    with pytest.raises(kind) as caught:
        quiet(root, tmp_path / "out")
    return str(caught.value)


def test_a_set_is_recognised_and_packed_with_its_splits_and_classes(root, tmp_path):
    reader, found = locate(root.parent)
    assert (reader.name, found) == ("npy", str(root))
    result = quiet(root, tmp_path / "out")
    assert (result.format, result.splits) == ("npy", {"train": 6, "validation": 3})
    told = manifest.load(tmp_path / "out")
    assert [label.name for label in told.labels.labels] == ["0", "1", "2"]
    assert not told.labels.background
    assert str(Contents.from_proto(told.schema)) == "a tensor, float32 [3, 4, 2]"


def test_records_hold_the_arrays_under_their_ids(root, tmp_path):
    quiet(root, tmp_path / "out")
    found = {image.key: image for image in packed.records(tmp_path / "out")}
    assert sorted(found) == [f"id-{number}" for number in range(9)]
    image = found["id-7"]
    assert np.array_equal(numbers(image.tensor), tensors.array(7))
    assert ([item.label for item in image.objects], image.format) == (["1"], "tensor")


@pytest.mark.parametrize(
    "stored",
    [
        np.asfortranarray(tensors.array(0)),
        tensors.array(0).astype(">f4"),
        np.asfortranarray(tensors.array(0)).astype(">f4", order="K"),
    ],
    ids=["fortran", "big-endian", "both"],
)
def test_arrays_are_stored_alike_however_their_files_lay_them_out(tmp_path, stored):
    tensors.put_array(tmp_path / "set/a.npy", stored)
    quiet(tfstream.NpySet(tmp_path / "set", {"a": "one"}), tmp_path / "out")
    (image,) = packed.records(tmp_path / "out")
    assert np.array_equal(numbers(image.tensor), tensors.array(0))


def test_the_same_bytes_come_of_it_whatever_the_number_of_processes(tmp_path):
    root = tensors.make_npy_set(tmp_path / "set", train=300, validation=10)
    quiet(root, tmp_path / "one", shard_bytes=10_000, message="x")
    quiet(root, tmp_path / "two", shard_bytes=10_000, message="x", processes=2)
    one, two = packed.digests(tmp_path / "one"), packed.digests(tmp_path / "two")
    assert len(one) > 10
    one.pop("manifests/00000001.json"), two.pop("manifests/00000001.json")
    assert one == two


def test_a_partition_and_labels_may_be_given_by_a_program(root, tmp_path):
    labels = {f"id-{number}": f"class {number % 2}" for number in range(5)}
    given = tfstream.NpySet(
        root / "data", labels, {"train": ["id-3", "id-0"], "test": iter(["id-1"])}
    )
    with pytest.raises(errors.AnnotationError, match="label of 'id-2' is of an id that is in no"):
        quiet(given, tmp_path / "no")
    for name in ("id-2", "id-4"):
        del labels[name]
    result = quiet(tfstream.NpySet(root / "data", labels, given.splits), tmp_path / "out")
    assert result.splits == {"train": 2, "test": 1}
    assert result.left_out == {"arrays that no id names": 6}


def test_more_arrays_are_appended_and_others_than_those_are_not(root, tmp_path):
    quiet(root, tmp_path / "out")
    more = tensors.put_array(tmp_path / "more/x.npy", tensors.array(50)).parent
    result = append(tfstream.NpySet(more, {"x": 2}), tmp_path / "out", progress=False)
    assert result.total == 10
    tensors.put_array(more / "y.npy", np.zeros((2, 2)))
    with pytest.raises(
        errors.AnnotationError,
        match=re.escape(
            "it holds a tensor, float64 [2, 2], and version 2 of the dataset holds a tensor, "
            "float32 [3, 4, 2]: all records of a dataset hold the same"
        ),
    ):
        append(tfstream.NpySet(more, {"y": 2}), tmp_path / "out", progress=False)


@pytest.mark.parametrize("other", [np.zeros((3, 4), np.float32), np.zeros(tensors.DIM)])
def test_an_array_of_another_shape_or_type_is_told_of_with_the_first(root, tmp_path, other):
    path = tensors.put_array(root / "data/id-4.npy", other)
    message = refused(root, tmp_path)
    assert f"{path}: it holds a tensor, {other.dtype} {list(other.shape)}, and" in message
    assert "the record 'id-0' holds a tensor, float32 [3, 4, 2]" in message
    assert quiet(root, tmp_path / "out", on_invalid="skip").splits["train"] == 5


def test_pickles_are_refused_and_never_loaded(root, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.save(root / "data/id-1.npy", np.array([Trap()], object), allow_pickle=True)
    assert "id-1.npy holds pickled Python objects, which are never loaded" in refused(
        root, tmp_path
    )
    assert not (tmp_path / "sprung").exists()


def lying(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (64 - (10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 96


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "id-1.npy is empty: it has 0 bytes"),
        (b"PK\x03\x04 and so on", "id-1.npy is a .npz archive: write one array a file"),
        (b"0.1 0.2 0.3\n", "id-1.npy is no .npy file: it begins with b'0.1 0.2 '"),
        (lying((2**40, 2**40)), "there are 96 behind the header"),
        (lying((3, 4, 3)), "float32 [3, 4, 3] takes 144 bytes, and there are 96"),
        (lying((0, 4)), "it holds no number: its shape is [0, 4]"),
        (lying((-3, 4)), "has the shape (-3, 4): lengths are 0 or more"),
        (lying("__import__('os')"), "header of"),
        (b"\x93NUMPY\x03\x00 and more", "of version 3.0, for arrays with named fields"),
    ],
)
def test_a_file_that_is_no_array_of_numbers_is_told_of(root, tmp_path, data, message):
    trees.put(root / "data/id-1.npy", data)
    assert message in refused(root, tmp_path)


@pytest.mark.parametrize("values", [np.array(["a"]), np.zeros(2, complex)])
def test_other_types_than_numbers_are_told_of(root, tmp_path, values):
    tensors.put_array(root / "data/id-1.npy", values)
    assert f"its type is {values.dtype.name!r}: it must be one of bool, uint8" in refused(
        root, tmp_path
    )


def test_a_missing_array_is_an_error_of_its_own(root, tmp_path):
    (root / "data/id-2.npy").unlink()
    message = refused(root, tmp_path, errors.MissingImageError)
    assert f"The array of 'id-2' is missing: there is no {root}/data/id-2.npy." in message


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ({"train": ["id-0", "id-0"]}, "the id 'id-0' is in {root}/partition.json twice, in train"),
        ({"train": ["id-0"], "val": ["id-0"]}, "twice, in train and in val"),
        ({"train": ["id-99"]}, "the id 'id-99' of train has no label"),
        ({"train": ["id-0"]}, "the label of 'id-1' is of an id that is in no part of {root}"),
        ({"train": ["../x"]}, "the id '../x' leads out of {root}/data: ids are paths below it"),
        ({"train": ["/etc/x"]}, "the id '/etc/x' leads out of"),
        ({"train": [1]}, "an id is a text that is not empty (got 1)"),
        ({"train": "id-0"}, "partition must have the ids of each split"),
        (["id-0"], "partition must have the ids of each split"),
    ],
)
def test_a_partition_that_does_not_fit_is_told_of(root, tmp_path, partition, message):
    tensors.put_json(root / "partition.json", partition)
    assert message.format(root=root) in refused(root, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id-0": 0, "id-0": 1}', "labels.json has 'id-0' twice"),
        ('{"id-0": 0, "id-1": "dog"}', "the class of 'id-1' is 'dog', and the first one is 0"),
        ('{"id-0": -1}', "the class of 'id-0' is -1: classes are named, or numbered from 0"),
        ('{"id-0": 1e300}', "the class of 'id-0' is 1e+300"),
        ('{"id-0": 99999999999}', "numbered from 0 to 999,999"),
        ('{"id-0": ', "labels.json is not JSON"),
        (b'{"id-0": "caf\xe9"}', "labels.json is not UTF-8: byte 13 is 0xe9"),
        ("[]", "labels must have the class of each id"),
    ],
)
def test_labels_that_cannot_be_used_are_told_of(root, tmp_path, text, message):
    trees.put(root / "labels.json", text)
    assert message in refused(root, tmp_path)


def test_an_archive_in_the_place_of_the_folder_is_told_of(root, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", root)
    message = refused(archive, tmp_path, errors.DatasetNotFoundError)
    assert "set.zip is not a directory: unpack the archive" in message


def test_a_link_that_leads_back_is_told_of(root, tmp_path):
    (root / "data/loop").symlink_to(root / "data")
    assert "by a link: a tree without end" in refused(root, tmp_path)


def test_tensors_are_not_made_smaller_as_images_are(root, tmp_path):
    with pytest.raises(errors.InvalidArgumentError, match="are about images, and 'id-0' holds a"):
        quiet(root, tmp_path / "out", max_side=10)

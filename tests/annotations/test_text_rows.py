"""Rows of delimited text files: found, read, packed; and what may be wrong with them."""

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


def contents(dest):
    return Contents.from_proto(manifest.load(dest).schema)


def rows_of(dest):
    return {image.key: (numbers(image.tensor).tolist(), image) for image in packed.records(dest)}


def refused(source, tmp_path, kind=errors.AnnotationError, **options):
    with pytest.raises(kind) as caught:
        quiet(source, tmp_path / "out", **options)
    return str(caught.value)


def test_rows_are_packed_as_predictors_and_a_target(tmp_path):
    path = tensors.make_rows(tmp_path / "numbers.csv")
    result = quiet(path, tmp_path / "out")
    assert (result.format, result.splits, result.classes) == ("rows", {"train": 8}, 0)
    found = contents(tmp_path / "out")
    assert (str(found.tensor), found.tensor.names) == ("float32 [3]", ("a", "b", "c"))
    assert (str(found.target), found.target.names) == ("float32 []", ("y",))
    values, image = rows_of(tmp_path / "out")["numbers/4"]
    assert values == [2.0, 1.0, -2.0]
    assert numbers(image.target) == np.float32(20)
    assert image.metadata["target"].float_value == 20


@pytest.mark.parametrize(
    ("name", "text", "key", "predictors", "target"),
    [
        ("a.tsv", "1.5\t2\t3\n4\t5\t6\n", "a/1", [1.5, 2.0], 3.0),
        ("test.txt", "1;2\n3;4\n", "test/2", [3.0], 4.0),
        ("a.data", "5.1,3.5,setosa\n4.9,3.0,virginica\n", "a/1", [5.1, 3.5], "setosa"),
        ("a.csv", "key,w,species\nx7,2,0\nx8,3,1\n", "x8", [3.0], "1"),
        ("a.csv", "y,note,w\n1,abc,2\n3,def,4\n", "a/2", [2.0], 1.0),
        ("a.csv", "w,fold,label\n1,valid,dog\n2,train,cat\n", "a/2", [1.0], "dog"),
        ("a.csv", "\ufeffw,y\n1,-2e3\nnan,3\n", "a/2", [1.0], -2000.0),
    ],
)
def test_columns_are_known_by_their_names_and_by_what_they_hold(
    tmp_path, name, text, key, predictors, target
):
    path = trees.put(tmp_path / name, text)
    reader, _ = locate(path)
    assert reader.name == "rows"
    quiet(path, tmp_path / "out")
    values, image = rows_of(tmp_path / "out")[key]
    assert values == np.float32(predictors).tolist()
    found = image.objects[0].label if image.objects else numbers(image.target)
    assert found == target


def test_the_split_is_that_of_a_column_or_of_the_file(tmp_path):
    trees.put(tmp_path / "set/a.csv", "w,fold,y\n1,valid,1\n2,train,2\n3,mine,3\n")
    result = quiet(tmp_path / "set", tmp_path / "out")
    assert result.splits == {"train": 1, "val": 1, "mine": 1}
    for split in ("train", "val"):
        tensors.make_rows(tmp_path / f"two/{split}.csv")
    assert quiet(tmp_path / "two", tmp_path / "out2").splits == {"train": 8, "val": 8}


def test_a_program_says_which_columns_it_means(tmp_path):
    path = tensors.make_rows(tmp_path / "numbers.csv")
    quiet(tfstream.TextFile(path, target="b", predictors=["y", 0]), tmp_path / "out")
    assert contents(tmp_path / "out").tensor.names == ("y", "a")
    assert rows_of(tmp_path / "out")["numbers/4"][0] == [20.0, 2.0]
    quiet(tfstream.TextFile(path, target="a", classes=True), tmp_path / "classes")
    assert len(manifest.load(tmp_path / "classes").labels.labels) == 8


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"target": "z"}, "numbers.csv has no column 'z': it has a, b, c, y (0 to 3)"),
        ({"target": 4}, "numbers.csv has no column 4"),
        ({"target": "y", "predictors": ["y"]}, "must be columns of numbers other than the target"),
        ({"target": "y", "predictors": []}, "must be columns of numbers other than the target"),
    ],
)
def test_columns_that_there_are_not_are_told_of(tmp_path, chosen, message):
    path = tensors.make_rows(tmp_path / "numbers.csv")
    given = tfstream.TextFile(path, **chosen)
    assert message in refused(given, tmp_path, errors.InvalidArgumentError)


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    given = tfstream.TextFile(tmp_path / "no.csv", target="y")
    assert "There is no file" in refused(given, tmp_path, errors.DatasetNotFoundError)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,oops,3", "there is 'oops' where a number belongs (predictors and target: '1,oops,3')"),
        ("1,,3", "there is an empty value where a number belongs"),
        ("1,2,", "there is nothing to be predicted: its target is empty"),
        ("1,2,inf", "its target is 'inf': it must be finite"),
        ("1,1e300,3", "1e300 is more than float32 can hold"),
        ("1,2", "there are 2 values, where 3 belong, in the line '1,2'"),
        (b"1,caf\xe9,3", "it is not UTF-8, as what is before it, in the line '1,caf\\xe9,3'"),
    ],
)
def test_a_malformed_line_is_told_of_with_its_number_and_text(tmp_path, line, message):
    raw = line if isinstance(line, bytes) else line.encode()
    path = trees.put(tmp_path / "a.csv", b"u,v,y\n1,2,3\n4,5,6\n7,8,9\n" + raw + b"\n")
    assert f"{path}:5: {message}" in refused(path, tmp_path)
    assert quiet(path, tmp_path / "out", on_invalid="skip").splits == {"train": 3}


def test_a_mistake_in_the_first_rows_does_not_make_a_column_one_of_text(tmp_path):
    path = trees.put(tmp_path / "a.csv", "u,v,y\n1,2,3\n4,oops,6\n")
    assert f"{path}:3: there is 'oops' where a number belongs" in refused(path, tmp_path)


def test_keys_that_occur_twice_are_told_of(tmp_path):
    path = trees.put(tmp_path / "a.csv", "id,w,y\nx,1,2\nx,3,4\n")
    assert f"its key 'x' is that of {path}:2 already" in refused(path, tmp_path)


def test_utf_16_is_told_of(tmp_path):
    path = trees.put(tmp_path / "a.csv", "u,v\n1,2\n".encode("utf-16"))
    given = tfstream.TextFile(path, target=1)
    assert "a.csv has no columns: it is no delimited text" in refused(given, tmp_path)


def test_files_with_other_columns_are_not_packed_together(tmp_path):
    tensors.make_rows(tmp_path / "set/a.csv")
    trees.put(tmp_path / "set/b.csv", "a,c,b,y\n1,2,3,4\n5,6,7,8\n")
    message = refused(tmp_path / "set", tmp_path)
    assert "b.csv has the columns a, c, b, y, and the file before it a, b, c, y" in message


def test_rows_with_other_columns_are_not_appended(tmp_path):
    quiet(tensors.make_rows(tmp_path / "a.csv"), tmp_path / "out")
    path = trees.put(tmp_path / "b.csv", "a,c,b,y\n1,2,3,4\n5,6,7,8\n")
    with pytest.raises(
        errors.InvalidArgumentError, match="has the columns a, b, c, in this order, and here they"
    ):
        append(path, tmp_path / "out", progress=False)
    assert (
        append(tensors.make_rows(tmp_path / "c.csv"), tmp_path / "out", progress=False).total == 16
    )


def test_a_file_of_paths_of_images_is_no_file_of_rows(tmp_path):
    trees.put(tmp_path / "set/a.jpg", trees.encoded(trees.picture(1)))
    trees.put(tmp_path / "set/list.csv", "path,label\na.jpg,3\n")
    assert locate(tmp_path / "set")[0].name == "csv"


def test_a_column_called_id_is_the_key_where_the_format_is_named(tmp_path):
    path = trees.put(tmp_path / "a.csv", "id,w,label\n7,2,a\n8,3,b\n")
    assert locate(path)[0].name == "csv"
    quiet(path, tmp_path / "out", format="rows")
    assert [values for _, (values, _) in sorted(rows_of(tmp_path / "out").items())] == [
        [2.0],
        [3.0],
    ]


def test_numbers_beside_images_do_not_count(tmp_path):
    for name in ("cat/a.jpg", "dog/b.jpg"):
        trees.put(tmp_path / "set" / name, trees.encoded(trees.picture(1)))
    tensors.make_rows(tmp_path / "set/results.csv")
    assert locate(tmp_path / "set")[0].name == "imagefolder"

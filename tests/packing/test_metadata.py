"""Metadata that come with the images: sidecars beside them, and a file joined by key."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import packed
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trees

import tfstream
from tfstream import errors
from tfstream.format import index, manifest, verify
from tfstream.packing.appending import append
from tfstream.packing.packer import pack

FIRST = "train/n01440764/n01440764_00000"
OWN = {"folder", "segmented", "source.database"}  # what the annotations say themselves


def quiet(source, dest, **options):
    return pack(source, dest, **{"progress": False, "processes": 1, **options})


def add(source, dest, **options):
    return append(source, dest, **{"progress": False, "processes": 1, **options})


@pytest.fixture
def tree(tmp_path):
    return trees.make_ilsvrc_tree(tmp_path / "tree", train=6, val=2)


def jpeg(tree, key=FIRST):
    return tree / f"Data/DET/{key}.JPEG"


def xml(tree, key=FIRST):
    return tree / f"Annotations/DET/{key}.xml"


def sidecar(path, plain):
    text = plain if isinstance(plain, str | bytes) else json.dumps(plain)
    return trees.put(path.with_name(f"{path.name}.metadata.json"), text)


def folder(path, plain):
    return trees.put(path.parent / "metadata.json", json.dumps(plain))


def rows(dest, version=None):
    """By key, the metadata that the index has, without those of annotations and nulls."""
    loaded = manifest.load(dest, version)
    found = {}
    for split in loaded.splits:
        for shard in split.shards:
            for row in index.read(dest / shard.index_path).to_pylist():
                found[row["key"]] = {
                    name: value
                    for name, value in row.items()
                    if name not in {*index.COLUMNS, *OWN} and value is not None
                }
    return found


def kinds(dest, version=None):
    schema = dict(manifest.load(dest, version).schema.metadata)
    return {name: kind for name, kind in schema.items() if name not in OWN}


# Sidecars


def test_a_sidecar_of_an_image_gives_it_columns(tree, tmp_path):
    sidecar(
        jpeg(tree),
        {"camera": {"side": "left", "at": {"x": 1.5}}, "day": 3, "wet": True, "none": None},
    )
    quiet(tree, tmp_path / "out")
    assert kinds(tmp_path / "out") == {
        "camera.at.x": "float",
        "camera.side": "string",
        "day": "int",
        "wet": "bool",
    }
    found = rows(tmp_path / "out")
    assert found.pop(FIRST) == {"camera.at.x": 1.5, "camera.side": "left", "day": 3, "wet": True}
    assert not any(found.values())
    (image,) = [each for each in packed.records(tmp_path / "out") if each.key == FIRST]
    assert image.metadata["camera.side"].string_value == "left"
    assert verify.verify(tmp_path / "out") == []


def test_a_list_is_kept_as_its_text(tree, tmp_path):
    sidecar(jpeg(tree), {"tags": ["naß", 1, {"a": None}]})
    quiet(tree, tmp_path / "out")
    assert rows(tmp_path / "out")[FIRST] == {"tags": '["naß", 1, {"a": null}]'}


def test_a_folders_sidecar_names_files(tree, tmp_path):
    second = "train/n01440764/n01440764_00003"
    folder(jpeg(tree), {jpeg(tree).name: {"day": 1}, jpeg(tree, second).name: {"day": 2}})
    folder(xml(tree), {xml(tree).name: {"by": "ann"}, "elsewhere.xml": {"by": "bob"}})
    quiet(tree, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert (found[FIRST], found[second]) == ({"day": 1, "by": "ann"}, {"day": 2})


def test_of_several_sidecars_the_nearest_to_the_image_counts(tree, tmp_path):
    name = jpeg(tree).name
    folder(xml(tree), {name: {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "folder": "mine"}})
    sidecar(xml(tree), {"b": 2, "c": 2, "d": 2, "e": 2})
    sidecar(xml(tree).with_name(name), {"c": 3, "d": 3, "e": 3})
    folder(jpeg(tree), {name: {"d": 4, "e": 4}})
    sidecar(jpeg(tree), {"e": 5, "a": None})
    quiet(tree, tmp_path / "out")
    assert rows(tmp_path / "out")[FIRST] == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    (image,) = [each for each in packed.records(tmp_path / "out") if each.key == FIRST]
    assert image.metadata["folder"].string_value == "mine"


def test_sidecars_of_a_voc_tree_are_found_too(tmp_path):
    tree = trees.make_voc_tree(tmp_path / "voc")
    sidecar(tree / "JPEGImages/2012_000001.jpg", {"day": 1})
    quiet(tree, tmp_path / "out")
    assert rows(tmp_path / "out")["2012_000001"] == {"day": 1}


def test_other_metadata_make_another_commit_and_equal_ones_the_same(tree, tmp_path):
    commits = []
    for number, plain in enumerate([{"a": 1}, {"a": 2}, {"a": 1}, {"b": 1}]):
        sidecar(jpeg(tree), plain)
        commits.append(quiet(tree, tmp_path / str(number)).commit)
    assert commits[0] == commits[2]
    assert len(set(commits)) == 3


def test_integers_and_floats_of_a_column_are_floats_in_either_order(tree, tmp_path):
    values = [1, 2.5, 3]
    for path, value in zip(sorted(tree.rglob("*.JPEG")), values, strict=False):
        sidecar(path, {"score": value})
    quiet(tree, tmp_path / "out")
    assert kinds(tmp_path / "out") == {"score": "float"}
    assert sorted(row["score"] for row in rows(tmp_path / "out").values() if row) == values


@pytest.mark.parametrize(("one", "other"), [(1, "one"), (True, 1), ("x", 2.5), (1.5, False)])
def test_a_value_of_another_type_is_named_with_its_file_and_column(tree, tmp_path, one, other):
    names = {bool: "bool", int: "int", float: "float", str: "string"}
    paths = sorted(tree.rglob("*.JPEG"))
    sidecar(paths[0], {"a": {"b": one}})
    wrong = sidecar(paths[4], {"a": {"b": other}})
    with pytest.raises(errors.AnnotationError) as caught:
        quiet(tree, tmp_path / "out")
    assert (
        f"{wrong}: its metadata column 'a.b' is of type {names[type(other)]}, and of type "
        f"{names[type(one)]} in the record {FIRST!r}" in str(caught.value)
    )
    result = quiet(tree, tmp_path / "out", on_invalid="skip")
    assert (result.records, result.rejected) == (7, 1)
    assert kinds(tmp_path / "out") == {"a.b": names[type(one)]}
    (reject,) = [json.loads(line) for line in result.rejects.read_text().splitlines()]
    assert (reject["kind"], reject["file"]) == ("metadata", str(wrong))


def test_disagreements_are_the_same_with_any_number_of_processes(tmp_path):
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=400, val=0)
    for place, path in enumerate(sorted(tree.rglob("*.JPEG"))):
        if place >= 100:
            other = f"column {place}" if place % 50 == 7 else "other"
            sidecar(path, {"day": "some" if place % 50 == 7 else place, other: True})
    made = []
    for processes in (1, 2):
        dest = tmp_path / str(processes)
        result = quiet(tree, dest, processes=processes, on_invalid="skip", shard_bytes=50_000)
        assert (result.records, result.rejected) == (394, 6)
        made.append((packed.digests(dest), result.rejects.read_text()))
    assert made[0] == made[1]
    assert verify.verify(tmp_path / "1") == []
    assert "column 107" not in kinds(tmp_path / "1")  # of a record that was left out


WRONG = {
    "no JSON": ('{"a": 1', "is not JSON: "),
    "no UTF-8": (b'{"a": "\xff"}', "is not JSON: "),
    "a list": ("[1]", "holds a list, where a JSON object is expected"),
    "null": ("null", "holds null, where"),
    "twice": ('{"a": 1, "b": {"c": 1, "c": 2}}', "names 'c' twice in one object"),
    "twice by dots": ('{"a.b": 1, "a": {"b": 2}}', "names 'a.b' twice"),
    "no name": ('{"": 1}', "'' cannot be the name of a column"),
    "long name": (json.dumps({"x" * 201: 1}), "cannot be the name of a column"),
    "half a character": (r'{"a": "\ud800"}', "is half of a character"),
    "half a character in a name": (r'{"\ud800": 1}', "cannot be the name of a column"),
    "many bits": (json.dumps({"a": 2**63}), "'a' has more than 64 bits"),
    "deep": ('{"a":' * 20 + "1" + "}" * 20, "lies in more than 16 objects"),
    "very deep": ('{"a":' * 200_000, "more objects or lists in each other"),
    "very deep lists": ('{"a":' + "[" * 200_000, "more objects or lists in each other"),
    "many": (json.dumps({str(n): n for n in range(1001)}), "over 1,000 values"),
    "large": ('{"a": "' + "x" * (1 << 20) + '"}', "bytes, and a file of metadata may have"),
    "the index's": ('{"key": 1}', "'key' has the name of the index's own column 'key'"),
    "nearly the index's": ('{"WIDTH": 1}', "'WIDTH' has the name of the index's own column"),
    "the split": ('{"split": "a"}', "'split' has the name of the index's own column"),
    "case alone": ('{"a": 1, "A": 1}', "differs from"),
    "case": ('{"Folder": "a"}', "'Folder' differs from 'folder', as in the record"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_sidecar_that_cannot_be_used_is_named(tree, tmp_path, name):
    text, told = WRONG[name]
    last = "val/val_00001"
    path = sidecar(jpeg(tree, last), text)
    with pytest.raises(errors.AnnotationError, match="1 problem in the input") as caught:
        quiet(tree, tmp_path / "out")
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000
    result = quiet(tree, tmp_path / "out", on_invalid="skip")
    assert (result.records, result.rejected) == (7, 1)
    assert kinds(tmp_path / "out") == {}


def test_an_entry_of_a_folders_sidecar_that_is_none_is_named(tree, tmp_path):
    path = folder(jpeg(tree), {jpeg(tree).name: 3})
    with pytest.raises(errors.AnnotationError) as caught:
        quiet(tree, tmp_path / "out")
    assert f"{path}, under {jpeg(tree).name!r}: there is a number, where" in str(caught.value)


def test_there_may_be_so_many_columns_and_not_one_more(tmp_path):
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=3, val=0)
    paths = sorted(tree.rglob("*.JPEG"))
    for number, path in enumerate(paths[:2]):
        sidecar(path, {f"{number} {place}": 1 for place in range(498)})
    last = sidecar(paths[2], {"0 1": 2, "a last": 1})
    result = quiet(tree, tmp_path / "out")
    assert len(manifest.load(tmp_path / "out").schema.metadata) == 1000
    sidecar(paths[2], {"0 1": 2, "a last": 1, "one more": 1})
    with pytest.raises(errors.AnnotationError, match="'one more' would be one column more than"):
        quiet(tree, tmp_path / "more")
    assert result.records == 3
    assert last.exists()


# A file that is joined


def table(tmp_path, text, name="extra.csv"):
    return trees.put(tmp_path / name, text)


SECOND, THIRD = "train/n02084071/n02084071_00001", "train/n02121808/n02121808_00002"


def test_a_csv_file_is_joined_by_key_and_its_types_are_found(tree, tmp_path):
    lines = [
        "key,day,score,wet,who,zip,empty,id",
        f'{FIRST},3,1,true,"ann, bob",01234,,12345678901234567890',
        f"{SECOND},-4,2.5e3,FALSE,,56789,,1",
        f'{THIRD},,,,"two\nlines",,,2',
    ]
    result = quiet(tree, tmp_path / "out", metadata=table(tmp_path, "\n".join(lines)))
    assert kinds(tmp_path / "out") == {
        "day": "int",
        "id": "string",
        "score": "float",
        "wet": "bool",
        "who": "string",
        "zip": "string",
    }
    found = rows(tmp_path / "out")
    many = "12345678901234567890"
    assert found[FIRST] == {
        "day": 3,
        "score": 1.0,
        "wet": True,
        "who": "ann, bob",
        "zip": "01234",
        "id": many,
    }
    assert found[SECOND] == {"day": -4, "score": 2500.0, "wet": False, "zip": "56789", "id": "1"}
    assert found[THIRD] == {"who": "two\nlines", "id": "2"}
    assert result.unmatched == 0
    assert verify.verify(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("name", "header", "form"),
    [
        ("a.csv", "file,a", "{}.JPEG,{}"),
        ("a.csv", "\ufeffpath,a", "./{}.jpg,{}"),
        ("a.CSV", "a,file", "{1},{0}"),
        ("a.tsv", "path\ta", "{}.png\t{}"),
        ("a.csv", "key,a\r", '"{}","{}"\r'),
    ],
)
def test_an_image_is_found_by_its_path_with_or_without_extension(
    tree, tmp_path, name, header, form
):
    lines = [header, *(form.format(key, n) for n, key in enumerate([FIRST, SECOND, THIRD]))]
    quiet(tree, tmp_path / "out", metadata=table(tmp_path, "\n".join(lines), name))
    found = rows(tmp_path / "out")
    assert [found[key] for key in (FIRST, SECOND, THIRD)] == [{"a": 0}, {"a": 1}, {"a": 2}]


def test_a_file_counts_more_than_a_sidecar_where_it_has_a_value(tree, tmp_path):
    for key in (FIRST, SECOND):
        sidecar(jpeg(tree, key), {"a": "sidecar", "b": 1})
    file = table(tmp_path, f"key,a\n{FIRST},file\n{SECOND},\n")
    quiet(tree, tmp_path / "out", metadata=file)
    found = rows(tmp_path / "out")
    assert found[FIRST] == {"a": "file", "b": 1}
    assert found[SECOND] == {"a": "sidecar", "b": 1}


def test_a_sidecar_that_disagrees_with_the_file_is_named(tree, tmp_path):
    file = table(tmp_path, f"key,a\n{FIRST},1\n")
    wrong = sidecar(jpeg(tree, SECOND), {"a": "x"})
    with pytest.raises(errors.AnnotationError) as caught:
        quiet(tree, tmp_path / "out", metadata=file)
    told = f"{wrong}: its metadata column 'a' is of type string, and of type int in {file}"
    assert told in str(caught.value)


def test_rows_that_no_image_belongs_to_are_counted(tree, tmp_path):
    file = table(tmp_path, f"key,a\nnowhere,1\n{FIRST},2\n{FIRST}.JPEG,3\nelsewhere,4\n")
    (jpeg(tree)).write_bytes(b"")  # a record that is left out has its row all the same
    result = quiet(tree, tmp_path / "out", metadata=file, on_invalid="skip")
    assert (result.records, result.unmatched) == (7, 3)


def test_other_values_of_a_file_make_another_commit(tree, tmp_path):
    commits = []
    for number, value in enumerate(["1", "2", "1", "1.0"]):
        file = table(tmp_path, f"key,a\n{FIRST},{value}\n", f"{number}.csv")
        commits.append(quiet(tree, tmp_path / str(number), metadata=file).commit)
    assert commits[0] == commits[2]
    assert len(set(commits)) == 3


def test_a_parquet_file_keeps_its_types(tree, tmp_path):
    columns = {
        "key": pa.array([FIRST, SECOND, THIRD]),
        "day": pa.array([1, None, 3], pa.int16()),
        "score": pa.array([0.5, 1.5, None], pa.float32()),
        "wet": pa.array([True, None, False]),
        "camera": pa.array([{"side": "left", "at": {"x": 1}}, None, {"side": None, "at": None}]),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "time": pa.array([0, 1, None], pa.timestamp("s")),
        "nothing": pa.nulls(3),
    }
    pq.write_table(pa.table(columns), tmp_path / "extra.parquet")
    quiet(tree, tmp_path / "out", metadata=tmp_path / "extra.parquet")
    assert kinds(tmp_path / "out") == {
        "camera.at.x": "int",
        "camera.side": "string",
        "day": "int",
        "kind": "string",
        "score": "float",
        "time": "string",
        "wet": "bool",
    }
    found = rows(tmp_path / "out")
    assert found[FIRST] == {
        "camera.at.x": 1,
        "camera.side": "left",
        "day": 1,
        "kind": "a",
        "score": 0.5,
        "time": "1970-01-01 00:00:00.000",
        "wet": True,
    }
    assert found[SECOND] == {"kind": "b", "score": 1.5, "time": "1970-01-01 00:00:01.000"}


BAD_FILES = {
    "no key": ("a,b\n1,2\n", "has no column 'key' (nor 'file' or 'path', of the image) to join"),
    "empty": ("", "is empty"),
    "no row": ("key,a\n", "has no row"),
    "no column": ("key\nx\n", "has no column besides 'key'"),
    "twice": ("key,a,a\nx,1,2\n", "named 'a'"),
    "no name": ("key,,b\nx,1,2\n", "named ''"),
    "key twice": ("key,a\nx,1\ny,2\nx,3\n", "names the record 'x' in row 1 and again in row 3"),
    "no value": ("key,a\nx,1\n,2\n", "has nothing in row 2, column 'key'"),
    "ragged": ("key,a\nx,1\ny,1,2\n", "cannot be read: CSV parse error"),
    "no text": (b"key,a\nx,\xff\xfe\n", "is not text in UTF-8"),
    "the index's": ("key,height\nx,1\n", "'height' has the name of the index's own column"),
    "a count": ("key,labels.dog\nx,1\n", "'labels.dog' has the name of a count of labels"),
    "case": ("key,Day,day\nx,1,2\n", "differs from 'Day'"),
    "many": ("key," + ",".join(map(str, range(1001))) + "\n", "has 1,002 columns, of 1,000"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_joined_is_told_and_nothing_is_packed(tree, tmp_path, name):
    text, told = BAD_FILES[name]
    file = table(tmp_path, text)
    with pytest.raises(errors.InvalidArgumentError) as caught:
        quiet(tree, tmp_path / "out", metadata=file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_or_of_no_known_kind_is_told(tree, tmp_path):
    with pytest.raises(errors.DatasetNotFoundError, match="no metadata file at nowhere.csv"):
        quiet(tree, tmp_path / "out", metadata="nowhere.csv")
    with pytest.raises(errors.InvalidArgumentError, match=r"'extra.xls' is none of the files"):
        quiet(tree, tmp_path / "out", metadata="extra.xls")
    with pytest.raises(errors.InvalidArgumentError, match=r"cannot be read: "):
        quiet(tree, tmp_path / "out", metadata=table(tmp_path, "key,a\nx,1", "a.parquet"))
    lists = pa.table({"key": ["x"], "a": [[1]]})
    pq.write_table(lists, tmp_path / "lists.parquet")
    with pytest.raises(errors.InvalidArgumentError, match=r"column 'a' of type list<"):
        quiet(tree, tmp_path / "out", metadata=tmp_path / "lists.parquet")
    assert not (tmp_path / "out").exists()


def test_a_large_file_is_sorted_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("tfstream.packing.metadata._ROWS", 2048)
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=150, val=0)
    keys = [path.relative_to(tree / "Data/DET").with_suffix("") for path in tree.rglob("*.JPEG")]
    lines = [f"{key},{int(key.name[-3:])}" for key in keys]
    lines += [f"{letter}/{n},{n}" for n in range(20_000) for letter in "az"]
    file = table(tmp_path, "key,number\n" + "\n".join(sorted(lines, key=hash)) + "\n")
    result = quiet(tree, tmp_path / "out", metadata=file, processes=2)
    assert result.unmatched == 40_000
    assert all(row["number"] == int(key[-3:]) for key, row in rows(tmp_path / "out").items())


def test_a_pack_with_metadata_that_was_killed_goes_on(tmp_path):
    tree = trees.make_ilsvrc_tree(tmp_path / "tree", train=150, val=0)
    file = table(tmp_path, f"key,a\n{FIRST},1\n")
    options = {"metadata": str(file), "shard_bytes": 5_000, "progress": False, "processes": 1}
    quiet(tree, tmp_path / "whole", **options)
    code = f"import sys; from tfstream.packing.packer import pack; pack(*sys.argv[1:], **{options})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    work = tmp_path / "out/.packing"
    for begun in (
        lambda: (work / "metadata.duckdb").exists(),
        lambda: sum(path.stat().st_size > 0 for path in work.glob("*/*-*.json")) >= 3,
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tree), str(tmp_path / "out")], env=environment
        )
        while not begun() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
    assert not manifest.versions(tmp_path / "out")
    result = quiet(tree, tmp_path / "out", **options)
    assert result.resumed >= 3
    assert packed.digests(tmp_path / "out") == packed.digests(tmp_path / "whole")


# Appending


@pytest.fixture
def dest(tree, tmp_path):
    """A dataset with columns of every type."""
    values = f"{FIRST},1,0.5,true,x\n"
    quiet(tree, tmp_path / "out", metadata=table(tmp_path, f"key,i,f,b,s\n{values}"))
    return tmp_path / "out"


@pytest.fixture
def more(tree, tmp_path):
    """Two images that are new."""
    more = tmp_path / "more"
    for number in (1, 2):
        trees.put(more / f"Annotations/DET/train/{number}.xml", trees.annotation([]))
        shutil.copy(jpeg(tree), trees.put(more / f"Data/DET/train/{number}.JPEG", ""))
    return more


def test_new_columns_are_null_in_the_records_that_were_there(dest, more):
    sidecar(jpeg(more, "train/1"), {"new": {"a": 1}, "i": 5})
    data = tfstream.append(more, dest, progress=False)
    assert kinds(dest) == {"b": "bool", "f": "float", "i": "int", "new.a": "int", "s": "string"}
    assert "new.a" not in kinds(dest, 1)
    found = dict(zip(*data.metadata.select(["key", "new.a"]).to_pydict().values(), strict=True))
    assert (found["train/1"], found["train/2"], found[FIRST]) == (1, None, None)
    assert rows(dest)["train/1"] == {"new.a": 1, "i": 5}
    assert verify.verify(dest) == []


def test_text_means_what_the_column_in_the_dataset_means(dest, more, tmp_path):
    file = table(tmp_path, "key,f,s,more\ntrain/1,3,007,1\ntrain/2,,8,2\n", "b.csv")
    add(more, dest, metadata=file)
    assert rows(dest)["train/1"] == {"f": 3.0, "s": "007", "more": 1}
    assert rows(dest)["train/2"] == {"s": "8", "more": 2}


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [("i", "2.5", "int"), ("f", "much", "float"), ("b", "1", "bool"), ("i", "true", "int")],
)
def test_text_of_another_type_is_told_with_row_and_column(
    dest, more, tmp_path, column, value, kind
):
    file = table(tmp_path, f"key,{column}\ntrain/1,\ntrain/2,{value}\n", "b.csv")
    told = rf"b\.csv has '{value}' in row 2, column '{column}', which is of type {kind} in the"
    with pytest.raises(errors.InvalidArgumentError, match=told):
        add(more, dest, metadata=file)
    assert manifest.versions(dest) == [1]


def test_a_parquet_column_of_another_type_is_told_with_both(dest, more, tmp_path):
    pq.write_table(pa.table({"key": ["train/1"], "i": [1.5]}), tmp_path / "b.parquet")
    told = r"'i' is of type float, and of type int in version 1 of the dataset"
    with pytest.raises(errors.InvalidArgumentError, match=told):
        add(more, dest, metadata=tmp_path / "b.parquet")
    pq.write_table(pa.table({"key": ["train/1"], "f": [1]}), tmp_path / "b.parquet")
    add(more, dest, metadata=tmp_path / "b.parquet")
    assert rows(dest)["train/1"] == {"f": 1.0}


@pytest.mark.parametrize(
    ("column", "value", "kinds"),
    [("i", 2.5, ("float", "int")), ("s", 2, ("int", "string")), ("b", "yes", ("string", "bool"))],
)
def test_a_sidecar_of_another_type_is_told_with_both(dest, more, column, value, kinds):
    path = sidecar(jpeg(more, "train/2"), {column: value})
    with pytest.raises(errors.AnnotationError) as caught:
        add(more, dest)
    told = f"column {column!r} is of type {kinds[0]}, and of type {kinds[1]} in version 1 of the"
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert add(more, dest, on_invalid="skip").records == 1


def test_a_disagreement_in_a_folders_sidecar_is_told_with_the_entry(dest, more):
    folder(jpeg(more, "train/2"), {"2.JPEG": {"s": 2}})
    with pytest.raises(errors.AnnotationError, match=r"metadata\.json, under '2\.JPEG': its"):
        add(more, dest)


def test_the_verbs_tell_of_rows_without_an_image(dest, more, tmp_path):
    file = table(tmp_path, "file,a\ntrain/1.JPEG,1\nelsewhere,2\n", "b.csv")
    command = [sys.executable, "-m", "tfstream.cli.app", "append", more, dest, "--metadata", file]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"no image was found for 1 row of {file}" in done.stdout
    assert Path(dest / "manifests/00000002.json").exists()

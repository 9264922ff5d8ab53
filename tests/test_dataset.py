"""PackedDataset: opening, splits, random access, and what goes wrong."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import trees

import tfstream
from tfstream import errors


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset")
    trees.make_ilsvrc_tree(root / "tree", train=23, val=6)
    tfstream.pack(root / "tree", root / "packed", shard_bytes=40_000, progress=False)
    return root / "packed"


@pytest.fixture
def data(packed):
    return tfstream.open(packed)


def test_importing_packing_and_opening_leave_tensorflow_alone(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(trees.__file__).parent)!r})
import pathlib, tfstream, trees
root = pathlib.Path({str(tmp_path)!r})
trees.make_ilsvrc_tree(root / "tree", train=3, val=1)
data = tfstream.pack(root / "tree", root / "packed", progress=False)
assert data.split("train")[0]["image"].ndim == 3
tfstream.ImageSpec(size=(8, 8))
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_split_has_its_records_and_the_whole_has_all(data):
    assert data.splits == ("train", "val")
    assert (len(data), len(data.split("train")), len(data.split("val"))) == (29, 23, 6)


def test_a_record_is_what_the_tree_holds(data):
    record = data.split("train")[0]
    assert record["key"].startswith("train/")
    assert record["image"].dtype == np.uint8
    assert record["image"].shape[2] == 3
    assert record["objects"]["box"].shape == (len(record["objects"]["label"]), 4)
    assert record["objects"]["box"].dtype == np.float32
    assert record["label"] in (*record["objects"]["label"], None)
    assert isinstance(record["metadata"], dict)


def test_records_are_found_by_number_key_slice_and_list(data):
    train = data.split("train")
    keys = train.metadata["key"].to_pylist()
    assert train[-1]["key"] == keys[-1]
    assert train[keys[5]]["key"] == keys[5]
    assert [r["key"] for r in train[3:9:2]] == keys[3:9:2]
    assert [r["key"] for r in train[[7, 1, -1]]] == [keys[7], keys[1], keys[-1]]
    assert [r["key"] for r in train[2:10][1:3]] == keys[3:5]
    assert train[2:10][keys[4]]["key"] == keys[4]


def test_a_mask_chooses_as_in_numpy(data):
    wide = np.asarray(data.metadata["width"]) > 40
    keys = data.metadata["key"].to_pylist()
    chosen = [key for key, there in zip(keys, wide.tolist(), strict=True) if there]
    assert data[wide].metadata["key"].to_pylist() == chosen
    assert len(data[wide.tolist()]) == len(chosen)
    assert len(data[np.zeros(29, bool)]) == 0
    with pytest.raises(ValueError, match="a bool for each of the 29 elements .got 2"):
        data[[True, False]]
    with pytest.raises(TypeError):
        data[[1.5]]


def test_whole_numbers_in_a_column_of_others_are_floats_in_records_too(tmp_path):
    root = trees.make_ilsvrc_tree(tmp_path / "tree", train=2, val=0)
    for number, value in enumerate(("1", "2.5")):
        image = next((root / "Data/DET/train").rglob(f"*_{number:05d}.JPEG"))
        image.with_name(f"{image.name}.metadata.json").write_text(f'{{"iso": {value}}}')
    packed = tfstream.pack(root, tmp_path / "packed", processes=1, progress=False)
    found = sorted(record["metadata"]["iso"] for record in packed)
    assert found == [1, 2.5]
    assert all(isinstance(value, float) for value in found)


def test_iterating_gives_every_record_in_storage_order(data):
    assert [r["key"] for r in data] == data.metadata["key"].to_pylist()


def test_a_part_of_the_whole_still_knows_its_splits(data):
    part = data[20:26]
    assert len(part.split("train")) == 3
    assert [r["key"] for r in part.split("val")] == data.metadata["key"].to_pylist()[23:26]


def test_metadata_is_a_table_with_a_row_a_record(data):
    table = data.metadata
    assert table.num_rows == 29
    for column in ("key", "split", "width", "height", "bytes", "label", "objects", "labels"):
        assert column in table.column_names
    assert set(table["split"].to_pylist()) == {"train", "val"}
    assert data[[28, 0]].metadata["key"].to_pylist() == [
        table["key"][28].as_py(),
        table["key"][0].as_py(),
    ]


def test_labels_map_names_to_indexes_and_background_is_last(data):
    assert data.labels.id[data.labels.names[1]] == 1
    assert data.labels.background == len(data.labels.names)


def test_a_number_out_of_range_and_an_unknown_key_are_errors(data):
    for number in (29, -30):
        with pytest.raises(IndexError, match=str(number)):
            data[number]
    with pytest.raises(IndexError):
        data[[0, 29]]
    key = data.metadata["key"][3].as_py()
    with pytest.raises(KeyError, match=f"holds no record.*near it: .*{key}"):
        data[key + "x"]


def test_an_unknown_split_is_one_error_that_lists_the_others(data):
    with pytest.raises(ValueError, match="no split 'test': it has train, val"):
        data.split("test")


def test_a_place_without_a_dataset_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        tfstream.open(tmp_path / "nothing")


def test_an_unknown_version_is_named(packed):
    with pytest.raises(errors.DatasetNotFoundError, match="7"):
        tfstream.open(packed, version=7)


def test_a_manifest_of_a_newer_format_is_refused(packed, tmp_path):
    manifest = json.loads((packed / "manifests" / "00000001.json").read_text())
    manifest["format_version"] = 999
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "00000001.json").write_text(json.dumps(manifest))
    with pytest.raises(errors.ManifestError, match="999"):
        tfstream.open(tmp_path)


def test_a_corrupt_record_is_named_by_file_offset_and_key(tmp_path):
    trees.make_ilsvrc_tree(tmp_path / "tree", train=4, val=1)
    train = tfstream.pack(tmp_path / "tree", tmp_path / "packed", progress=False).split("train")
    path = pathlib.Path(train.stored.table.files[0])
    offset, length = int(train.stored.table.offsets[2]), int(train.stored.table.lengths[2])
    content = bytearray(path.read_bytes())
    content[offset + length // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(errors.CorruptRecordError) as error:
        train[2]
    for part in (str(path), str(offset), train.metadata["key"][2].as_py()):
        assert part in str(error.value)
    assert len([train[i] for i in (0, 1, 3)]) == 3


def test_an_index_with_fewer_rows_than_the_manifest_says_is_refused(tmp_path):
    trees.make_ilsvrc_tree(tmp_path / "tree", train=4, val=1)
    tfstream.pack(tmp_path / "tree", tmp_path / "packed", progress=False)
    manifest = next((tmp_path / "packed" / "manifests").iterdir())
    content = json.loads(manifest.read_text())
    for split in content["splits"]:
        split["shards"][0]["records"] = str(int(split["shards"][0]["records"]) + 1)
        split["statistics"]["records"] = str(int(split["statistics"]["records"]) + 1)
    manifest.chmod(0o644)
    manifest.write_text(json.dumps(content))
    with pytest.raises(errors.TfstreamError, match="fewer records than"):
        tfstream.open(tmp_path / "packed").split("train").stream()

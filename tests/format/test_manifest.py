"""Tests of tfstream/format/manifest.py."""

from __future__ import annotations

import concurrent.futures
import json
import os
from pathlib import Path

import pytest
from google.protobuf import json_format

from tfstream import errors
from tfstream.format import manifest
from tfstream.v1.manifest_pb2 import Label, LabelMap, Manifest, Schema, Shard, Split, Statistics


def _manifest(version: int = 1, **fields: object) -> Manifest:
    shard = Shard(
        path="shards/train-ab-00000.tfrecord",
        index_path="shards/train-ab-00000.parquet",
        records=3,
        bytes=2**40,
    )
    given = {
        "version": version,
        "commit": "ab",
        "tfstream_version": "0.1.0",
        "splits": [Split(name="train", shards=[shard], statistics=Statistics(records=3))],
        "labels": LabelMap(labels=[Label(name="cat", title="Katze ü")], background=True),
        "schema": Schema(metadata={"weather": "string"}),
    }
    return Manifest(**{**given, **fields})


def _edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_version_comes_back_as_it_was_committed(tmp_path: Path) -> None:
    assert manifest.versions(tmp_path) == []
    first = manifest.commit(tmp_path, _manifest(1))
    assert first == str(tmp_path / "manifests" / "00000001.json")
    manifest.commit(tmp_path, _manifest(2, commit="cd"))
    assert manifest.versions(tmp_path) == [1, 2]
    assert manifest.load(tmp_path) == _manifest(2, commit="cd", format_version=1)
    assert manifest.load(str(tmp_path), 1) == _manifest(1, format_version=1)


def test_equal_manifests_give_equal_bytes(tmp_path: Path) -> None:
    texts = [Path(manifest.commit(tmp_path / name, _manifest())).read_bytes() for name in "ab"]
    assert texts[0] == texts[1]
    assert list(json.loads(texts[0])) == sorted(json.loads(texts[0]))
    assert b"tfstream_version" in texts[0]


def test_a_version_is_never_replaced(tmp_path: Path) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    before = path.read_bytes()
    with pytest.raises(errors.DatasetExistsError, match=r"00000001\.json exists.*version 1 first"):
        manifest.commit(tmp_path, _manifest(commit="other"))
    assert path.read_bytes() == before


def test_of_racing_writers_one_wins(tmp_path: Path) -> None:
    def commit(number: int) -> bool:
        try:
            manifest.commit(tmp_path, _manifest(commit=str(number)))
        except errors.DatasetExistsError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        won = list(pool.map(commit, range(16)))
    assert sum(won) == 1
    assert manifest.load(tmp_path).commit == str(won.index(True))


def test_where_there_is_no_dataset_the_error_says_what_was_looked_for(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "gone"):
        with pytest.raises(errors.DatasetNotFoundError, match=rf"{root}.*00000001\.json"):
            manifest.load(root)
    manifest.commit(tmp_path, _manifest())
    with pytest.raises(errors.DatasetNotFoundError, match=r"no version 7: it has 1\."):
        manifest.load(tmp_path, 7)


def test_other_files_beside_the_manifests_are_no_versions(tmp_path: Path) -> None:
    manifest.commit(tmp_path, _manifest())
    for name in ("00000000.json", "2.json", ".00000002.json.x.tmp", "00000003.json.bak"):
        (tmp_path / "manifests" / name).write_text("{}")
    assert manifest.versions(tmp_path) == [1]


def test_a_newer_format_is_refused_with_its_writer(tmp_path: Path) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    _edit(path, format_version=3, tfstream_version="9.1", splits={"a": "new layout"})
    with pytest.raises(errors.ManifestError, match=r"format version 3.*up to 2.*9\.1.*Upgrade"):
        manifest.load(tmp_path)


def test_a_field_that_this_version_does_not_know_is_passed_over(tmp_path: Path) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    _edit(path, licence="CC0")
    assert manifest.load(tmp_path).commit == "ab"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "holds a list"),
        ("{}", "format_version is None"),
        ('{"format_version": "1"}', "format_version is '1'"),
        ('{"format_version": 1, "version": "x"}', "damaged"),
        ('{"format_version": 1, "version": 1, "splits": 3}', "damaged"),
        ('{"format_version": 1, "version": 1, "splits": [3]}', "damaged"),
        ('{"format_version": 1, "version": 99999999999}', "damaged"),
        ('{"format_version": 1, "version": 4}', "says it is version 4"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(errors.ManifestError) as caught:
        manifest.load(tmp_path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "file",
    ["../x", "shards/../../x", "/etc/passwd", "", "C:/x", "C:\\x", "a\\..\\b", "gs://b/x", "a\0b"],
)
def test_a_file_outside_the_dataset_is_refused(tmp_path: Path, file: str) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    for shard in (
        {"path": file, "index_path": "i.parquet"},
        {"path": "s.tfrecord", "index_path": file},
    ):
        _edit(path, splits=[{"name": "train", "shards": [shard]}])
        with pytest.raises(errors.ManifestError, match=r"relative paths inside"):
            manifest.load(tmp_path)


def test_a_manifest_that_contradicts_itself_is_refused() -> None:
    one, other = Shard(path="a", index_path="b"), Shard(path="b", index_path="c")
    wrong = {
        "two splits, or none, named 't'": [Split(name="t"), Split(name="t")],
        "named ''": [Split()],
        "names the file 'b' twice": [Split(name="t", shards=[one, other])],
        "hold 0 records, and its statistics say 4": [
            Split(name="t", statistics=Statistics(records=4))
        ],
    }
    for message, splits in wrong.items():
        with pytest.raises(errors.ManifestError, match=message):
            manifest.commit("/nowhere", _manifest(splits=splits))
    twice = LabelMap(labels=[Label(name="cat"), Label(name="cat")])
    with pytest.raises(errors.ManifestError, match=r"'cat' is in the label map twice"):
        manifest.commit("/nowhere", _manifest(labels=twice))
    with pytest.raises(errors.ManifestError, match=r"says it is version 0"):
        manifest.commit("/nowhere", _manifest(0))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_manifest_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    path.chmod(0)
    with pytest.raises(errors.StorageError, match=r"Cannot read .*00000001\.json: Permission"):
        manifest.load(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"relabelled": True},
        {"records": 3},
        {"records": "003"},
        {"records": "3.0"},
        {"indexPath": "other.parquet"},
        {"of_later": [1]},
        {"bytes": None},
    ],
)
def test_shards_are_read_as_json_format_reads_them(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    plain = json.loads(path.read_text())
    plain["splits"][0]["shards"][0].update(fields)
    path.write_text(json.dumps(plain))
    try:
        wanted = json_format.ParseDict(plain, Manifest(), ignore_unknown_fields=True)
    except json_format.ParseError:  # "3.0", in protobuf 4.25
        with pytest.raises(errors.ManifestError):
            manifest.load(tmp_path)
    else:
        assert manifest.load(tmp_path) == wanted


@pytest.mark.parametrize(
    "shards",
    ["x", [3], [{"records": "x"}], [{"records": "²"}], [{"path": 3}], {"path": "x"}],
)
def test_shards_that_are_none_are_told_of(tmp_path: Path, shards: object) -> None:
    path = Path(manifest.commit(tmp_path, _manifest()))
    plain = json.loads(path.read_text())
    if isinstance(shards, list) and isinstance(shards[0], dict):
        plain["splits"][0]["shards"][0].update(shards[0])
    else:
        plain["splits"][0]["shards"] = shards
    path.write_text(json.dumps(plain))
    with pytest.raises(errors.ManifestError, match=r"00000001\.json is damaged"):
        manifest.load(tmp_path)

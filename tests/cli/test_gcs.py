"""Tests of `tfstream info`, `cat` and `verify` on gs://; what they show is tested with each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny_dataset
from emulator import Bucket
from tiny_dataset import Tiny

from tfstream.storage import retry


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def tiny(tmp_path: Path, bucket: Bucket) -> Tiny:
    made = tiny_dataset.tiny(tmp_path / "data")
    bucket.upload(made.root)
    return made


def _name(tiny: Tiny, path: Path) -> str:
    return path.relative_to(tiny.root).as_posix()


@pytest.mark.parametrize("version", [[], ["--version", 1]])
def test_info_shows_what_it_shows_of_a_local_one(
    tfstream, tiny: Tiny, bucket: Bucket, version: list[object]
) -> None:
    local = json.loads(tfstream("info", tiny.root, "--json").out)
    result = tfstream("info", bucket.uri, "--json", *version)
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out) == {**local, "path": bucket.uri}
    assert len(bucket.proxy.log) == 2
    assert tfstream("info", f"{bucket.uri}/").out.startswith(bucket.uri)


def test_cat_prints_what_it_prints_of_a_local_one(tfstream, tiny: Tiny, bucket: Bucket) -> None:
    local = json.loads(tfstream("cat", tiny.root, "train/5").out)
    bucket.proxy.inject(0.3, ("503", "reset", "truncate"), match="", seed=5)
    result = tfstream("cat", bucket.uri, "train/5")
    shard = f"{bucket.uri}/{_name(tiny, Path(local['shard']))}"
    assert json.loads(result.out) == {**local, "shard": shard}
    bucket.proxy.calm()
    result = tfstream("cat", bucket.uri, "train/55")
    assert result.status == 1
    assert f"None of the 10 records of {bucket.uri} has the key 'train/55'" in result.err


def test_cat_names_a_corrupt_record_by_its_uri(tfstream, tiny: Tiny, bucket: Bucket) -> None:
    bucket.put(_name(tiny, tiny.shard()), tiny.shard().read_bytes()[:-1])
    result = tfstream("cat", bucket.uri, "train/3")
    assert result.status == 1
    assert f" of {bucket.uri}/shards/train-ab-00000.tfrecord (key 'train/3')" in result.err


def test_verify_finds_what_it_finds_in_a_local_one(tfstream, tiny: Tiny, bucket: Bucket) -> None:
    assert tfstream("verify", bucket.uri).out.endswith(": all is well\n")
    data = bytearray(tiny.shard().read_bytes())
    data[40] ^= 1
    tiny.shard().write_bytes(data)
    bucket.put(_name(tiny, tiny.shard()), bytes(data))
    for path in (tiny.shard(1), tiny.index(0, "val")):
        path.unlink()
        bucket.delete(_name(tiny, path))
    local = json.loads(tfstream("verify", tiny.root, "--json").out)["problems"]
    assert len(local) == 3
    bucket.proxy.inject(0.3, ("503", "reset", "truncate"), match="", seed=1)
    result = tfstream("verify", bucket.uri, "--json")
    assert result.status == 1
    found = json.loads(result.out)["problems"]
    for problem in local:
        problem["path"] = problem["path"].replace(str(tiny.root), bucket.uri)
    assert found == local


def test_verify_reads_a_large_shard_in_pieces(tfstream, tmp_path: Path, bucket: Bucket) -> None:
    image = tiny_dataset.image("train/0", 1)
    image.encoded = os.urandom(20_000_000)
    tiny_dataset.write_dataset(tmp_path / "data", {"train": [[image]]})
    bucket.upload(tmp_path / "data")
    bucket.proxy.inject(0.5, ("truncate",), seed=1)
    assert tfstream("verify", bucket.uri).out.endswith(": all is well\n")
    ranges = [each.range for each in bucket.proxy.log if each.range]
    sizes = [1 - int(r[6:].split("-")[0]) + int(r[6:].split("-")[1]) for r in ranges]
    assert max(sizes) <= 8 << 20
    # What came of a request that broke off is not asked for again.
    assert bucket.proxy.stats()["bytes"] < 20_100_000


@pytest.mark.parametrize("verb", ["info", "verify", "cat"])
@pytest.mark.parametrize(
    ("uri", "status", "message"),
    [
        ("gs://", 2, "'gs://' names no bucket: write gs://bucket"),
        ("gs:/bucket/x", 2, "needs two slashes"),
        ("gs://Bucket_/x", 2, "no valid bucket name: 'Bucket_'"),
        ("gs://no-such-bucket/x", 2, "The bucket gs://no-such-bucket does not exist"),
        ("{bucket}", 2, "There is no dataset at {bucket}: {bucket}/manifests holds no manifest"),
        ("file:///tmp/x", 2, "plain path"),
    ],
)
def test_a_uri_that_is_no_dataset_gets_one_clear_line(
    tfstream, bucket: Bucket, verb: str, uri: str, status: int, message: str
) -> None:
    key = ["key"] if verb == "cat" else []
    result = tfstream(verb, uri.format(bucket=bucket.uri), *key)
    assert result.status == status
    assert result.err.startswith("error: ")
    assert message.format(bucket=bucket.uri) in result.err
    assert (result.out, result.err.count("\n")) == ("", 1)


def test_a_dataset_may_be_the_whole_bucket(tfstream, tiny: Tiny, bucket: Bucket) -> None:
    result = tfstream("info", f"gs://{bucket.name}")
    assert result.status == 2
    assert f"There is no dataset at gs://{bucket.name}: " in result.err


def test_no_permission_is_told_with_the_role(tfstream, tiny: Tiny, bucket: Bucket) -> None:
    for verb in ("info", "verify"):
        bucket.proxy.script("403")
        result = tfstream(verb, bucket.uri)
        assert result.status == 1
        assert f"{bucket.uri}/manifests/ may not be read by" in result.err
        assert f"roles/storage.objectViewer on the bucket gs://{bucket.name}" in result.err
    # Amid verifying, too: it is nothing that is wrong with the dataset.
    bucket.proxy.script("403", count=99, match=r"\.parquet")
    result = tfstream("verify", bucket.uri)
    assert (result.status, result.out) == (1, "")
    assert "roles/storage.objectViewer" in result.err


def test_a_version_can_be_read_where_listing_is_not_allowed(
    tfstream, tiny: Tiny, bucket: Bucket
) -> None:
    bucket.proxy.script("403", count=99, match=r"/o\?")
    assert tfstream("verify", bucket.uri, "--version", 1).status == 0


def test_the_project_that_pays_is_passed_on(tfstream, tiny: Tiny, bucket: Bucket) -> None:
    for verb in (["info"], ["verify"], ["cat"]):
        key = ["train/0"] if verb == ["cat"] else []
        assert tfstream(*verb, bucket.uri, *key, "--project", "payer").status == 0
    assert [each.path for each in bucket.proxy.log if "userProject=payer" not in each.path] == []

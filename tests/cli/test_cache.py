"""Tests of tfstream/cli/cache.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cached
import pytest
import trees
from cached import SIZE, fill

import tfstream as package
from tfstream.cache import PageCache
from tfstream.storage.directory import ObjectInfo


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A cache with two objects of one dataset, the first a day old, and one of another."""
    cache = PageCache(tmp_path / "cache")
    fill(cached.cached(cache, 0), 0)
    then = time.time() - 86400
    os.utime(cached.cached(cache, 0)._path, (then, then))
    fill(cached.cached(cache, 1), 1, 0, 4096)
    other = ObjectInfo("a\x1b[31m\n.tfrecord", 4000, "9")
    cache.object(f"gs://other/d/{other.name}", other).store(0, memoryview(bytes(4000)))
    cache.close()
    return tmp_path / "cache"


@pytest.fixture
def holder(place: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that uses object 0."""
    command = [sys.executable, cached.__file__, "hold", str(place), str(1 << 30), "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=-1, stdout=subprocess.PIPE, text=True, env=environment
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ls_lists_datasets(tfstream, place: Path) -> None:
    result = tfstream("cache", "ls", "--cache-dir", place)
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[1][:5] == ["gs://bucket/det", "2", "2.5", "MB", "1.2"]
    assert lines[2][:4] == ["gs://other/d", "1", "4.0", "kB"]
    told = json.loads(tfstream("cache", "ls", "--cache-dir", place, "--json").out)
    assert told["datasets"][0]["cached"] == SIZE + 4096
    assert told["datasets"][0]["size"] == 2 * SIZE


def test_ls_lists_the_objects_of_a_dataset(tfstream, place: Path) -> None:
    result = tfstream("cache", "ls", "gs://bucket/det/", "--cache-dir", place)
    rows = result.out.splitlines()
    assert " ".join(rows[1].split()) == "shards/0.tfrecord 1 1.2 MB 1.2 MB 100 % 24 h ago"
    assert rows[2].startswith("shards/1.tfrecord")
    told = json.loads(
        tfstream("cache", "ls", "gs://bucket/det", f"--cache-dir={place}", "--json").out
    )
    assert [each["cached"] for each in told["objects"]] == [SIZE, 4096]
    assert (
        "nothing of gs://none is cached"
        in tfstream("cache", "ls", "gs://none", f"--cache-dir={place}").out
    )


def test_names_cannot_harm_a_terminal(tfstream, place: Path) -> None:
    result = tfstream("cache", "ls", "gs://other/d", "--cache-dir", place)
    assert "a\\x1b[31m\\n.tfrecord" in result.out
    assert "\x1b" not in result.out


def test_stat_tells_how_running_streams_fare(tfstream, place: Path, holder) -> None:
    assert "no process is using it now" in tfstream("cache", "stat", "--cache-dir", place).out
    process = holder()
    result = tfstream("cache", "stat", "--cache-dir", place)
    assert result.out.startswith(f"{place}: 3 objects of 2 datasets, 1.2 MB in 1.")
    row = " ".join(result.out.splitlines()[2].split())
    assert row.startswith(f"{process.pid} cached.py 1.1 GB 75.0 % 1.0 kB ")
    told = json.loads(tfstream("cache", "stat", "--cache-dir", place, "--json").out)
    assert told["streams"][0]["hit_rate"] == 0.75
    assert told["cached"] == SIZE + 4096 + 4000
    process.kill()
    process.wait(20)
    assert "no process is using it now" in tfstream("cache", "stat", "--cache-dir", place).out


def test_clear_leaves_what_is_in_use(tfstream, place: Path, holder) -> None:
    process = holder()
    result = tfstream("cache", "clear", "--all", "--cache-dir", place)
    assert result.status == 0
    assert result.out.startswith("removed 2 objects, ")
    assert result.out.endswith("; 1 object in use left\n")
    assert process.communicate("\n", timeout=120)[0] == "done\n"
    assert tfstream("cache", "clear", "--all", "--cache-dir", place).out.startswith("removed 1 obj")
    assert cached.disk_use(place) == 0


def test_clear_removes_one_dataset_or_what_is_old(tfstream, place: Path) -> None:
    def left() -> int:
        return len(list((place / "objects").iterdir()))

    where = ("--cache-dir", place)
    assert tfstream("cache", "clear", "--older-than", "2d", *where).out.startswith("removed 0")
    told = tfstream("cache", "clear", "--older-than", "23h", "--dataset", "gs://other/d", *where)
    assert told.out.startswith("removed 0 objects")
    assert tfstream("cache", "clear", "--older-than", "23h", *where).out.startswith("removed 1 ob")
    assert left() == 2
    told = tfstream("cache", "clear", "--dataset", "gs://bucket/det/", "--json", *where)
    assert json.loads(told.out)["objects"] == 1
    assert left() == 1


def test_clear_wants_to_be_told_what(tfstream, place: Path) -> None:
    for wrong in ([], ["--all", "--older-than", "1d"]):
        result = tfstream("cache", "clear", "--cache-dir", place, *wrong)
        assert result.status == 2
        assert result.err.startswith("error: Say what to clear")
    for age in ("", "7", "d", "-1d", "1y", "1e3d"):
        result = tfstream("cache", "clear", "--older-than", age, "--cache-dir", place)
        assert result.status == 2
        assert f"--older-than={age!r} is not an age" in result.err


def test_where_there_is_no_cache_it_says_so_and_makes_none(
    tfstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb in ("ls", "stat", "clear --all"):
        result = tfstream("cache", *verb.split(), "--cache-dir", tmp_path / "typo")
        assert result.status == 2
        assert f"There is no page cache in {tmp_path / 'typo'}" in result.err
    assert not (tmp_path / "typo").exists()
    (tmp_path / "file").write_bytes(b"")
    result = tfstream("cache", "ls", "--cache-dir", tmp_path / "file")
    assert result.status == 1
    assert "is a file" in result.err


def test_the_directory_is_found_in_the_environment(
    tfstream, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFSTREAM_CACHE", str(place))
    assert "gs://bucket/det" in tfstream("cache", "ls").out
    monkeypatch.delenv("TFSTREAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert f"no page cache in {tmp_path / 'tfstream'}:" in tfstream("cache", "ls").err
    place.rename(tmp_path / "tfstream")
    assert "gs://bucket/det" in tfstream("cache", "ls").out
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert str(tmp_path / "home" / ".cache" / "tfstream") in tfstream("cache", "ls").err


def test_a_files_nonsense_is_left_out(tfstream, place: Path) -> None:
    (place / "objects" / f"{'0' * 32}-{'1' * 16}.pages").write_bytes(b"nonsense")
    (place / "streams" / "1-00000000.json").write_text("nonsense")
    told = json.loads(tfstream("cache", "stat", "--cache-dir", place, "--json").out)
    assert (told["objects"], told["datasets"], told["streams"]) == (4, 2, [])
    assert len(tfstream("cache", "ls", "--cache-dir", place).out.splitlines()) == 3


def test_the_verbs_have_help_with_an_example(tfstream) -> None:
    for verb in ("ls", "stat", "clear", "prefetch"):
        result = tfstream("cache", verb, "--help")
        assert result.status == 0
        assert f"\n      tfstream cache {verb}" in result.out


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prefetch")
    trees.make_ilsvrc_tree(root / "tree", train=20, val=4)
    package.pack(root / "tree", root / "packed", shard_bytes=40_000, progress=False)
    return root / "packed"


def test_prefetch_fills_the_cache_so_that_nothing_is_fetched_later(
    tfstream, bucket, packed: Path, tmp_path: Path
) -> None:
    bucket.upload(packed)
    result = tfstream("cache", "prefetch", bucket.uri, "--split", "train", "--cache-dir", tmp_path)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"20 records in {tmp_path}, in ")
    told = json.loads(tfstream("cache", "ls", "--cache-dir", tmp_path, "--json").out)
    assert [each["uri"] for each in told["datasets"]] == [bucket.uri]
    data = package.open(bucket.uri, cache_dir=tmp_path).split("train")
    ds = data.stream(image=package.RAW, elements="dict", batch_size=4)
    assert sum(len(each["key"]) for each in ds.as_numpy_iterator()) == 20
    assert ds.stats()["cache_hits"] == 20
    result = tfstream("cache", "prefetch", bucket.uri, "--cache-dir", tmp_path)
    assert result.out.startswith("24 records")


def test_prefetch_says_what_cannot_be_done(tfstream, bucket, packed: Path, tmp_path: Path) -> None:
    bucket.upload(packed)
    where = ("--cache-dir", tmp_path)
    for wrong, words in (
        (["--cache-limit", "1kB"], "raise cache_limit, or choose fewer records"),
        (["--cache-limit", "much"], "--cache-limit='much' is not a size"),
        (["--split", "dev"], "dev"),
        (["--version", "9"], "9"),
    ):
        result = tfstream("cache", "prefetch", bucket.uri, *wrong, *where)
        assert result.status == 2
        assert words in result.err
        assert result.err.count("\n") == 1
    result = tfstream("cache", "prefetch", packed, *where)
    assert result.status == 2
    assert "is on local disk: there is no cache to fill" in result.err


def test_prefetch_says_when_not_all_could_be_kept(
    tfstream, bucket, packed: Path, tmp_path: Path
) -> None:
    bucket.upload(packed)
    limit = SIZE + 24 * 1024
    cache = PageCache(tmp_path, limit)
    with cached.cached(cache, 0).use():
        assert fill(cached.cached(cache, 0), 0)
        where = ("--cache-dir", tmp_path, "--cache-limit", limit)
        result = tfstream("cache", "prefetch", bucket.uri, *where)
    assert result.status == 1
    assert result.err.startswith(f"error: The cache {tmp_path} could not keep all that was fetched")
    time.sleep(1.1)  # it does not try again at once
    assert tfstream("cache", "prefetch", bucket.uri, *where).status == 0

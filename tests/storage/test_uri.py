"""Tests of tfstream/storage/uri.py: what a path means, and where it must be a local one."""

from __future__ import annotations

from pathlib import Path

import pytest
import trees

import tfstream
from tfstream import errors
from tfstream.cache.directory import place
from tfstream.indexing.labels import from_file
from tfstream.packing.packer import pack
from tfstream.storage.uri import open_directory, require_local


@pytest.mark.parametrize("path", ["gs://bucket/a", Path("gs://bucket/a"), "s3://bucket/a"])
def test_a_uri_is_no_local_path(path):
    with pytest.raises(errors.InvalidArgumentError, match=r"and (gs|s3)://bucket/a is not: go$"):
        require_local(path, "it", "go")


@pytest.mark.parametrize("path", ["a/b", "/a/gs:/b", "C:/a", "gs", "", "a:b/c"])
def test_other_paths_are(path):
    require_local(path, "it", "go")


def test_what_is_on_local_disk_alone_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = trees.make_voc_tree(tmp_path / "voc")
    for what, options in {
        "a label file": {"labels": Path("gs://b/l.txt")},
        "a file of metadata": {"metadata": Path("gs://b/m.csv")},
    }.items():
        with pytest.raises(errors.InvalidArgumentError, match=f"^{what} is on local disk, and gs:"):
            pack(tree, tmp_path / "packed", progress=False, processes=1, **options)
    with pytest.raises(errors.InvalidArgumentError, match=r"gs://b/tree is not: download it first"):
        pack("gs://b/tree", tmp_path / "packed", progress=False)
    with pytest.raises(errors.InvalidArgumentError, match="^a label file is on local disk"):
        from_file("gs://b/map.pbtxt")
    data = tfstream.pack(tree, tmp_path / "packed", progress=False, processes=1)
    with pytest.raises(
        errors.InvalidArgumentError, match="^an export is on local disk, and gs://b"
    ):
        data.export("gs://b/out", format="voc")
    with pytest.raises(errors.InvalidArgumentError, match="^a page cache is on local disk"):
        place("gs://b/cache")
    assert not list(tmp_path.glob("*:*"))


@pytest.mark.parametrize("uri", ["gcs://bucket/a", "GS://bucket/a"])
def test_other_spellings_of_the_scheme_are_told_of(uri):
    with pytest.raises(errors.InvalidArgumentError, match="Google Cloud Storage is gs://bucket"):
        open_directory(uri)

"""TFRecord files on gs://, indexed where they are."""

from __future__ import annotations

from pathlib import Path

import foreign_records
import pytest
import scenes
from emulator import Bucket

import tfstream
from tfstream import errors
from tfstream.format.verify import verify

IMAGES = [scenes.image(scene, "left") for scene in range(1, 7)]


def test_a_bucket_becomes_a_dataset_with_the_samples_of_the_same_files_on_disk(
    bucket: Bucket, tmp_path: Path
) -> None:
    local = foreign_records.write_tfds(tmp_path / "there", IMAGES)
    bucket.upload(local)
    before = set(bucket.names())
    remote = tfstream.index(bucket.uri, progress=False)
    made = set(bucket.names()) - before
    assert {name.split("/")[0] for name in made} == {"shards", "manifests"}
    here = tfstream.index(local, progress=False)
    assert [record["key"] for record in remote] == [record["key"] for record in here]
    options = {"batch_size": 3, "image": tfstream.RAW, "label": "index", "elements": "dict"}
    pairs = zip(
        remote.stream(**options, shuffle=False), here.stream(**options, shuffle=False), strict=True
    )
    for one, other in pairs:
        for name in ("key", "image", "label"):
            assert one[name].numpy().tolist() == other[name].numpy().tolist()
    assert verify(bucket.uri, processes=1) == []


def test_files_outside_of_a_remote_dataset_are_refused(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="is not below gs://"):
        tfstream.index("gs://another/x-*", into=bucket.uri, progress=False)
    with pytest.raises(errors.InvalidArgumentError, match="is not on local disk"):
        tfstream.index(f"{bucket.uri}/x-*", into=tmp_path, progress=False)

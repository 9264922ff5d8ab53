"""Tests of tfstream/adapters/diffgram.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numbered
import numpy as np
import pytest
from emulator import Bucket

import tfstream
from tfstream.errors import DatasetNotFoundError, InvalidArgumentError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("diffgram")
    numbered.write(root / "my dir", train=12)
    numbered.write(root / "2024" / "street scenes", train=3)
    (root / "2024" / "notes").mkdir()
    (root / "loop").symlink_to(root, target_is_directory=True)
    numbered.write(root.parent / f"{root.name} outside", train=2)
    return root


def test_a_dataset_is_found_by_its_name(root: Path) -> None:
    data = tfstream.directory(root).get("my dir")
    assert (len(data), data[0]["key"]) == (12, "train/0000")
    assert len(tfstream.directory(str(root)).get("2024/street scenes")) == 3


def test_what_is_found_is_sliced_and_streamed(root: Path) -> None:
    data = tfstream.directory(root).get("my dir", version=1)
    chosen = data.slice("labels.cat > 0 and labels.dog = 0")
    assert [record["metadata"]["number"] for record in chosen] == [1, 5, 9]
    spec = tfstream.ImageSpec(size=(8, 8))
    stream = chosen.to_tensorflow(batch_size=2, image=spec, shuffle=False)
    batches = [images.numpy() for images, _ in stream]
    assert [batch.shape for batch in batches] == [(2, 8, 8, 3), (1, 8, 8, 3)]
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0, 0, 0], [1, 5, 9])


def test_iterating_gives_the_names(root: Path) -> None:
    assert list(tfstream.directory(root)) == ["2024/street scenes", "my dir"]
    assert list(tfstream.directory(root / "2024")) == ["street scenes"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("my dirr", r"has no dataset 'my dirr': did you mean 'my dir'\?"),
        ("2024", "has no dataset '2024'"),
        ("what is this", "there are '2024/street scenes', "),
    ],
)
def test_another_name_is_answered_with_what_there_is(root: Path, name: str, why: str) -> None:
    with pytest.raises(DatasetNotFoundError, match=why):
        tfstream.directory(root).get(name)


def test_where_there_is_nothing_it_is_said(tmp_path: Path) -> None:
    assert list(tfstream.directory(tmp_path / "gone")) == []
    with pytest.raises(DatasetNotFoundError, match="there is no dataset in it"):
        tfstream.directory(tmp_path).get("a")


@pytest.mark.parametrize(
    "name", ["../{} outside", "my dir/../../{} outside", "/tmp", "", ".", "a\0"]
)
def test_names_that_lead_elsewhere_are_refused(root: Path, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no name of a dataset in"):
        tfstream.directory(root).get(name.format(root.name))


def test_a_bucket_is_a_directory_too(bucket: Bucket, tmp_path: Path) -> None:
    numbered.write(tmp_path / "up" / "sets" / "my dir", train=3)
    bucket.upload(tmp_path / "up")
    found = tfstream.directory(bucket.uri)
    assert list(found) == ["sets/my dir"]
    assert found.get("sets/my dir")[2]["key"] == "train/0002"
    with pytest.raises(DatasetNotFoundError, match=r"did you mean 'sets/my dir'\?"):
        found.get("sets/my")


def test_tensorflow_is_left_alone(root: Path) -> None:
    program = (
        "import sys, tfstream\n"
        f"assert tfstream.directory({str(root)!r}).get('my dir')[0]['image'].ndim == 3\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

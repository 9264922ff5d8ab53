"""Tests of tfstream/format/label_map.py."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfstream import errors
from tfstream.format.label_map import LabelMap


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_background_is_the_last_class() -> None:
    labels = LabelMap.from_names(["cat", "dog"])
    assert labels.id == {"cat": 0, "dog": 1}
    assert labels.background == 2
    assert labels.classes == 3


def test_without_background_there_is_no_class_more() -> None:
    labels = LabelMap.from_names(["cat", "dog"], background=False)
    assert labels.background is None
    assert labels.classes == 2


@given(
    st.lists(st.tuples(st.text(min_size=1), st.text()), unique_by=lambda pair: pair[0]),
    st.booleans(),
)
def test_a_map_survives_the_manifest(pairs: list[tuple[str, str]], background: bool) -> None:
    labels = LabelMap(
        names=tuple(name for name, _ in pairs),
        titles=tuple(title for _, title in pairs),
        has_background=background,
    )
    assert LabelMap.from_proto(labels.to_proto()) == labels
    labels.id.get("used", None)
    assert pickle.loads(pickle.dumps(labels)) == labels


def test_an_unknown_label_is_answered_with_the_nearest() -> None:
    labels = LabelMap.from_names(["accordion", "airplane", "ant"])
    assert labels.index("ant") == 2
    with pytest.raises(
        errors.UnknownLabelError, match=r"'acordion'.*3 labels.*'accordion'"
    ) as caught:
        labels.index("acordion")
    assert isinstance(caught.value, (KeyError, ValueError))
    with pytest.raises(errors.UnknownLabelError, match=r"Nothing comes near"):
        labels.index("zzzz")


def test_empty_and_repeated_names_are_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError, match=r"Label 1 .* empty"):
        LabelMap.from_names(["cat", ""])
    with pytest.raises(errors.InvalidArgumentError, match=r"'cat' .* at 0 and 2"):
        LabelMap.from_names(["cat", "dog", "cat"])
    with pytest.raises(errors.InvalidArgumentError, match=r"1 titles for 2 names"):
        LabelMap(names=("cat", "dog"), titles=("Cat",))


def test_a_plain_file_gives_its_lines_in_order(tmp_path: Path) -> None:
    path = _write(tmp_path / "labels.txt", "\ufefftraffic light\r\ncat\n3 wheeler\n")
    labels = LabelMap.from_file(path)
    assert labels.names == ("traffic light", "cat", "3 wheeler")
    assert labels.titles == ("", "", "")


def test_kaggles_synset_mapping_gives_names_and_titles(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn9\n")
    labels = LabelMap.from_file(path, background=False)
    assert labels.names == ("n01440764", "n01443537", "n9")
    assert labels.titles == ("tench, Tinca tinca", "goldfish", "")
    assert not labels.has_background


def test_the_devkits_numbers_give_the_order(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.txt", "n02691156 2 airplane\nn02672831 1 accordion\n")
    labels = LabelMap.from_file(path)
    assert labels.names == ("n02672831", "n02691156")
    assert labels.titles == ("accordion", "airplane")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\n\ndog\n", ":2: the line is blank"),
        ("", ":1: the line is blank"),
        ("cat\ndog\n cat \n", ":3: label 'cat' is on line 1 already"),
        ("n02691156 tench\nn02691156 goldfish\n", ":2: label 'n02691156' is on line 1"),
        ("n02691156 1 airplane\nn02672831 1 accordion\n", ":2: number 1 is on line 1"),
        ("n02691156 1 airplane\nn02691156 2 accordion\n", ":2: label 'n02691156' is on line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path / "labels.txt", text)
    with pytest.raises(errors.InvalidArgumentError) as caught:
        LabelMap.from_file(path)
    assert f"{path}{message}" in str(caught.value)


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.bin").write_bytes(b"cat\n\xff\xfe")
    with pytest.raises(
        errors.InvalidArgumentError, match=r"labels\.bin is not a text file.*byte 4"
    ):
        LabelMap.from_file(tmp_path / "labels.bin")
    with pytest.raises(errors.DatasetNotFoundError, match=r"no label file at .*nowhere"):
        LabelMap.from_file(tmp_path / "nowhere")
    with pytest.raises(errors.StorageError, match=r"Cannot read"):
        LabelMap.from_file(tmp_path)

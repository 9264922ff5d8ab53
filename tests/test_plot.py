"""Tests of tfstream/plot.py; how the pictures look was judged by eye."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numbered
import numpy as np
import PIL.Image
import pytest

import tfstream
from tfstream.errors import DatasetExistsError, InvalidArgumentError
from tfstream.plot import Facts, facts_of, plot

pytest.importorskip("matplotlib")


def facts(records: int, labels: int) -> Facts:
    random = np.random.default_rng(1)
    boxes = random.integers(0, 60, records).astype(np.int32)
    counts = random.multinomial(int(boxes.sum()), [1 / labels] * labels) if labels else []
    return Facts(
        records,
        Counter({f"$label$ {n} " + "long " * (n % 9): int(c) for n, c in enumerate(counts)}),
        int((boxes == 0).sum()),
        random.integers(1, 2000, records).astype(np.int32),
        random.integers(1, 2000, records).astype(np.int32),
        boxes,
    )


@pytest.mark.parametrize(("records", "labels"), [(0, 0), (40, 3), (9999, 1000)])
def test_any_dataset_can_be_drawn(tmp_path: Path, records: int, labels: int) -> None:
    plot(facts(records, labels), tmp_path / "a.png", title="what $ever$")
    with PIL.Image.open(tmp_path / "a.png") as picture:
        width, height = picture.size
        pixels = np.asarray(picture.convert("RGB"))
    assert 1400 <= width <= 1700
    assert 400 <= height <= 900
    # Nothing sticks out: the outermost pixels are white.
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    assert all((edge == 255).all() for edge in edges)
    assert (pixels != 255).any()


def test_what_is_counted_is_what_the_indexes_say(tmp_path: Path) -> None:
    data = tfstream.open(numbered.write(tmp_path / "packed", train=40))
    table = data.metadata
    found = facts_of([table[:7], table[7:8], table[8:8], table[8:]])
    assert found.objects == Counter(cat=20, dog=20)
    assert (found.records, found.background) == (40, 10)
    assert found.boxes.tolist() == table["objects"].to_pylist()
    assert set(found.widths.tolist()) == {8}
    assert facts_of([]).records == 0


def test_equal_facts_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.svg"):
        plot(facts(50, 5), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("precious")
    with pytest.raises(DatasetExistsError, match="exists already"):
        plot(facts(1, 1), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "precious"


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"extension '\.bmp'.*\.png, \.svg, \.pdf"):
        plot(facts(1, 1), tmp_path / "a.bmp")


def test_without_matplotlib_the_way_to_get_it_is_told(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from tfstream import plot, errors\n"
        "try:\n"
        f"    plot.check({str(tmp_path / 'a.png')!r})\n"
        "except errors.InvalidArgumentError as error:\n"
        "    assert \"pip install 'tfstream[plot]'\" in str(error)\n"
        "    print('told')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "told\n", done.stderr

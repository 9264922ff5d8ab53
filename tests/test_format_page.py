"""What docs/format.md says is enough to read a dataset, and what it lists is all there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trees

import tfstream
from tfstream.format import example, index, shapes, tensors

PAGE = (Path(__file__).parents[1] / "docs" / "format.md").read_text()


def test_its_program_reads_the_records_that_tfstream_reads(tmp_path, monkeypatch):
    trees.make_ilsvrc_tree(tmp_path / "tree", train=12, val=3)
    data = tfstream.pack(tmp_path / "tree", tmp_path / "packed", shard_bytes=5000, progress=False)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)
    found = [row["key"] for row, _ in names["records"]("packed", "train")]
    assert len(found) == 12
    assert found == data.split("train").metadata["key"].to_pylist()


def _features() -> set[str]:
    """Every feature that the code knows of."""
    found: set[str] = set()
    for module in (example, shapes, tensors):
        for name in filter(str.isupper, module.__all__):
            value = getattr(module, name)
            parts = value if isinstance(value, tuple) else (value,)
            found.update(each for each in parts if isinstance(each, str) and "/" in each)
    return found


def _named(section: str) -> set[str]:
    """What the first cells of a table name; "…/y" has the directory of the one before it."""
    text = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
    found = set()
    for cell in re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE):
        directory = ""
        for name in re.findall(r"`(.+?)`", cell):
            whole = name.replace("…", directory)
            directory = whole.rpartition("/")[0]
            found.add(whole)
    return found


def test_each_feature_of_a_record_is_listed():
    assert _named("Record") == _features()


def test_each_column_of_an_index_is_listed(tmp_path):
    assert _named("Index") == set(index.COLUMNS)


@pytest.mark.parametrize(
    ("column", "kind"), re.findall(r"^\| `(\w+)` \| ([^|]+?)(?:, as.*?)? \|", PAGE, re.MULTILINE)
)
def test_columns_have_the_types_that_it_says(column, kind):
    field = index.schema({}).field(column).type
    assert kind in (str(field), str(getattr(field, "value_type", "")))

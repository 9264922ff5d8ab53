"""What docs/versions.md shows runs as it stands, from its top to its end."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import trees
import typer.testing

from tfstream.cli.app import app
from tfstream.packing import packer

GUIDE = Path(__file__).parents[2] / "docs" / "versions.md"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset that the guide speaks of, and what is added to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFSTREAM_AUTHOR", "ann")
    for name, prefix in (("DAY", "d"), ("NIGHT", "n"), ("MORE", "m")):
        for number in range(4):
            size = (20, 20) if number == 3 else (48, 36)
            stem = f"{prefix}_{number:05d}"
            trees.put(
                tmp_path / name / "Annotations/DET/train" / f"{stem}.xml",
                trees.annotation(trees.things(number, *size), size=size, name=stem),
            )
            picture = trees.encoded(trees.picture(number + ord(prefix), *size))
            trees.put(tmp_path / name / "Data/DET/train" / f"{stem}.JPEG", picture)
    trees.put(tmp_path / "scenes.csv", "key,scene\ntrain/n_00000,harbour\ntrain/d_00000,\n")
    packer.pack("DAY", "packed", progress=False)


@pytest.mark.usefixtures("packed")
def test_the_blocks_of_the_guide_run_one_after_the_other(tmp_path: Path) -> None:
    names: dict[str, object] = {"__name__": "guide"}
    text = GUIDE.read_text()
    for block in BLOCK.finditer(text):
        language, lines = block.groups()
        if language == "python":
            exec(compile("\n" * text[: block.start(2)].count("\n") + lines, GUIDE, "exec"), names)
            continue
        for line in lines.splitlines():
            if "relabel" in line:  # else there would be nothing to change
                trees.put(tmp_path / "scenes.csv", "file,scene\ntrain/m_00002.JPEG,quay\n")
            result = typer.testing.CliRunner().invoke(app, shlex.split(line)[1:])
            assert result.exit_code == 0, (line, result.output, result.exception)
    assert [info.operation for info in names["history"]][4:] == [
        "append",
        "remove",
        "relabel",
        "rollback",
    ]
    assert len(names["data"]) == 6
    assert (names["difference"].added, names["difference"].removed) == (3, 1)

"""What the guides in docs/ show runs, and the messages that they explain are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trees

import tfstream

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("guides")
    trees.make_ilsvrc_tree(root / "ILSVRC", train=40, val=8)
    tfstream.pack(root / "ILSVRC", root / "packed", progress=False)
    return root


@pytest.mark.parametrize("page", ["index.md", "migrating.md"])
def test_the_blocks_of_a_page_run_one_after_the_other(page, place, monkeypatch):
    monkeypatch.chdir(place)
    text = (ROOT / "docs" / page).read_text()
    names = {"__name__": page}
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], page, "exec"), names)
    assert len(blocks) >= 1


@pytest.mark.parametrize(
    "message",
    re.findall(r"^\| `(.+?)` \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE),
)
def test_each_message_that_is_explained_is_one_of_the_code(message):
    package = Path(tfstream.__file__).parent
    sources = [*package.rglob("*.py"), ROOT / "setup.py", *ROOT.joinpath("native").rglob("*.cc")]
    text = " ".join(path.read_text() for path in sources)
    text = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)  # docstrings are no messages
    assert message in re.sub(r'"\s+f?"', "", text)  # strings that go on in the next line

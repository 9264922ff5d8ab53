"""What the guides in docs/ show runs, and the messages that they explain are those of the code."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from pathlib import Path

import pytest
import shown
import trees

import tfstream

ROOT = Path(__file__).parents[1]
PAGES = (
    "concepts.md",
    "faults.md",
    "index.md",
    "keras.md",
    "migrating.md",
    "mixing.md",
    "objects.md",
    "packing.md",
    "resume.md",
    "sessions.md",
    "start.md",
    "torch.md",
    "tuning.md",
    "workers.md",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What all pages have in their directories."""
    root = tmp_path_factory.mktemp("guides")
    trees.make_ilsvrc_tree(root / "ILSVRC", train=40, val=8)
    tfstream.pack(root / "ILSVRC", root / "packed", progress=False)
    return root


@pytest.fixture
def directory(place, tmp_path, monkeypatch):
    """A page's own, as pages leave the same names behind."""
    for name in ("ILSVRC", "packed"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_one_after_the_other(page, directory):
    names = shown.run((ROOT / "docs" / page).read_text(), page)
    assert "tfstream" in names


def test_the_blocks_of_the_page_on_buckets_run(place, directory, bucket, monkeypatch):
    shutil.copytree(place / "packed", directory / "there/det")
    bucket.upload(directory / "there")
    monkeypatch.setenv("TFSTREAM_CACHE", str(directory / "home"))
    page = (ROOT / "docs/buckets.md").read_text().replace("gs://my-bucket", bucket.uri)
    names = shown.run(page, "buckets.md")
    assert names["told"]["bytes_fetched"] > 0
    assert len(tfstream.open(f"{bucket.uri}/mine")) == 48


def test_each_page_with_code_is_run():
    elsewhere = {"augmentation.md", "buckets.md", "format.md", "query.md", "versions.md"}
    pages = ROOT.joinpath("docs").glob("*.md")
    assert elsewhere | set(PAGES) == {
        page.name for page in pages if "\n```python\n" in page.read_text()
    }


def test_the_recipes_of_augmentation_run(directory):
    page = (ROOT / "docs/augmentation.md").read_text()
    own, others = page.split("\n## PyTorch\n")
    names = shown.run(own, "augmentation.md")
    assert names["batch"]["image"].shape == (8, 96, 96, 3)
    pytest.importorskip("albumentations", reason="albumentations is not installed")
    shown.run(others, "augmentation.md")


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


@pytest.mark.parametrize("name", [n for n in tfstream.__all__ if n not in ("keras", "versions")])
def test_each_name_of_the_package_is_on_the_page_of_the_api(name):
    listed = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference.md").read_text(), re.MULTILINE)
    documented = inspect.unwrap(getattr(tfstream, name))  # pack is made of what returns numbers
    assert any(_found(path) is documented for path in listed)


@pytest.mark.parametrize("module", ["keras", "versions"])
def test_each_function_of_its_modules_is_on_the_page_of_the_api(module):
    listed = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference.md").read_text(), re.MULTILINE)
    there = {path.rpartition(".")[2] for path in listed}
    names = getattr(tfstream, module).__all__
    assert there >= {name for name in names if module == "keras" or name[0].islower()}


def _found(path):
    """What an identifier of mkdocstrings names."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)

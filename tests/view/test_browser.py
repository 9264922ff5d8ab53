"""Tests of tfstream/view/static in headless Chromium: what somebody at the page does and sees.

They need Chromium (`apt-get install chromium`) and `pip install playwright`, or are skipped.
"""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scenes
import tiny_dataset

import tfstream
from tfstream import versions
from tfstream.view import serving
from tfstream.view.session import Session, Source

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVIL = '<img src=x onerror="document.title=1">'
PATIENCE = 30_000  # ms, on a machine that does much else


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    wrong: list[object] = []
    opened.on("pageerror", lambda error: wrong.append(error))
    yield opened
    context.close()
    assert wrong == []


def served(path: Path) -> str:
    """The address of the page of a dataset, served until the tests end."""
    addresses: queue.Queue[str] = queue.Queue()
    arguments = (Session(Source(str(path))), serving.listen("127.0.0.1", 0), "127.0.0.1")
    threading.Thread(
        target=serving.serve, args=(*arguments, addresses.put), name="view", daemon=True
    ).start()
    return addresses.get(timeout=PATIENCE / 1000)


def shows(page: Any, selector: str, text: str) -> None:
    """Waits until an element shows a text."""
    playwright.expect(page.locator(selector).first).to_contain_text(text, timeout=PATIENCE)


def test_somebody_asks_scrolls_opens_a_record_and_saves_a_slice(page: Any, own: Path) -> None:
    data = tfstream.open(own)
    page.goto(served(own))
    shows(page, "#count", f"{len(data)} records")
    page.wait_for_selector(".tile[data-state=shown]")
    assert "token" not in page.url
    # A mistake is shown under its place.
    page.fill("#query", "width > 3 and widht > 3")
    page.press("#query", "Enter")
    shows(page, "#mistake p", "There is no field 'widht'. Did you mean width?")
    assert page.text_content("#mistake pre") == "width > 3 and ^"
    # What is proposed is taken by Tab.
    page.fill("#query", "")
    page.type("#query", "labels.c")
    shows(page, "#suggestion-0", "labels.cat")  # not of fewer letters, for which others come first
    page.press("#query", "Tab")
    page.type("#query", " >= 1")
    page.press("#query", "Enter")
    cats = data.slice("labels.cat >= 1")
    shows(page, "#count", f"{len(cats)} of {len(data)}")
    # A bar adds its condition.
    page.click("#histograms button[data-condition='camera = \"top\"']")
    found = cats.slice('camera = "top"')
    shows(page, "#count", f"{len(found)} of")
    assert page.input_value("#query") == 'labels.cat >= 1 and camera = "top"'
    page.go_back()
    shows(page, "#count", f"{len(cats)} of")
    # The last record comes into view, and is opened.
    page.focus("#grid")
    page.keyboard.press("End")
    page.wait_for_selector(f".tile.chosen[data-place='{len(cats) - 1}'][data-state=shown]")
    page.keyboard.press("Enter")
    shows(page, "#record h2", cats[len(cats) - 1]["key"])
    shows(page, "#record .details", "shards/")
    page.keyboard.press("ArrowLeft")
    shows(page, "#record h2", cats[len(cats) - 2]["key"])
    page.keyboard.press("Escape")
    # The query is kept.
    page.click("#save")
    page.fill("input[name=name]", "cats")
    page.press("input[name=name]", "Enter")
    shows(page, "#panel .done", f"Kept {len(cats)} records of version 1 as cats.")
    assert len(tfstream.open(own, slice="cats")) == len(cats)
    page.keyboard.press("Escape")
    # A version that comes meanwhile is told of.
    versions.remove(own, "label:dog", message="no dogs")
    page.reload()
    shows(page, "#news", "There is a version 2 now; this is version 1, which stays as it is.")
    page.click("#news button")
    shows(page, "#version", "version 2")


def test_a_completion_replaces_all_that_was_typed_since_it_was_offered(
    page: Any, packed: Path
) -> None:
    page.goto(served(packed))
    page.fill("#query", "labels.")
    shows(page, "#suggestion-0", "labels.cat")
    page.route("**/api/complete?*", lambda route: None)  # the server takes its time
    page.type("#query", "ca")
    page.press("#query", "Tab")
    assert page.input_value("#query") == "labels.cat"


def test_what_is_in_a_dataset_is_never_markup(page: Any, tmp_path: Path) -> None:
    images = [scenes.image(4, "left"), scenes.image(5, "left")]
    images[0].key = f"train/{EVIL}"
    images[0].metadata["camera"].string_value = EVIL
    images[1].encoded = b"no picture"
    tiny_dataset.write_dataset(tmp_path / EVIL, {"train": [images]}, scenes.SCHEMA)
    page.goto(served(tmp_path / EVIL))
    shows(page, "#name", EVIL.split("/")[-1])
    shows(page, "#histograms", EVIL)
    # What does not decode is shown as such, with its key.
    shows(page, ".tile[data-state=broken]", images[1].key)
    page.click(".tile[data-place='0']")
    shows(page, "#record h2", images[0].key)
    shows(page, "#record .details", EVIL)
    page.click("#record details summary")
    page.keyboard.press("ArrowRight")
    shows(page, "#record .error", f"{images[1].key!r} cannot be decoded")
    assert page.title() != "1"
    assert page.locator("img[onerror]").count() == 0


def test_a_query_without_a_result_says_so_and_a_batch_is_shown(page: Any, packed: Path) -> None:
    page.goto(served(packed))
    page.wait_for_selector(".tile[data-state=shown]")
    page.fill("#query", "width > 9999")
    page.press("#query", "Enter")
    shows(page, "#empty", "selects nothing")
    page.click("#clear")
    page.wait_for_selector(".tile[data-state=shown]")
    page.click("#batch")
    playwright.expect(page.locator(".pictures img")).to_have_count(16, timeout=PATIENCE)
    shows(page, "#panel .code", "mode='random_crop', flip=True")

"""How long `tfstream view` lets one wait, measured in a browser.

    python benchmarks/view.py PACKED [--records 1000000] [--rounds 3] [--quick]

PACKED is any dataset made by `tfstream pack`: its first training shard lends the records of a
dataset of a million, as in ten_million.py. Needs Chromium (Debian's `chromium`) and
`pip install playwright`. Each round is a server and a browser of their own:

- up: from the command to the address that it prints.
- first page: from opening the address to the last picture of the first screen.
- query: from Enter to the number of records found, and to the last picture of the screen.
- histograms: until they follow.
- scrolling: ten seconds of the wheel; how long tiles that are seen stay without their picture.
- jumps: to ten places by the scrollbar, each to the last picture of the screen, and how long tiles
  that are seen stay without theirs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rounds
import ten_million

QUERY = "objects >= 2 and width > 250"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 30_000

# Watches, frame by frame, which tiles are seen without their picture, and for how long.
WATCH = """
() => {
  const since = new Map();
  window.blank = [];
  window.pending = () => {
    const box = document.querySelector("#grid").getBoundingClientRect();
    const seen = [...document.querySelectorAll(".tile")].filter((tile) => {
      const { top, bottom } = tile.getBoundingClientRect();
      return bottom > box.top && top < box.bottom;
    });
    const waiting = seen.filter((tile) => tile.dataset.state === "waiting");
    return seen.length ? waiting.map((tile) => tile.dataset.place) : ["none"];
  };
  const look = () => {
    const now = performance.now();
    const waiting = new Set(window.pending());
    for (const [place, begin] of since) {
      if (!waiting.has(place)) {
        window.blank.push(now - begin);
        since.delete(place);
      }
    }
    if (!waiting.size) window.complete ??= now; // since the page was asked for
    for (const place of waiting) if (!since.has(place)) since.set(place, now);
    requestAnimationFrame(look);
  };
  look();
}
"""
LONGEST = """
() => new Promise((resolve) => {
  const told = () => resolve(Math.max(0, ...window.blank));
  requestAnimationFrame(() => requestAnimationFrame(told));
})
"""
SHOWN = "() => window.pending && !window.pending().length"


def measure(dataset: Path, *, seconds: float) -> dict[str, float]:
    """One round: what took how long, in milliseconds."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "tfstream.cli.app", "view", str(dataset), "--no-browser"]
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(f"addEventListener('DOMContentLoaded', {WATCH})")
        page.goto("about:blank")
        begin = time.perf_counter()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            told = {"up": 1e3 * (time.perf_counter() - begin)}
            told |= _looked_at(page, address, seconds)
        finally:
            server.terminate()
            server.wait()
        browser.close()
    return told


def _looked_at(page: Any, address: str, seconds: float) -> dict[str, float]:
    told: dict[str, float] = {}

    def timed(what: str, begin: float) -> None:
        told[what] = 1e3 * (time.perf_counter() - begin)

    begin = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(SHOWN, timeout=WAIT_MS)
    told["first page"] = page.evaluate("() => window.complete")
    page.wait_for_selector("#histograms section", timeout=WAIT_MS)
    timed("first page, histograms", begin)
    before = page.inner_text("#count")
    page.fill("#query", QUERY)
    begin = time.perf_counter()
    page.press("#query", "Enter")
    page.wait_for_function(
        "before => document.querySelector('#count').innerText !== before",
        arg=before,
        timeout=WAIT_MS,
    )
    timed("query, number", begin)
    page.wait_for_function(SHOWN, timeout=WAIT_MS)
    timed("query, pictures", begin)
    page.wait_for_selector("#histograms:not([aria-busy])", timeout=WAIT_MS)
    timed("query, histograms", begin)
    page.mouse.move(900, 500)
    page.evaluate("() => { window.blank.length = 0; }")
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        page.mouse.wheel(0, 120)
        time.sleep(0.04)
    page.wait_for_function(SHOWN, timeout=WAIT_MS)
    told["scrolling, longest blank tile"] = page.evaluate(LONGEST)
    if page.evaluate("() => document.querySelector('#grid').scrollTop") < 1000:
        raise RuntimeError("the wheel did not scroll the grid")
    jumps, blanks = [], []
    for place in range(1, 11):
        begin = time.perf_counter()
        page.evaluate(
            "share => { const grid = document.querySelector('#grid'); window.blank.length = 0;"
            " grid.scrollTop = share * grid.scrollHeight; }",
            ((place * 7) % 11) / 11,
        )
        time.sleep(0.02)  # a frame, in which the tiles change
        page.wait_for_function(SHOWN, timeout=WAIT_MS)
        jumps.append(1e3 * (time.perf_counter() - begin))
        blanks.append(page.evaluate(LONGEST))
    told["jump, median"] = statistics.median(jumps)
    told["jump, longest"] = max(jumps)
    told["jump, blank tile, median"] = statistics.median(blanks)
    told["jump, blank tile, longest"] = max(blanks)
    return told


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="see whether it runs")
    arguments = parser.parse_args()
    print(rounds.machine())
    records, times, seconds = arguments.records, arguments.rounds, 10.0
    if arguments.quick:
        records, times, seconds = 1000, 1, 1.0
    with tempfile.TemporaryDirectory(prefix="view-", dir=arguments.packed.parent) as scratch:
        large = Path(scratch, "large")
        ten_million.synthetic(arguments.packed.resolve(), large, records, per_shard=50_000)
        runs = [measure(large, seconds=seconds) for _ in range(times)]
    print(f"{records:,} records, {times} rounds: median (least–most), ms")
    for what in runs[0]:
        values = [run[what] for run in runs]
        print(
            f"{what:34}{statistics.median(values):9,.0f}   ({min(values):,.0f}–{max(values):,.0f})"
        )


if __name__ == "__main__":
    main()

"""Tests of tfstream/view/tiles.py: whose turn it is, and what is given up."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tfstream.view.session import Session, Source
from tfstream.view.tiles import Tiles


def test_what_nobody_waits_for_any_more_is_not_made(packed: Path) -> None:
    tiles = Tiles(Session(Source(str(packed))))
    was_given_up, made = threading.Event(), []

    def maker(name: str) -> Callable[[], bytes]:
        def make() -> bytes:
            if name != "first":
                assert was_given_up.wait(60)
            made.append(name)
            return name.encode()

        return make

    # The first one is asked for; those that are begun with it or after it hold all threads.
    begun = [f"begun {number}" for number in range(os.cpu_count() or 1)]
    makers = [maker(name) for name in ["first", *begun, "late", "later"]]

    async def read() -> list[bytes]:
        async def is_given_up() -> bool:
            return True

        return [lines async for lines in tiles.lines(makers, is_given_up)]

    assert asyncio.run(read()) == [b"first"]
    was_given_up.set()
    tiles.close()
    assert set(made) <= {"first", *begun}

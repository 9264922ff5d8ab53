"""How far a pack has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, TextIO

__all__ = ["Progress", "format_bytes"]

_LINE_SECONDS = 10.0
_BAR_SECONDS = 0.2


def format_bytes(count: float) -> str:
    """A number of bytes for people.

    >>> format_bytes(999), format_bytes(471_000_000)
    ('999 B', '471.0 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Progress:
    """Tells of phases, one after the other; each goes through some images."""

    def __init__(self, *, show: bool, stream: TextIO | None = None) -> None:
        self._show = show
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._what = ""
        self._total: int | None = None
        self._images = self._bytes = self._sent = 0
        self._begun = self._said = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def begin(self, what: str, total: int | None = None) -> None:
        """Begins a phase.

        Args:
            what: What is done to images: "Scanning", "Packing".
            total: How many images there are, if that is known.
        """
        self.end()
        self._what, self._total = what, total
        self._images = self._bytes = self._sent = 0
        self._begun = self._said = time.monotonic()
        if self._show and self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, desc=what, unit=" images", unit_scale=True, file=self._stream
            )

    def note(self, line: str) -> None:
        """Says something, between phases."""
        if self._show:
            print(line, file=self._stream, flush=True)

    def update(self, images: int, count: int) -> None:
        """Adds to what is done.

        Args:
            images: How many more.
            count: Their bytes.
        """
        self._add(images, count, 0)

    def sent(self, count: int) -> None:
        """Adds to the bytes that were uploaded; called from any thread."""
        self._add(0, 0, count)

    def _add(self, images: int, count: int, sent: int) -> None:
        with self._lock:
            self._images += images
            self._bytes += count
            self._sent += sent
            if self._bar is not None:
                self._bar.set_postfix_str(self._amounts(), refresh=False)
                self._bar.update(images)
                if not images and time.monotonic() - self._said >= _BAR_SECONDS:
                    self._said = time.monotonic()
                    self._bar.refresh()
            elif self._show and self._what and time.monotonic() - self._said >= _LINE_SECONDS:
                self._say()

    def end(self) -> None:
        """Ends the phase, if one was begun."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
            elif self._show and self._what:
                self._say()
            self._what = ""

    def _amounts(self) -> str:
        read = format_bytes(self._bytes)
        return f"{read}, {format_bytes(self._sent)} uploaded" if self._sent else read

    def _say(self) -> None:
        self._said = time.monotonic()
        seconds = max(self._said - self._begun, 1e-9)
        rate = self._images / seconds
        of = f" of {self._total:,}" if self._total is not None else ""
        left = ""
        if self._total and rate and self._images < self._total:
            left = f", {(self._total - self._images) / rate:,.0f} s left"
        print(
            f"{self._what}: {self._images:,}{of} images, {self._amounts()}, "
            f"{rate:,.0f} images/s{left}",
            file=self._stream,
            flush=True,
        )

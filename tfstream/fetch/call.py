"""One run of the native op: served at once from the cache, or by a thread that fetches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfstream.errors import (
    AccessDeniedError,
    CacheError,
    CorruptRecordError,
    InvalidArgumentError,
    ObjectChangedError,
    StorageError,
    TfstreamError,
)
from tfstream.fetch import kernel
from tfstream.fetch.window import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfstream.fetch.counters import Counters
    from tfstream.fetch.source import RemoteSource
    from tfstream.fetch.turns import Turn

__all__ = ["UNAVAILABLE", "Call"]

UNAVAILABLE = 14
_INTERNAL = 13
# TensorFlow's codes; the first that fits.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ObjectChangedError, 9),  # failed precondition
    (FileNotFoundError, 5),
    (AccessDeniedError, 7),
    (CorruptRecordError, 15),  # data loss
    (InvalidArgumentError, 3),
    (StorageError, UNAVAILABLE),
)


class Call:
    """Records that the op waits for.

    Args:
        ticket: Of the op's run.
        counters: Of its stream.
        numbers: int64 [n], of the records.
        opened: Gives the dataset; may take its time.
        ended: Is called with (ticket, code, message), once.
        turn: When they may be asked for.
        skip_corrupt: Leave out a corrupt record instead of failing.
    """

    def __init__(
        self,
        ticket: int,
        counters: Counters,
        numbers: npt.NDArray[np.int64],
        *,
        opened: Callable[[], RemoteSource],
        ended: Callable[[int, int, str], None],
        turn: Turn,
        skip_corrupt: bool,
    ) -> None:
        self._ticket = ticket
        self._counters = counters
        self._numbers = numbers
        self._opened = opened
        self._ended = ended
        self._turn = turn
        self._skip_corrupt = skip_corrupt
        self._window: Window | None = None
        self._delivered: tuple[npt.NDArray[Any], dict[int, str]] | None = None

    def serve_cached(self, source: RemoteSource) -> bool:
        """Delivers and ends, if every record is cached and sound."""
        self._window = Window(source, self._numbers, self._counters, self._turn)
        try:
            if not self._window.look():
                return False
            places = self._window.places()
            flaws = kernel.deliver(self._ticket, places)
            if flaws:
                self._delivered = places, flaws
                return False
        except (TfstreamError, OSError):
            self._window.close()  # a thread of our own looks again, and says what is wrong
            self._window = None
            return False
        self._window.close()
        self._ended(self._ticket, 0, "")
        source.files.publish(self._counters)
        return True

    def serve(self) -> None:
        """Fetches, delivers and ends, whatever happens."""
        begun = time.monotonic()
        code, message = 0, ""
        try:
            if self._window is None:
                self._window = Window(self._opened(), self._numbers, self._counters, self._turn)
            with self._window as window:
                self._repair(window, *(self._delivered or self._deliver(window)))
        except BaseException as error:  # an op that is never ended would wait for ever
            code = next((code for kind, code in _CODES if isinstance(error, kind)), _INTERNAL)
            message = f"tfstream: {str(error) or type(error).__name__}"
        self._turn.over()
        self._counters.add(wait_seconds=time.monotonic() - begun)
        self._ended(self._ticket, code, message)
        if self._window is not None:
            self._window.source.files.publish(self._counters)

    def _deliver(self, window: Window) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Fetches and delivers; what the cache's disk cannot read is fetched in its place."""
        window.fetch()
        try:
            places = window.places()
            return places, kernel.deliver(self._ticket, places)
        except CacheError:
            places = window.again(range(len(self._numbers)))
            return places, kernel.deliver(self._ticket, places)

    def _repair(self, window: Window, places: npt.NDArray[Any], flaws: dict[int, str]) -> None:
        """Fetches corrupt records once more; what is wrong with the storage's own is told."""
        if not flaws:
            return
        fresh = window.again(sorted(flaws))
        left = kernel.deliver(self._ticket, fresh)
        self._counters.add(repaired=len(flaws) - len(left), corrupt=len(left))
        for row, flaw in left.items():
            path, index_name, offset = window.describe(fresh[row])
            key = self._opened().key_of(index_name, offset)
            named = f" {key!r}" if key else ""
            what = f"corrupt record{named} in {path} at byte {offset}: {flaw}"
            if not self._skip_corrupt:
                raise CorruptRecordError(
                    f"{what}. `tfstream verify` lists all that is wrong with a dataset; "
                    'on_corrupt="skip" goes on without such records.'
                )
            print(f"tfstream: skipped a {what}", file=sys.stderr)

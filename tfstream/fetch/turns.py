"""Who asks the storage first: the windows of an iteration, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable

__all__ = ["Turn", "Turns"]

# How long a window waits for one before it that has not begun: threads begin soon, in any order.
_SECONDS = 0.05


class Turns:
    """Has windows that begin together ask for their bytes in the order in which they are used.

    Several windows are under way at once, each on its own thread. If the fourth asked first, its
    many requests would take the connections, and the first batch would wait for all of them.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: dict[Hashable, _Line] = {}

    def take(self, stream: Hashable, epoch: int, first: int, end: int) -> Turn:
        """The turn of a window.

        Args:
            stream: Whose it is; windows of different streams do not wait for each other.
            epoch: Which iteration it is of.
            first: Its first sample in that iteration; the first window's is 0.
            end: The sample after its last, which is the next one's first.
        """
        with self._changed:
            line = self._lines.get(stream)
            if line is None or line.epoch != epoch or first < line.next:  # it begins anew
                line = self._lines[stream] = _Line(epoch, patient=line is None or line.patient)
            line.open.add(first)
            self._changed.notify_all()
        return Turn(self._changed, line, first, end)


class _Line:
    """The windows of an iteration.

    Attributes:
        epoch: Which iteration.
        patient: It waits for windows that have not begun. A process that is given only some of an
            iteration's windows would wait in vain, and learns from the first time.
        next: The first sample of the window whose turn it is.
        open: The first samples of those that have begun and not had their turn.
        had: Of those that had it out of their turn, where they end.
    """

    def __init__(self, epoch: int, *, patient: bool) -> None:
        self.epoch = epoch
        self.patient = patient
        self.next = 0
        self.open: set[int] = set()
        self.had: dict[int, int] = {}


class Turn:
    """The turn of one window."""

    def __init__(self, changed: threading.Condition, line: _Line, first: int, end: int) -> None:
        self._changed = changed
        self._line = line
        self._first = first
        self._end = end
        self._over = False

    def wait(self) -> None:
        """Waits until those before it have had their turn."""
        line, until = self._line, time.monotonic() + _SECONDS
        with self._changed:
            while True:
                if min(line.open, default=self._first) < self._first:
                    self._changed.wait()
                elif line.next >= self._first or not line.patient:
                    return
                elif (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    line.patient = False

    def over(self) -> None:
        """Lets the next one have its turn; more than once does no harm."""
        line = self._line
        with self._changed:
            if self._over:
                return
            self._over = True
            line.open.discard(self._first)
            if line.patient:
                line.had[self._first] = self._end
                while line.next in line.had:
                    line.next = line.had.pop(line.next)
            self._changed.notify_all()

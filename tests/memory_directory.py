"""Objects in memory, read with faults, delays and stalls that a test asks for."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tfstream.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    TransientError,
)
from tfstream.storage.directory import Attempt, Directory, ObjectInfo


@dataclasses.dataclass(frozen=True)
class Act:
    """What happens in one read of a range.

    Attributes:
        error: Raised after `after` bytes; None: all goes well.
        after: Bytes that come before that, or before the stall.
        seconds: That the read takes until then.
        until: What the read waits for before all that.
        stall: Seconds in which it then brings nothing, after which it is a fault.
    """

    error: StorageError | None = None
    after: int = 0
    seconds: float = 0.0
    until: Callable[[], bool] = lambda: True
    stall: float = 0.0


@dataclasses.dataclass(frozen=True)
class Read:
    """One read of a range, as it was asked for."""

    name: str
    offset: int
    length: int
    at: float


GOOD = Act()


class MemoryDirectory(Directory):
    """A directory of objects in memory.

    Attributes:
        uri: What it is called.
        reads: All reads of ranges so far, in the order in which they began.
        running: Reads under way; `most` is the highest number there ever was.
        cut: Stalled reads that were cut short.
        modified: When objects were made, in seconds since 1970; of those not named, 0.
    """

    def __init__(
        self, objects: dict[str, bytes], script: Callable[[Read], Act] = lambda read: GOOD
    ) -> None:
        """Holds objects.

        Args:
            objects: By name.
            script: What happens in a read.
        """
        self.uri = "memory://bucket"
        self.objects = dict(objects)
        self.modified: dict[str, float] = {}
        self.reads: list[Read] = []
        self.running = self.most = self.cut = 0
        self._script = script
        self._lock = threading.Lock()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for name in sorted(self.objects):
            if name.startswith(prefix):
                yield self.stat(name)

    def stat(self, name: str) -> ObjectInfo:
        if name not in self.objects:
            raise ObjectNotFoundError(f"{self.locate(name)} does not exist.")
        data = self.objects[name]
        return ObjectInfo(name, len(data), f"{hash(data):x}", modified=self.modified.get(name, 0.0))

    def read(self, name: str, *, generation: str | None = None) -> bytes:
        if generation not in (None, self.stat(name).generation):
            raise ObjectChangedError(f"{self.locate(name)} was overwritten.")
        return self.objects[name]

    def read_range(
        self, info: ObjectInfo, offset: int, buffer: memoryview, attempt: Attempt
    ) -> None:
        read = Read(info.name, offset, len(buffer), time.monotonic())
        with self._lock:
            self.reads.append(read)
            self.running += 1
            self.most = max(self.most, self.running)
            act = self._script(read)
        try:
            self._play(act, self.read(info.name, generation=info.generation), read, buffer, attempt)
        finally:
            with self._lock:
                self.running -= 1

    def _play(
        self, act: Act, data: bytes, read: Read, buffer: memoryview, attempt: Attempt
    ) -> None:
        shut = threading.Event()
        attempt.opened(shut.set)
        end = len(buffer) if act.error is None and not act.stall else min(act.after, len(buffer))
        while not act.until():
            if shut.wait(0.002):
                raise TransientError("the connection was closed")
        if act.seconds and shut.wait(act.seconds):
            raise TransientError("the connection was closed")
        buffer[:end] = data[read.offset : read.offset + end]
        if end:
            attempt.advance(end)
        if act.stall:
            if not shut.wait(act.stall):
                error = TransientError(f"no byte came for {act.stall:g} s")
                error.stalled = act.stall
                raise error
            with self._lock:
                self.cut += 1
            raise TransientError("the connection was closed")
        if act.error is not None:
            raise copy.copy(act.error)  # a raised error keeps the frames that it came through

    def create(self, name: str, data: bytes) -> ObjectInfo:
        with self._lock:
            if name in self.objects:
                raise ObjectExistsError(f"{self.locate(name)} exists already.")
            self.objects[name] = data
        return self.stat(name)

    def upload(
        self, name: str, source: Path, progress: Callable[[int], object] = lambda count: None
    ) -> ObjectInfo:
        data = source.read_bytes()
        if self.objects.get(name) != data:
            self.create(name, data)
        progress(len(data))
        return self.stat(name)

    def delete(self, info: ObjectInfo) -> None:
        if info.name in self.objects and self.stat(info.name) == info:
            del self.objects[info.name]

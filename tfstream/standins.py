"""What the kernels do, in Python, for where they were not compiled.

Each function here does what the op of its name in `native/` does, with NumPy's arrays for tensors;
`ops` puts it into the graph. They give the same records in the same order, more slowly, and
only in the process that built the graph.
"""

from __future__ import annotations

import collections
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError, UnknownLabelError
from tfstream.fetch.fetcher import fetcher
from tfstream.format import record
from tfstream.format.lookup import key_at

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.fetch.source import Spec
    from tfstream.format.foreign import Translator

    Found = tuple[npt.NDArray[np.object_], npt.NDArray[np.bool_]]

__all__ = [
    "begin_iteration",
    "count_waiting",
    "counters",
    "end_iteration",
    "fetch_records",
    "progress",
    "read_records",
    "restore",
    "translate_records",
]


class _Kept:
    """What is kept of a stream, as the kernel would."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.restored = self.ending = False
        self.epoch = self.position = self.iterations = self.delivered = 0
        self.waited = 0  # nanoseconds
        self.counters = dict.fromkeys(("samples", "bytes_read", "requests", "corrupt"), 0)
        self._first: float | None = None
        self.seconds = 0.0

    def count(self, **amounts: int) -> None:
        """Adds to the counters, and takes the time."""
        with self.lock:
            now = time.monotonic()
            self._first = self._first or now
            self.seconds = now - self._first
            for name, amount in amounts.items():
                self.counters[name] += amount


_streams: dict[int, _Kept] = collections.defaultdict(_Kept)


def counters(stream: int) -> tuple[dict[str, int], float, int]:
    """What a stream has read.

    Returns:
        `samples`, `bytes_read`, `requests` and `corrupt`; the seconds from the first record to the
        newest; the nanoseconds that were waited.
    """
    kept = _streams[stream]
    return dict(kept.counters), kept.seconds, kept.waited


def begin_iteration(stream: int, epoch: int, position: int) -> tuple[np.int64, np.int64, np.int64]:
    """Begins an iteration of a stream; see `ops.begin_iteration`."""
    kept = _streams[stream]
    with kept.lock:
        if kept.ending:
            kept.ending = False
            return np.int64(-1), np.int64(0), np.int64(0)
        if not kept.restored:
            kept.epoch, kept.position = epoch, position
        number = kept.iterations
        kept.iterations += 1
        kept.delivered = 0
        where = kept.position if number == 0 else 0
        return np.int64(number), np.int64(kept.epoch), np.int64(where)


def end_iteration(end: np.bool_, stream: int) -> np.bool_:
    """Whether what begins next is the end of an iteration; gives it back."""
    with _streams[stream].lock:
        _streams[stream].ending = bool(end)
    return end


def restore(stream: int, epoch: int, position: int) -> None:
    """Has the next iteration of a stream begin somewhere."""
    kept = _streams[stream]
    with kept.lock:
        kept.restored, kept.ending = True, False
        kept.epoch, kept.position = epoch, position
        kept.iterations = kept.delivered = 0


def progress(stream: int) -> tuple[int, int, int, int] | None:
    """How far a stream has come; see `ops.progress`."""
    kept = _streams[stream]
    with kept.lock:
        if not (kept.restored or kept.iterations):
            return None
        return kept.epoch, kept.position, kept.iterations, kept.delivered


def count_waiting(since: np.int64, stream: int) -> np.int64:
    """Takes the time, in nanoseconds, and counts what has passed since an earlier one, if not 0."""
    now = time.monotonic_ns()
    with _streams[stream].lock:
        if since:
            _streams[stream].waited += now - int(since)
            _streams[stream].delivered += 1
    return np.int64(now)


def read_records(
    files: Any, shards: Any, offsets: Any, lengths: Any, *, stream: int, skip_corrupt: bool
) -> Found:
    """Reads framed records and checks their checksums; see `ops.read_records`.

    Raises:
        CorruptRecordError: A record does not match them, and none is to be skipped.
        StorageError: A file cannot be read.
    """
    records, sound = np.full(len(shards), b"", object), np.zeros(len(shards), bool)
    for i in range(len(shards)):
        path, offset, length = files[shards[i]].decode(), int(offsets[i]), int(lengths[i])
        bad = None
        try:
            records[i] = record.read_record(path, offset, length)
            sound[i] = True
        except CorruptRecordError:
            bad = f"{path} at byte {offset}"
            if not skip_corrupt:
                record.read_record(path, offset, length, key=key_at(path, offset) or "")
        _streams[stream].count(requests=1, bytes_read=length, corrupt=bool(bad), samples=not bad)
        if bad:
            warnings.warn(f"skipped a corrupt record in {bad}", RuntimeWarning, stacklevel=2)
    return records, sound


def fetch_records(
    numbers: Any, samples: Any, *, spec: Spec, stream: int, skip_corrupt: bool
) -> Found:
    """Takes records of a remote dataset through the process's fetcher; see `ops.fetch_records`."""
    counters = fetcher().counters(stream)
    source = fetcher().source(spec)  # before a turn is taken: it may fail
    turn = fetcher().turns.take((stream, spec), *samples.tolist())
    found = fetcher().read(source, numbers, counters, turn=turn, skip_corrupt=skip_corrupt)
    sound = np.array([payload is not None for payload in found], bool)
    _streams[stream].count(
        samples=int(sound.sum()),
        bytes_read=sum(len(p) + record.FRAME_BYTES for p in found if p is not None),
    )
    return np.array([payload or b"" for payload in found], object), sound


def translate_records(
    records: npt.NDArray[np.object_],
    sound: npt.NDArray[np.bool_],
    keys: npt.NDArray[np.object_],
    *,
    translator: Translator,
    skip_corrupt: bool,
) -> Found:
    """See `ops.translate_records`."""
    made, good = np.full(len(records), b"", object), np.array(sound, bool)
    for place in np.flatnonzero(good):
        try:
            made[place] = translator.translate(records[place], keys[place].decode())
        except (CorruptRecordError, UnknownLabelError) as error:
            if not skip_corrupt:
                raise
            good[place] = False
            warnings.warn(f"skipped a record: {error}", RuntimeWarning, stacklevel=2)
    return made, good

"""The fetcher of this process: what the native op asks of it, and what Python does."""

from __future__ import annotations

import atexit
import collections
import dataclasses
import functools
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError, ObjectChangedError
from tfstream.fetch import kernel
from tfstream.fetch.call import UNAVAILABLE, Call
from tfstream.fetch.counters import Counters
from tfstream.fetch.downloads import Downloads
from tfstream.fetch.objects import Writer
from tfstream.fetch.source import RemoteFiles, RemoteSource, Spec
from tfstream.fetch.turns import Turns
from tfstream.fetch.window import Window
from tfstream.fetch.workers import Workers
from tfstream.format import manifest, record

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.cache.pages import PageCache
    from tfstream.fetch.turns import Turn
    from tfstream.storage.directory import Directory
    from tfstream.v1.manifest_pb2 import Manifest

__all__ = ["Fetcher", "fetcher"]

_KEPT_SOURCES = 16
_LAST_SECONDS = 5.0
_ENDING = "tfstream: the process is ending"


class Fetcher:
    """Everything of a process that has to do with remote datasets; made once.

    Attributes:
        turns: Of its streams' windows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Those that somebody holds, and the newest, whose holder may be a graph.
        self._sources: weakref.WeakValueDictionary[str, RemoteSource] = (
            weakref.WeakValueDictionary()
        )
        self._newest: collections.OrderedDict[str, RemoteSource] = collections.OrderedDict()
        self._files: weakref.WeakValueDictionary[Spec, RemoteFiles] = weakref.WeakValueDictionary()
        self._caches: dict[tuple[str, int | None], PageCache] = {}
        self._downloads: dict[int, Downloads] = {}
        self.turns = Turns()
        self._writer = Writer()
        self._workers = Workers()
        self._streams: dict[int, Counters] = {}
        self._open: set[int] = set()
        self._closed = False
        self._own_cache: tuple[str | None, int | None] | None = None
        atexit.register(self.close)

    def cache_here(self, directory: str | None, limit: int | None) -> None:
        """Has this process use its own page cache, or none, whatever the datasets' streams say.

        Raises:
            CacheError: It cannot be used.
        """
        self._own_cache = (directory, limit)
        with self._lock:
            self._cache_in(directory, limit)

    def counters(self, stream: int) -> Counters:
        """What a stream has fetched in this process."""
        with self._lock:
            return self._streams.setdefault(stream, Counters())

    def source(self, spec: Spec, loaded: Manifest | None = None) -> RemoteSource:
        """A dataset, shared by all that use it in this process.

        Args:
            spec: Which one.
            loaded: Its manifest, where the caller has it.

        Raises:
            DatasetNotFoundError: It is not there (any more).
            CacheError: The page cache cannot be used.
            StorageError: The manifest cannot be read.
        """
        text = spec.to_json()
        with self._lock:
            known = self._known(text)
            if known is not None:
                return known
        directory = spec.directory()
        if loaded is None:
            loaded = _load(directory, spec)
        shards = [s for split in loaded.splits if split.name in spec.splits for s in split.shards]
        with self._lock:
            known = self._known(text)
            if known is None:
                known = RemoteSource(self._files_of(spec, directory), shards)
                self._sources[text] = self._newest[text] = known
                if len(self._newest) > _KEPT_SOURCES:
                    self._newest.popitem(last=False)
            return known

    def _known(self, text: str) -> RemoteSource | None:
        found = self._sources.get(text)
        if found is not None and text in self._newest:
            self._newest.move_to_end(text)
        return found

    def _files_of(self, spec: Spec, directory: Directory) -> RemoteFiles:
        """Shared by all versions and splits of a dataset."""
        key = dataclasses.replace(spec, version=0, splits=())
        files = self._files.get(key)
        if files is None:
            downloads = self._downloads.get(spec.connections)
            if downloads is None:
                downloads = self._downloads[spec.connections] = Downloads(spec.connections)
            cache = self._cache_in(*(self._own_cache or (spec.cache_dir, spec.cache_limit)))
            files = RemoteFiles(directory, cache, downloads, self._writer)
            self._files[key] = files
        return files

    def _cache_in(self, directory: str | None, limit: int | None) -> PageCache | None:
        if directory is None:
            return None
        from tfstream.cache.pages import PageCache

        key = (directory, limit)
        if key not in self._caches:
            self._caches[key] = PageCache(directory, limit)
        return self._caches[key]

    def read(
        self,
        source: RemoteSource,
        numbers: npt.NDArray[np.int64],
        counters: Counters,
        *,
        turn: Turn | None = None,
        skip_corrupt: bool = False,
    ) -> list[bytes | None]:
        """Records by number, checked.

        Args:
            source: The dataset.
            numbers: int64 [n].
            counters: What is done is added here.
            turn: When they may be asked for; None: at once.
            skip_corrupt: Give None for a corrupt record instead of failing.

        Returns:
            Their payloads.

        Raises:
            CorruptRecordError: A record does not match its checksums, fetched twice.
            StorageError: Something cannot be read.
        """
        payloads: list[bytes | None] = [None] * len(numbers)
        with Window(source, numbers, counters, turn) as window:
            window.fetch()
            bad = []
            for row, place in enumerate(window.places()):
                try:
                    payloads[int(place["number"])] = _unframe(window, place)
                except CorruptRecordError:
                    bad.append(row)
            for place in window.again(bad) if bad else ():
                try:
                    payloads[int(place["number"])] = _unframe(window, place)
                    counters.add(repaired=1)
                except CorruptRecordError:
                    counters.add(corrupt=1)
                    path, index_name, offset = window.describe(place)
                    key = source.key_of(index_name, offset)
                    if not skip_corrupt:  # once more, to name the record by its key as well
                        _unframe(window, place, key)
                    what = f"corrupt record {key!r} in {path} at byte {offset}"
                    print(f"tfstream: skipped a {what}", file=sys.stderr)
        return payloads

    def begin(
        self,
        ticket: int,
        stream: int,
        skip_corrupt: bool,
        spec: str,
        numbers: npt.NDArray[np.int64],
        samples: tuple[int, int, int],
    ) -> None:
        """Answers the native op: at once where all is cached, from another thread where not."""
        with self._lock:
            closed = self._closed
            source = self._known(spec)
            if not closed:
                self._open.add(ticket)
        if closed:
            kernel.end(ticket, UNAVAILABLE, _ENDING)
            return
        turn = self.turns.take((stream, spec), *samples)
        call = Call(
            ticket,
            self.counters(stream),
            numbers,
            opened=lambda: source or self.source(Spec.from_json(spec)),
            ended=self._ended,
            turn=turn,
            skip_corrupt=skip_corrupt,
        )
        try:
            if source is None or not call.serve_cached(source):
                self._workers.run(call.serve)
        except BaseException:
            turn.over()  # or those behind it would wait for ever
            raise

    def _ended(self, ticket: int, code: int = 0, message: str = "") -> None:
        """Ends a run of the op."""
        with self._lock:
            self._open.discard(ticket)
        kernel.end(ticket, code, message)

    def close(self) -> None:
        """Ends what is under way: an op that waits would keep the process from ending."""
        with self._lock:
            self._closed = True
            waiting = list(self._open)
            self._open.clear()
            every = list(self._downloads.values())
        for downloads in every:
            downloads.close()
        for ticket in waiting:
            kernel.end(ticket, UNAVAILABLE, _ENDING)
        self._writer.flush(_LAST_SECONDS)  # what was fetched is fetched for other processes too


@functools.lru_cache(maxsize=1)
def fetcher() -> Fetcher:
    """The fetcher of this process."""
    return Fetcher()


# A child process has none of its parent's threads: it needs a fetcher of its own.
os.register_at_fork(after_in_child=fetcher.cache_clear)


def _load(directory: Directory, spec: Spec) -> Manifest:
    """The manifest that a graph made elsewhere speaks of."""
    name = manifest.name_of(spec.version)
    loaded = manifest.load(directory, spec.version)
    if directory.path is None:
        kind, found = "generation", directory.stat(name).generation
    else:
        kind, found = "commit", loaded.commit
    if found != spec.generation:
        raise ObjectChangedError(
            f"{directory.locate(name)} has {kind} {found}, and the stream was made for "
            f"{spec.generation}: the dataset was made anew. Open it again."
        )
    return loaded


def _unframe(window: Window, place: Any, key: str = "") -> bytes:
    """The payload of a record that is placed, checked."""
    path, _, offset = window.describe(place)
    return record.unframe(bytes(window.bytes_of(place)), path=path, offset=offset, key=key)

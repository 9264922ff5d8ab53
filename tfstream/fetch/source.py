"""A remote dataset as streams read it: its places, its objects, its part of the cache."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from tfstream.errors import CacheError, CorruptRecordError, ObjectChangedError
from tfstream.fetch.counters import Counters
from tfstream.fetch.local_file import LocalFile
from tfstream.fetch.objects import RemoteObject, Want, Writer, bring
from tfstream.fetch.places import Places
from tfstream.format import index
from tfstream.storage.directory import Access, Directory
from tfstream.storage.uri import open_directory

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.cache.pages import CachedObject, PageCache
    from tfstream.fetch.downloads import Downloads
    from tfstream.v1.manifest_pb2 import Shard

__all__ = ["RemoteFiles", "RemoteSource", "Spec", "assemble"]


_PUBLISH_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a process must know to read a remote dataset; it travels in the graph, as JSON.

    Attributes:
        uri: The dataset's.
        version: Of the dataset.
        generation: Of the version's manifest, or the commit of one on local disk, which has copies
            on several machines: another dataset of that name is not taken for it.
        opened: Tells one opening of a dataset from another: what was looked up once, stays.
        splits: Whose records are numbered, one after the other.
        project: Billed for requests; None: the bucket's own.
        anonymous: Use no credentials; None: none where there are none.
        cache_dir: The page cache's directory; None: nothing is kept.
        cache_limit: Bytes that the cache may take; None: as much as there is.
        connections: Requests at once.
    """

    uri: str
    version: int
    generation: str
    opened: str
    splits: tuple[str, ...]
    project: str | None = None
    anonymous: bool | None = None
    cache_dir: str | None = None
    cache_limit: int | None = None
    connections: int = 32

    @property
    def access(self) -> Access:
        """With what right it is read."""
        return Access(self.project, self.anonymous)

    def directory(self) -> Directory:
        """Where it is."""
        return open_directory(self.uri, self.access)

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """What `to_json` wrote."""
        plain = json.loads(text)
        return cls(**{**plain, "splits": tuple(plain["splits"])})


class RemoteFiles:
    """The objects of a remote directory that have been used so far, each looked up once.

    Args:
        directory: Where they are.
        cache: The page cache; None: nothing is kept.
        downloads: Fetches.
        writer: Fills the cache.
    """

    def __init__(
        self,
        directory: Directory,
        cache: PageCache | None,
        downloads: Downloads,
        writer: Writer,
    ) -> None:
        self.directory = directory
        self.cache = cache
        self._downloads = downloads
        self._writer = writer
        self._lock = threading.Lock()
        self._lookups: dict[str, Future[RemoteObject]] = {}
        self._streams: set[Counters] = set()
        self._publish_at = 0.0

    def known(self, name: str) -> RemoteObject | None:
        """An object that has been looked up; None where it has not."""
        lookup = self._lookups.get(name)
        if lookup is None or not lookup.done() or lookup.exception() is not None:
            return None
        return lookup.result()

    def open(self, names: Sequence[str]) -> list[RemoteObject]:
        """Objects by name, looked up at the same time where they have not been yet.

        Raises:
            ObjectNotFoundError: There is no such object.
            StorageError: It cannot be looked up.
        """
        lookups = [self.look_up(name) for name in names]
        return [lookup.result() for lookup in lookups]

    def look_up(self, name: str) -> Future[RemoteObject]:
        """Begins to look an object up; does not wait."""
        with self._lock:
            known = self._lookups.get(name)
            if known is None or (known.done() and known.exception() is not None):
                known = self._downloads.call(lambda: self._find(name))
                self._lookups[name] = known
            return known

    def flush(self) -> None:
        """Waits until what was fetched is in the cache, as far as it can be kept."""
        self._writer.flush()

    def publish(self, counters: Counters) -> None:
        """Tells `tfstream cache stat` what this process has done; now and then.

        Args:
            counters: Of a stream that has just done something.
        """
        if self.cache is None:
            return
        with self._lock:
            self._streams.add(counters)
            if time.monotonic() < self._publish_at:
                return
            self._publish_at = time.monotonic() + _PUBLISH_SECONDS
            sums: Counter[str] = Counter()
            for each in self._streams:
                sums.update(each.snapshot())
        self.cache.publish(sums)

    def _find(self, name: str) -> RemoteObject:
        info = self.directory.stat(name)
        cached: CachedObject | LocalFile | None = None
        if self.directory.path is not None:
            cached = LocalFile(self.directory.path / name, info)
        elif self.cache is not None:
            cached = self.cache.object(self.directory.locate(name), info)
        return RemoteObject(self.directory, info, cached, self._downloads, self._writer)

    def read(self, names: Sequence[str], counters: Counters) -> list[bytes]:
        """Whole objects, through the cache.

        Raises:
            ObjectNotFoundError: There is no such object.
            StorageError: It cannot be read.
        """
        targets = self.open(names)
        found = _read_whole(targets, counters)
        damaged = [place for place, data in enumerate(found) if not _matches(targets[place], data)]
        if damaged:
            for place in damaged:
                targets[place].forget([(0, targets[place].info.size)])
            again = _read_whole([targets[place] for place in damaged], counters)
            for place, data in zip(damaged, again, strict=True):
                if not _matches(targets[place], data):
                    raise CorruptRecordError(
                        f"{targets[place]} does not have the checksum that its storage states, "
                        "fetched twice: something on the way damages it."
                    )
                counters.add(repaired=1)
                found[place] = data
        return found


class RemoteSource:
    """A remote dataset, or some splits of it: records by number.

    Args:
        files: Of the dataset's directory.
        shards: Of the chosen splits, in their order.
    """

    def __init__(self, files: RemoteFiles, shards: Sequence[Shard]) -> None:
        self.files = files
        self.places = Places(shards)
        self._lock = threading.Lock()
        self._indexing: dict[int, Future[None]] = {}  # shards whose indexes are being read

    def shard(self, number: int) -> RemoteObject | None:
        """A shard whose records have known places; None where they have not yet."""
        if self.places.unknown(np.array([number])):
            return None
        return self.files.known(self.places.shards[number].path)

    def prepare(self, shards: npt.NDArray[Any], counters: Counters) -> None:
        """Sees to it that the places of all records of these shards are known.

        Args:
            shards: int64 [n], numbers of shards.
            counters: Of the stream that wants to know.

        Raises:
            ObjectChangedError: A shard is not as long as the manifest says.
            CorruptRecordError: An index is damaged.
            StorageError: One of them cannot be read.
        """
        with self._lock:  # windows that begin together want the same indexes, mostly
            unknown = self.places.unknown(shards)
            others = [self._indexing[number] for number in unknown if number in self._indexing]
            mine = [number for number in unknown if number not in self._indexing]
            read: Future[None] = Future()
            self._indexing.update(dict.fromkeys(mine, read))
        try:
            if mine:
                self._index(mine, counters)
            read.set_result(None)
        except BaseException as error:
            read.set_exception(error)
            raise
        finally:
            with self._lock:
                for number in mine:
                    del self._indexing[number]
        for other in others:
            other.result()

    def _index(self, numbers: Sequence[int], counters: Counters) -> None:
        """Reads the indexes of shards."""
        wanted = [self.places.shards[number] for number in numbers]
        for shard in wanted:  # at the same time as the indexes
            self.files.look_up(shard.path)
        indexes = self.files.read([shard.index_path for shard in wanted], counters)
        # Before their places are known, after which other windows look no shard up.
        for shard, target in zip(wanted, self.files.open([s.path for s in wanted]), strict=True):
            if target.info.size != shard.bytes:
                raise ObjectChangedError(
                    f"{target} has {target.info.size} bytes, and the manifest of this version says "
                    f"{shard.bytes}: it was overwritten, or not copied whole. Copy the dataset "
                    "again, or pack it anew."
                )
        for number, shard, data in zip(numbers, wanted, indexes, strict=True):
            self.places.add(number, data, self.files.directory.locate(shard.index_path))

    def key_of(self, index_name: str, offset: int) -> str:
        """The key of the record at a byte of a shard, for messages; "" where it cannot be told."""
        try:
            data = self.files.read([index_name], Counters())[0]
            rows = index.read(data, ["key", "offset"])
            return str(rows["key"][rows["offset"].to_pylist().index(offset)].as_py())
        except (OSError, ValueError):
            return ""


def _read_whole(targets: Sequence[RemoteObject], counters: Counters) -> list[bytes]:
    with contextlib.ExitStack() as stack:
        descriptors = [stack.enter_context(target.use()) for target in targets]
        wants = [Want(each, [(0, each.info.size)] if each.info.size else []) for each in targets]
        bring(wants, counters)
        return [
            bytes(assemble(want, 0, want.target.info.size, descriptor))
            for want, descriptor in zip(wants, descriptors, strict=True)
        ]


def _matches(target: RemoteObject, data: bytes) -> bool:
    """Whether whole bytes are those that the storage speaks of, as far as it does."""
    return target.info.crc32c is None or google_crc32c.value(data) == target.info.crc32c


def assemble(want: Want, begin: int, end: int, descriptor: int) -> memoryview:
    """Bytes of an object, from the pieces that were fetched and from the cache.

    Args:
        want: What was brought.
        begin: The first byte.
        end: The byte after the last.
        descriptor: The object's cached file, for what is in no piece.
    """
    for piece in want.pieces:
        if piece.begin <= begin and end <= piece.end:
            return piece.data[begin - piece.begin : end - piece.begin]
    out = bytearray(end - begin)
    at = begin
    for piece in sorted(want.pieces, key=lambda each: each.begin):
        if piece.end <= at or piece.begin >= end:
            continue
        if piece.begin > at:
            _read_cached(descriptor, at, memoryview(out)[at - begin : piece.begin - begin])
            at = piece.begin
        stop = min(piece.end, end)
        out[at - begin : stop - begin] = piece.data[at - piece.begin : stop - piece.begin]
        at = stop
    if at < end:
        _read_cached(descriptor, at, memoryview(out)[at - begin :])
    return memoryview(out)


def _read_cached(descriptor: int, offset: int, buffer: memoryview) -> None:
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[done:]], offset + done)
        except OSError as error:
            raise CacheError(
                error.errno, f"Cannot read the page cache: {error.strerror}."
            ) from error
        if count == 0:
            raise CacheError("A file of the page cache is shorter than it was.")
        done += count

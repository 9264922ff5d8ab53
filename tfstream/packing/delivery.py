"""Brings finished shards to the destination, some at once, while others are being written."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from tfstream.errors import ObjectExistsError, PackError
from tfstream.format import manifest
from tfstream.packing import journal
from tfstream.packing.destination import Destination
from tfstream.packing.journal import ShardResult
from tfstream.packing.workspace import Workspace
from tfstream.packing.write import SHARDS, object_names
from tfstream.storage.directory import ObjectInfo

__all__ = ["Delivered", "Delivery", "find_delivered", "remove_leftovers"]

# For deliveries under way when a pack is given up: until the next byte is sent, as a rule.
_PATIENCE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Delivered:
    """What an interrupted pack has left at the destination.

    Attributes:
        present: The objects that are there, whoever made them, by name.
        ours: Those of them that a journal speaks of.
        known: Shards that are there as their journals say, by stem.
        begun: Stems of shards that have a journal, even one with nothing in it.
    """

    present: Mapping[str, ObjectInfo]
    ours: Set[ObjectInfo]
    known: Mapping[str, ShardResult]
    begun: Set[str]


def find_delivered(workspace: Workspace, commit: str) -> Delivered:
    """Looks for the shards of a commit that are at the destination already.

    Raises:
        StorageError: The destination cannot be read.
    """
    present = {info.name: info for info in workspace.destination.directory.list(f"{SHARDS}/")}
    begun = workspace.stems(commit)
    ours: set[ObjectInfo] = set()
    known = {}
    for stem in begun:
        found = journal.load(workspace.drafts(commit) / f"{stem}.json")
        if found is not None:
            there = [info for info in found.objects if present.get(info.name) == info]
            ours.update(there)
            if len(there) == len(found.objects):
                known[stem] = found
    return Delivered(present, ours, known, begun)


class Delivery:
    """Delivers shards, each in a thread that then writes its journal and removes it from the disk.

    Leaving the `with` block by an error cuts deliveries short.
    """

    def __init__(
        self,
        destination: Destination,
        drafts: Path,
        *,
        before: Delivered,
        sent: Callable[[int], object],
    ) -> None:
        """Makes one; nothing is under way yet.

        Args:
            destination: Where to.
            drafts: The directory of the workspace that shards and journals are in.
            before: What was there in the beginning.
            sent: Is told of bytes that were uploaded.
        """
        self._destination = destination
        self._drafts = drafts
        self._before = before
        self._sent = sent
        self._free = threading.Semaphore(destination.at_once)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ending = self._left = False
        self._error: BaseException | None = None

    def __enter__(self) -> Delivery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending = True
        end = time.monotonic() + _PATIENCE_SECONDS
        for thread in self._threads:
            if thread.is_alive():  # Ctrl-C may have come while it was being started
                thread.join(max(end - time.monotonic(), 0))
        with self._lock:
            self._left = True

    def put(self, result: ShardResult) -> None:
        """Has a shard delivered; waits while as many as may be are under way.

        Raises:
            StorageError: One that was put before cannot be delivered.
        """
        self._free.acquire()
        self._raise_error()
        # A daemon: Ctrl-C does not wait for an upload.
        thread = threading.Thread(target=self._deliver, args=(result,), daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def finish(self) -> None:
        """Waits until all are delivered.

        Raises:
            StorageError: One cannot be.
        """
        for thread in self._threads:
            thread.join()
            self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _deliver(self, result: ShardResult) -> None:
        try:
            self._deliver_one(result)
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._free.release()

    def _deliver_one(self, result: ShardResult) -> None:
        record = self._drafts / f"{result.stem}.json"
        names = object_names(result.stem) if result.bytes else ()
        there = [self._before.present.get(name) for name in names]
        fresh = result.stem not in self._before.begun and not any(there)
        if fresh:
            record.touch()  # an empty journal: what is there from now on is ours
        objects = []
        for name, info in zip(names, there, strict=True):
            source = self._drafts / Path(name).name
            replaces = info if info in self._before.ours else None
            try:
                made = self._destination.deliver(source, name, replaces, self._progress)
            except ObjectExistsError:
                if fresh:
                    record.unlink(missing_ok=True)
                raise
            objects.append(made)
        with self._lock:
            if self._left:  # another packer may have the workspace by now
                return
            journal.save(record, dataclasses.replace(result, objects=tuple(objects)))
            for name in names:
                (self._drafts / Path(name).name).unlink(missing_ok=True)

    def _progress(self, count: int) -> None:
        if self._ending or self._error is not None:
            raise PackError("the pack was given up")
        self._sent(count)


def remove_leftovers(workspace: Workspace, commit: str) -> None:
    """Deletes shards that were delivered from here and that no manifest names.

    They are of packs that were begun with other options, and never finished.

    Args:
        workspace: Of the destination.
        commit: That the dataset is of.

    Raises:
        StorageError: They cannot be listed or deleted.
    """
    stems = workspace.stems() - workspace.stems(commit)
    if not stems:
        return
    destination = workspace.destination
    named = set()
    for version in manifest.versions(destination.directory):
        for split in manifest.load(destination.directory, version).splits:
            for shard in split.shards:
                named |= {shard.path, shard.index_path}
    useless = {name for stem in stems for name in object_names(stem)} - named
    found = [info for info in destination.directory.list(f"{SHARDS}/") if info.name in useless]
    with ThreadPoolExecutor(destination.at_once) as threads:
        list(threads.map(destination.directory.delete, found))
